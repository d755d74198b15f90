"""Batches of real images, from memory or decoded each time, against torchvision's `ImageFolder`."""

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
def test_loader(source, assemble, image_subset, compare, amount, device, benchmark):
    """Reads at most two epochs. Images of 32 px are resized to 64 px."""
    cache, kind, workers = SOURCES[source]
    path = {"folder": image_subset.folder, "zip": image_subset.zip}.get(kind)
    data = f"{{name: image_folder, path: {path}}}" if path else f"{{name: cifar10, root: {image_subset.root}}}"
    settings = [f"dataset={data}", f"loader.cache={cache}", f"loader.workers={workers}"]
    loader = assemble("dcgan_cifar10", *settings).setup.loader
    plain = endless(ImageFolder(str(image_subset.folder), TRANSFORM), device)
    # enough batches to make prefetched ones negligible
    batches = 2 if amount.quick else 64
    stream = loader.stream(0)

    def ours():
        for batch in islice(stream, batches):
            batch.images.sum()  # makes sure that the batch has been computed

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
    benchmark.extra_info["data"] = image_subset.name


def endless(dataset, device):
    loader = DataLoader(dataset, BATCH, shuffle=True, num_workers=2, drop_last=True)
    while True:
        for images, _ in loader:
            yield images.to(device, memory_format=torch.channels_last)
