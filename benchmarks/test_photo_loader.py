"""Batches of JPEG photos, decoded and reduced in each epoch, as for data larger than memory: against torchvision."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torchvision.transforms as T
from PIL import Image
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder

SIZE, BATCH, WORKERS = 256, 64, 2
WIDTH, HEIGHT = 500, 375
QUALITY = 90


@pytest.fixture(scope="module")
def photos(amount, tmp_path_factory) -> Path:
    """Smooth images with noise, which compress to about 80 KB, as photos of this size do."""
    folder, random = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)
    (folder / "all").mkdir()
    for index in range(2 * BATCH if amount.quick else 8 * BATCH):
        coarse = Image.fromarray(random.integers(0, 256, (24, 32, 3), dtype=np.uint8))
        pixels = np.asarray(coarse.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC), np.float32)
        pixels = pixels + random.normal(0, 8, (HEIGHT, WIDTH, 1))
        image = Image.fromarray(pixels.round().clip(0, 255).astype(np.uint8))
        image.save(folder / f"all/{index:05}.jpg", quality=QUALITY)
    return folder


def test_photo_loader(photos, assemble, compare, amount, device):
    settings = [f"dataset={{name: image_folder, path: {photos}}}", f"image.size={SIZE}", f"loader.batch_size={BATCH}"]
    settings += ["loader.cache=none", f"loader.workers={WORKERS}", "generator.width=1", "discriminator.width=1"]
    stream = assemble("dcgan_cifar10", *settings).setup.loader.stream(0)
    plain = endless(photos, device)
    batches = 2 if amount.quick else 8

    def ours():
        for batch in islice(stream, batches):
            batch.images.sum()  # makes sure that the batch has been computed

    def torchvision():
        for images in islice(plain, batches):
            images.sum()

    assert next(stream).images.shape == next(plain).shape == (BATCH, 3, SIZE, SIZE)
    compare(
        ours,
        torchvision,
        against=f"ImageFolder, Resize, CenterCrop, ToTensor, DataLoader with {WORKERS} workers",
        images=BATCH * batches,
        rounds=min(amount.rounds, 10),
    )


def endless(folder, device):
    transform = T.Compose([T.Resize(SIZE), T.CenterCrop(SIZE), T.ToTensor()])
    workers = {"num_workers": WORKERS, "persistent_workers": True}
    loader = DataLoader(ImageFolder(str(folder), transform), BATCH, shuffle=True, drop_last=True, **workers)
    while True:
        for images, _ in loader:
            yield images.to(device)
