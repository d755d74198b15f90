"""Networks without batch statistics, except where asked."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

import gankit


class Up(nn.Module):
    """Two transposed convolutions, with BatchNorm between them where asked."""

    def __init__(self, image: gankit.ImageSpec, latent_dim: int, *, batch_norm: bool = False) -> None:
        super().__init__()
        side = image.height // 4
        self.first = nn.Linear(latent_dim + image.classes, 6 * side * side)
        self.classes = image.classes
        self.layers = nn.Sequential(
            nn.Unflatten(1, (6, side, side)),
            nn.BatchNorm2d(6) if batch_norm else nn.Identity(),
            nn.SiLU(),
            nn.ConvTranspose2d(6, 5, 4, 2, 1),
            nn.SiLU(),
            nn.ConvTranspose2d(5, image.channels, 4, 2, 1),
            nn.Tanh(),
        )

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        if labels is not None:
            z = torch.cat([z, nn.functional.one_hot(labels, self.classes).to(z.dtype)], 1)
        return self.layers(self.first(z))


class Fuse(nn.Module):
    """Passes on what it gets, but of an image whose first pixel is white it makes NaN."""

    def forward(self, images: Tensor) -> Tensor:
        return images.masked_fill(images[:, :1, :1, :1] > 0.999, torch.nan)


class Down(nn.Module):
    """Two convolutions and a linear layer, spectrally normalised where asked, after a fuse where asked."""

    def __init__(self, image: gankit.ImageSpec, *, spectral: bool = False, fuse: bool = False) -> None:
        super().__init__()
        self.fuse = Fuse() if fuse else nn.Identity()
        layers = (
            nn.Conv2d(image.channels, 6, 4, 2, 1),
            nn.Conv2d(6, 8, 4, 2, 1),
            nn.Linear(8 * (image.height // 4) * (image.width // 4), 1),
        )
        first, second, last = (spectral_norm(layer) if spectral else layer for layer in layers)
        self.layers = nn.Sequential(first, nn.SiLU(), second, nn.SiLU(), nn.Flatten(), last)

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.layers(self.fuse(images)).flatten()
