"""Flow matching: a game of one player."""

import torch
from pydantic import PositiveInt
from torch import Tensor, nn

import gankit


class FlowMatching(gankit.Game):
    """Rectified flow (arXiv 2209.03003): one network, no discriminator."""

    players = ("generator",)

    def step(self):
        return self.update("generator", self.next_batch(), self.velocity_error)

    def velocity_error(self, turn):
        time, noise = turn.uniform(), turn.normal(*turn.real.shape[1:])
        noisy = torch.lerp(noise, turn.real, time[:, None, None, None])
        return {"generator_loss": (turn.run(turn.generator, noisy, time) - (turn.real - noise)).square().mean()}

    def generate(self, generator, inputs, *, steps: PositiveInt = 50):
        images = inputs.normal(*inputs.image_shape)
        for i in range(steps):
            images = images + generator(images, inputs.full(i / steps)) / steps
        return images


class Velocity(nn.Module):
    """The velocity [n c h w] of noisy images at a time in [0, 1]."""

    def __init__(self, image: gankit.ImageSpec, *, width: PositiveInt = 32) -> None:
        super().__init__()
        self.time = nn.Sequential(nn.Linear(1, width), nn.SiLU(), nn.Linear(width, width))
        self.first = nn.Conv2d(image.channels, width, 3, padding=1)
        self.down = nn.Conv2d(width, 2 * width, 4, 2, 1)
        self.middle = nn.Sequential(nn.SiLU(), nn.Conv2d(2 * width, 2 * width, 5, padding=2), nn.SiLU())
        self.up = nn.ConvTranspose2d(2 * width, width, 4, 2, 1)
        self.last = nn.Conv2d(width, image.channels, 3, padding=1)

    def forward(self, noisy: Tensor, time: Tensor) -> Tensor:
        features = self.first(noisy) + self.time(time[:, None])[:, :, None, None]
        features = features + self.up(self.middle(self.down(features)))
        return self.last(nn.functional.silu(features))


@gankit.hookimpl
def register(registries: gankit.Registries) -> None:
    registries.games.add("flow_matching", FlowMatching)
    registries.generators.add("velocity", Velocity)
