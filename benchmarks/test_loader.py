"""Batches of real images: from memory, and decoded each time, against torchvision's way."""

from __future__ import annotations

from itertools import islice

import pytest
import torch
import torchvision.transforms as T
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder

BATCH = 64
TRANSFORM = T.Compose([T.Resize(64), T.CenterCrop(64), T.ToTensor(), T.Normalize((0.5,) * 3, (0.5,) * 3)])
SOURCES = {
    "memory-resized_once": ("memory", "folder", 0),
    "memory-native_size": ("memory", "cifar10", 0),
    "folder-no_workers": ("none", "folder", 0),
    "folder-2_workers": ("none", "folder", 2),
    "zip-no_workers": ("none", "zip", 0),
    "zip-2_workers": ("none", "zip", 2),
}


@pytest.mark.parametrize("source", SOURCES)
def test_loader(source, assemble, some_pictures, compare, amount, device, benchmark):
    """As many batches as come out of the set in two epochs, at most; the images are 32 px, and wanted at 64."""
    cache, kind, workers = SOURCES[source]
    path = {"folder": some_pictures.folder, "zip": some_pictures.zip}.get(kind)
    data = f"{{name: image_folder, path: {path}}}" if path else f"{{name: cifar10, root: {some_pictures.root}}}"
    settings = [f"dataset={data}", f"loader.cache={cache}", f"loader.workers={workers}"]
    loader = assemble("dcgan_cifar10", *settings).setup.loader
    plain = endless(ImageFolder(str(some_pictures.folder), TRANSFORM), device)
    # so many that what workers have read ahead does not count
    batches = 2 if amount.quick else 64
    stream = loader.stream(0)

    def ours():
        for batch in islice(stream, batches):
            batch.images.sum()  # used, as far as that it is there

    def torchvision():
        for images in islice(plain, batches):
            images.sum()

    assert next(stream).images.shape == next(plain).shape == (BATCH, 3, 64, 64)
    compare(
        ours,
        torchvision,
        against="ImageFolder, PIL transforms, DataLoader with 2 workers",
        images=BATCH * batches,
        rounds=min(amount.rounds, 10),
    )
    benchmark.extra_info["data"] = some_pictures.name


def endless(dataset, device):
    loader = DataLoader(dataset, BATCH, shuffle=True, num_workers=2, drop_last=True)
    while True:
        for images, _ in loader:
            yield images.to(device, memory_format=torch.channels_last)
