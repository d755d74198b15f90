"""The recipe for CIFAR-10: translations of held-out images look like the other class, to a classifier of its own."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import gankit

RECIPE = Path(__file__).parents[3] / "recipes/cyclegan_cifar10_horse2deer.yaml"
CLASSES = ("horse", "deer")


@pytest.fixture
def horses_and_deer():
    """``horses_and_deer(split)``: the images of both classes, uint8 [n 3 32 32]."""
    registry = gankit.Runtime().registries.datasets

    def read(split):
        if not (Path(os.environ.get("GANKIT_DATA_DIR", "")) / f"cifar10-{split}.zip").is_file():
            pytest.skip(f"needs cifar10-{split}.zip in $GANKIT_DATA_DIR")
        dataset = registry.get("cifar10").factory(split=split)
        dataset.prepare()
        images, labels = dataset.tensors()
        return [images[labels == dataset.classes.index(name)] for name in CLASSES]

    return read


def pixels(images):
    return images.float() / 127.5 - 1


def trained_classifier(of_classes):
    """A small network that tells the two classes apart. Its images are mirrored and shifted at random."""
    torch.manual_seed(0)
    layers, channels = [], 3
    for width in (32, 64, 128):
        layers += [nn.Conv2d(channels, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(), nn.MaxPool2d(2)]
        channels = width
    network = nn.Sequential(*layers, nn.Flatten(), nn.Dropout(0.3), nn.Linear(channels * 4 * 4, 2))
    images, labels = torch.cat(of_classes), torch.arange(2).repeat_interleave(len(of_classes[0]))
    steps = 500
    optimizer = torch.optim.AdamW(network.parameters(), 1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 5e-3, steps)
    for _ in range(steps):
        chosen = torch.randint(len(images), (100,))
        batch = pixels(images[chosen]).roll(torch.randint(-3, 4, (2,)).tolist(), (2, 3))
        batch = torch.where(torch.rand(100, 1, 1, 1) < 0.5, batch, batch.flip(3))
        optimizer.zero_grad()
        F.cross_entropy(network(batch), labels[chosen]).backward()
        optimizer.step()
        schedule.step()
    return network.eval()


@pytest.mark.slow
def test_translations_look_like_the_other_class(horses_and_deer, tmp_path):
    """After an eighth of the recipe's training, in both directions, on 1,000 held-out images of each class."""
    held_out = horses_and_deer("test")
    classify = trained_classifier(horses_and_deer("train"))

    @torch.no_grad()
    def share(images, other):
        return (classify(pixels(images)).argmax(dim=1) == other).float().mean().item()

    before = [share(held_out[0], other=1), share(held_out[1], other=0)]
    assert max(before) < 0.2  # the classifier has learned the classes
    runtime = gankit.Runtime()
    runtime.assemble(runtime.load_checked(RECIPE, ["train.images=4000", "callbacks=[checkpoint]"]), tmp_path / "run").fit()
    translate = gankit.load_generator(tmp_path / "run").sample
    deer, horses = translate(inputs={"source": held_out[0]}), translate(inputs={"source": held_out[1]}, reverse=True)
    after = [share(deer, other=1), share(horses, other=0)]
    assert after[0] > before[0] + 0.1
    assert after[1] > before[1] + 0.1
