"""Real pictures spoilt on purpose: the scores have to say so, and to say how."""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms.functional import gaussian_blur

from gankit_metrics import PRDC, EffNetLite0, FrechetDistance, KernelDistance, Memorization, Pixels

pytestmark = pytest.mark.slow
Scores = dict[str, dict[str, float]]


def pictures(file: str, first: int, count: int, only: str = "") -> Tensor:
    """``count`` uint8 images [n 3 32 32], from number ``first`` on in each class, or all of one class."""
    path = Path(os.environ.get("GANKIT_DATA_DIR", "")) / file
    if not path.is_file():
        pytest.skip(f"needs {file} in $GANKIT_DATA_DIR")
    with zipfile.ZipFile(path) as archive:
        names = sorted(name for name in archive.namelist() if not name.endswith("/"))
        classes = [only] if only else sorted({name.split("/")[0] for name in names})
        each = count // len(classes)
        chosen = [name for c in classes for name in [n for n in names if n.startswith(f"{c}/")][first : first + each]]
        images = [np.array(Image.open(io.BytesIO(archive.read(name))).convert("RGB")) for name in chosen]
    assert len(images) == count
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)


def sets(test: Tensor) -> Iterator[tuple[str, Tensor]]:
    noise = torch.randn(test.shape, generator=torch.Generator().manual_seed(0))
    yield "test", test
    yield "slight_blur", gaussian_blur(test, 5, 0.5)
    yield "blur", gaussian_blur(test, 9, 1.5)
    yield "noise", (test + 32 * noise).round().clamp(0, 255).to(torch.uint8)
    yield "one_class", pictures("cifar10-train.zip", 200, 2000, "automobile")


@pytest.fixture(scope="module")
def scores() -> Scores:
    """Each set of 2,000 against 2,000 training images."""
    torch.manual_seed(0)
    extractor = EffNetLite0()
    real = extractor(pictures("cifar10-train.zip", 0, 2000))
    fakes = {name: extractor(images) for name, images in sets(pictures("cifar10-test.zip", 0, 2000))}
    fakes["one_image"] = fakes["test"][:1].expand(2000, -1)
    found: Scores = {}
    for name, fake in fakes.items():
        found[name] = {}
        for metric in (FrechetDistance(), KernelDistance(subsets=10), PRDC()):
            metric.update(real, True)
            metric.update(fake, False)
            found[name] |= metric.compute()
        print(name, {key: round(value, 4) for key, value in found[name].items()}, flush=True)
    return found


@pytest.mark.parametrize("distance", ["fd", "kid"])
def test_other_real_pictures_are_closest_and_one_picture_is_farthest(scores, distance):
    order = sorted(scores, key=lambda name: scores[name][distance])
    assert order[0] == "test"
    assert order[-1] == "one_image"
    assert scores["slight_blur"][distance] < scores["blur"][distance]
    assert all(scores[name][distance] > 3 * scores["test"][distance] for name in ("blur", "noise", "one_class"))


def test_missing_classes_show_in_recall_and_coverage(scores):
    assert scores["one_class"]["recall"] < 0.6 * scores["test"]["recall"]
    assert scores["one_class"]["coverage"] < 0.6 * scores["test"]["coverage"]
    assert scores["one_class"]["precision"] > 0.9 * scores["test"]["precision"]  # each picture is a good one
    assert scores["one_image"]["recall"] == 0
    assert scores["one_image"]["coverage"] < 0.01


def test_spoilt_pictures_show_in_precision_and_density(scores):
    for spoilt in ("noise", "blur"):
        assert scores[spoilt]["precision"] < scores["test"]["precision"]
        assert scores[spoilt]["density"] < scores["test"]["density"]


def test_other_real_pictures_fare_well(scores):
    assert 0.9 < scores["test"]["density"] < 1.1
    assert scores["test"]["coverage"] > 0.9
    assert abs(scores["test"]["kid"]) < 3 * scores["test"]["kid_std"]


def test_copies_of_training_pictures_are_memorized_and_test_pictures_are_not():
    train, test = pictures("cifar10-train.zip", 0, 10_000), pictures("cifar10-test.zip", 0, 1000)
    noise = 8 * torch.randn(test.shape, generator=torch.Generator().manual_seed(0))
    noisy = (train[::10] + noise).round().clamp(0, 255).to(torch.uint8)
    found = []
    for fake in (train[::10], noisy, test):
        metric = Memorization()
        for side, images in ((True, train), (False, fake)):
            metric.update(Pixels()(images), side)
        found.append(metric.compute()["memorized"])
    assert found[:2] == [1, 1]
    assert found[2] < 0.03  # some pictures of CIFAR-10 are similar to others
