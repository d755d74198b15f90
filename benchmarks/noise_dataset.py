"""A dataset of random images, which replaces datasets that need a download or files."""

from __future__ import annotations

import torch
from pydantic import NonNegativeInt, PositiveInt
from torch import Tensor

import gankit

SIZES = {"cifar10": (32, 3, 10), "mnist": (28, 1, 10), "fashion_mnist": (28, 1, 10), "image_folder": (64, 3, 0)}


class NoiseDataset:
    """Uniform noise in memory."""

    split = "train"

    def __init__(
        self,
        *,
        count: PositiveInt = 2048,
        side: PositiveInt = 32,
        channels: PositiveInt = 3,
        classes: NonNegativeInt = 10,
    ) -> None:
        self.count, self.spec = count, gankit.ImageSpec(side, side, channels)
        self.classes = tuple(str(label) for label in range(classes)) or None

    def prepare(self) -> None:
        shape = (self.count, self.spec.channels, self.spec.height, self.spec.width)
        random = torch.Generator().manual_seed(0)
        self.images = torch.randint(0, 256, shape, dtype=torch.uint8, generator=random)

    def tensors(self) -> tuple[Tensor, Tensor]:
        return self.images, torch.arange(self.count) % max(1, len(self.classes or ()))

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.images[index], int(self.tensors()[1][index])


def noise_instead_of(dataset: str) -> list[str]:
    """Overrides that replace a dataset by noise of the same size. Empty if the dataset needs no files."""
    if dataset not in SIZES:
        return []
    side, channels, classes = SIZES[dataset]
    return [f"dataset={{name: noise, side: {side}, channels: {channels}, classes: {classes}}}"]


@gankit.hookimpl
def register(registries: gankit.Registries) -> None:
    registries.datasets.add("noise", NoiseDataset)
