"""Images with a vector of attributes, and networks that are conditioned on it."""

import torch
from torch import Tensor, nn

import gankit


class Disks:
    """Disks; their radius and brightness are the vector."""

    spec = gankit.DataSpec(image=gankit.ImageSpec(16, 16, 1), look=gankit.VectorSpec(2))

    def __len__(self) -> int:
        return 64

    def __getitem__(self, index: int) -> dict[str, object]:
        radius, brightness = 3 + index % 5, 0.4 + 0.1 * (index % 7)
        across = torch.arange(16) - 7.5
        inside = across[:, None] ** 2 + across**2 < radius**2
        return {"image": (inside * 255 * brightness).byte()[None], "look": [radius / 7, brightness]}


class FromLook(nn.Module):
    """Asks for latents and for the vector, of which a sampling option replaces the brightness."""

    def __init__(self, image: gankit.ImageSpec, latent_dim: int, data: gankit.DataSpec) -> None:
        super().__init__()
        self.linear = nn.Linear(latent_dim + data["look"].size, 8 * 4 * 4)
        self.first, self.last = nn.ConvTranspose2d(8, 8, 4, 2, 1), nn.ConvTranspose2d(8, image.channels, 4, 2, 1)

    def forward(self, z: Tensor, look: Tensor, *, brightness: float | None = None) -> Tensor:
        if brightness is not None:
            look = torch.stack([look[:, 0], torch.full_like(look[:, 1], brightness)], 1)
        features = self.linear(torch.cat([z, look], 1)).view(-1, 8, 4, 4)
        return self.last(nn.functional.silu(self.first(nn.functional.silu(features)))).tanh()


class Projection(nn.Module):
    """Judges an image for its vector (arXiv 1802.05637)."""

    def __init__(self, image: gankit.ImageSpec, data: gankit.DataSpec) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(image.channels, 8, 4, 2, 1), nn.SiLU(), nn.Conv2d(8, 8, 4, 2, 1))
        self.embed, self.last = nn.Linear(data["look"].size, 8), nn.Linear(8, 1)

    def forward(self, images: Tensor, look: Tensor) -> Tensor:
        features = nn.functional.silu(self.features(images)).mean((2, 3))
        return self.last(features).squeeze(1) + (features * self.embed(look)).sum(1)


@gankit.hookimpl
def register(registries: gankit.Registries) -> None:
    registries.datasets.add("disks", Disks)
    registries.generators.add("from_look", FromLook)
    registries.discriminators.add("projection", Projection)
