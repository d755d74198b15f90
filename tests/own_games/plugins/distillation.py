"""Distribution matching distillation (DMD2, arXiv 2405.14867): D holds a trained score network beside a frozen teacher."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import gankit


class Denoiser(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(channels, 12, 3, 1, 1), nn.Conv2d(12, channels, 3, 1, 1)

    def forward(self, noisy: Tensor) -> Tensor:
        return self.last(F.silu(self.first(noisy)))


class JudgeAndScores(nn.Module):
    """Judges images; holds the score of the fakes, which is trained, and that of the data, which is not."""

    def __init__(self, image: gankit.ImageSpec) -> None:
        super().__init__()
        self.judge, self.fake_score = nn.Conv2d(image.channels, 1, 4, 2, 1), Denoiser(image.channels)
        self.teacher = gankit.Frozen(Denoiser(image.channels))

    def forward(self, images: Tensor) -> Tensor:
        return self.judge(images)


class Distillation(gankit.Game):
    def step(self):
        batch = self.next_batch()
        scalars = self.update("discriminator", batch, self.denoise_fakes)
        return scalars | self.update("generator", batch, self.match_distributions)

    def denoise_fakes(self, turn):
        noisy = turn.fake.detach() + turn.normal(*turn.fake.shape[1:])
        score = turn.run(turn.discriminator.fake_score, noisy)
        return {**self.terms(turn), "fake_score_error": F.mse_loss(score, turn.fake.detach())}

    def match_distributions(self, turn):
        with torch.no_grad():
            noisy = turn.fake + turn.normal(*turn.fake.shape[1:])
            of_data = turn.run(turn.discriminator.teacher, noisy)
            direction = turn.run(turn.discriminator.fake_score, noisy) - of_data
            scale = (turn.fake - of_data).abs().mean((1, 2, 3), keepdim=True)
        matching = 0.5 * F.mse_loss(turn.fake, (turn.fake - direction / scale).detach())
        return {**self.terms(turn), "matching": matching}


@gankit.hookimpl
def register(registries: gankit.Registries) -> None:
    registries.discriminators.add("judge_and_scores", JudgeAndScores)
    registries.games.add("distillation", Distillation)
