"""Signals of one dimension, as images [n 1 1 w]."""

import math

import torch
from torch import Tensor, nn

import gankit


class Waves:
    """Sine waves of different frequencies and phases."""

    spec = gankit.ImageSpec(1, 64, 1)

    def __len__(self) -> int:
        return 64

    def __getitem__(self, index: int) -> Tensor:
        phase = 2 * math.pi * torch.rand((), generator=torch.Generator().manual_seed(index))
        wave = torch.sin(torch.linspace(0, 2 * math.pi * (1 + index % 3), 64) + phase)
        return (wave * 127 + 128).byte().view(1, 1, 64)


class SignalGenerator(nn.Module):
    def __init__(self, image: gankit.ImageSpec, latent_dim: int) -> None:
        super().__init__()
        self.linear = nn.Linear(latent_dim, 16 * image.width // 4)
        self.layers = nn.Sequential(
            nn.SiLU(), nn.ConvTranspose1d(16, 8, 4, 2, 1), nn.SiLU(), nn.ConvTranspose1d(8, 1, 4, 2, 1), nn.Tanh()
        )

    def forward(self, z: Tensor) -> Tensor:
        return self.layers(self.linear(z).unflatten(1, (16, -1))).unsqueeze(2)


class SignalDiscriminator(nn.Module):
    def __init__(self, image: gankit.ImageSpec) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv1d(1, 8, 4, 2, 1), nn.SiLU(), nn.Conv1d(8, 16, 4, 2, 1), nn.SiLU(), nn.Flatten()
        )
        self.last = nn.Linear(16 * image.width // 4, 1)

    def forward(self, images: Tensor) -> Tensor:
        return self.last(self.layers(images.squeeze(2)))


@gankit.hookimpl
def register(registries: gankit.Registries) -> None:
    registries.datasets.add("waves", Waves)
    registries.generators.add("signals", SignalGenerator)
    registries.discriminators.add("signals", SignalDiscriminator)
