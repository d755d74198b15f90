"""An autoencoder with a codebook and an adaptive adversarial weight (VQGAN, arXiv 2012.09841)."""

import torch
from pydantic import PositiveInt
from torch import Tensor, nn

import gankit


class Autoencoder(nn.Module):
    """Asks for the real image, and returns further tensors beside its reconstruction."""

    def __init__(self, image: gankit.ImageSpec, *, codes: PositiveInt = 32, width: PositiveInt = 8) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv2d(image.channels, width, 4, 2, 1), nn.SiLU(), nn.Conv2d(width, width, 4, 2, 1)
        )
        self.codebook = nn.Embedding(codes, width)
        nn.init.uniform_(self.codebook.weight, -1 / codes, 1 / codes)
        self.decoder = nn.Sequential(nn.ConvTranspose2d(width, width, 4, 2, 1), nn.SiLU())
        self.last = nn.ConvTranspose2d(width, image.channels, 4, 2, 1)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        features = self.encoder(image).permute(0, 2, 3, 1)
        codes = torch.cdist(features.flatten(0, 2), self.codebook.weight).argmin(1).view(features.shape[:3])
        chosen = self.codebook(codes)
        passed = features + (chosen - features).detach()  # straight-through estimator
        return {
            "images": self.last(self.decoder(passed.permute(0, 3, 1, 2))).tanh(),
            "codebook_error": (chosen - features.detach()).square().mean((1, 2, 3)),
            "commitment": (features - chosen.detach()).square().mean((1, 2, 3)),
            "codes": codes,
        }


class AdaptiveWeight(gankit.Game):
    """Reconstruction, and an adversarial term with a gradient of the same size at the last layer (equation 7)."""

    def step(self):
        batch = self.next_batch()
        return self.update("generator", batch, self.reconstruction) | self.update("discriminator", batch)

    def reconstruction(self, turn):
        output, last = turn.generated, turn.generator.last.weight
        error = (turn.fake - turn.real).abs().mean()
        [adversarial] = [value for name, value in self.terms(turn).items() if name == "generator_loss"]
        sizes = [
            turn.mean(torch.autograd.grad(term, last, retain_graph=True)[0]).norm() for term in (error, adversarial)
        ]
        weight = (sizes[0] / (sizes[1] + 1e-4)).clamp(max=1e4).detach()
        quantization = (output["codebook_error"] + 0.25 * output["commitment"]).mean()
        return {"error": error, "adversarial": 0.1 * weight * adversarial, "quantization": quantization}


@gankit.hookimpl
def register(registries: gankit.Registries) -> None:
    registries.games.add("adaptive_weight", AdaptiveWeight)
    registries.generators.add("codebook", Autoencoder)
