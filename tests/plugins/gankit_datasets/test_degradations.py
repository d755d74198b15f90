"""Sources made from images, against references written with Pillow and NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch.nn import functional as F

import gankit
from gankit_datasets import Derived, Shapes


class Smooth:
    """A random smooth picture with a dark bar."""

    classes, spec = None, gankit.ImageSpec.any_size(3)

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int):
        coarse = torch.rand(1, 3, 5, 7, generator=torch.Generator().manual_seed(index))
        image = F.interpolate(coarse, size=(40, 56), mode="bilinear")[0].mul(255).byte()
        image[..., 10:15] //= 4
        return image


class White:
    classes, spec = None, gankit.ImageSpec.any_size(3)

    def __init__(self, height: int, width: int) -> None:
        self.height, self.width = height, width

    def __len__(self) -> int:
        return 20

    def __getitem__(self, index: int):
        return torch.full((3, self.height, self.width), 255, dtype=torch.uint8)


def derive(dataset: gankit.Dataset, source: str, **params) -> Derived:
    derived = Derived(dataset=dataset, source=source, **params)
    derived.prepare()
    return derived


def as_array(image: torch.Tensor) -> np.ndarray:
    return image.permute(1, 2, 0).numpy()


class TestSources:
    item = Smooth()[0]

    def source(self, kind: str, **params) -> np.ndarray:
        item = derive(Smooth(), kind, **params)[0]
        assert torch.equal(item["image"], self.item[:, : item["image"].shape[1], : item["image"].shape[2]])
        return as_array(item["source"]).astype(float)

    def test_gray(self):
        expected = as_array(self.item) @ [0.299, 0.587, 0.114]
        assert np.abs(self.source("gray")[..., 0] - expected).max() <= 0.51
        assert np.abs(self.source("gray")[..., 0] - np.asarray(Image.fromarray(as_array(self.item)).convert("L"))).max() <= 1

    @pytest.mark.parametrize("scale", [2, 4, 8])
    def test_downscale(self, scale):
        size = 56 // scale, 40 // scale
        expected = np.asarray(Image.fromarray(as_array(self.item)).resize(size, Image.Resampling.BICUBIC))
        assert np.abs(self.source("downscale", scale=scale) - expected).max() <= 1

    def test_edges(self):
        gray = np.pad(as_array(self.item) @ [0.299, 0.587, 0.114], 1, mode="edge")
        smoothed = gray[:-2] + 2 * gray[1:-1] + gray[2:]
        across = (smoothed[:, 2:] - smoothed[:, :-2]) / 8
        smoothed = gray[:, :-2] + 2 * gray[:, 1:-1] + gray[:, 2:]
        down = (smoothed[2:] - smoothed[:-2]) / 8
        expected = np.minimum(2 * np.hypot(across, down), 255)
        assert np.abs(self.source("edges")[..., 0] - expected).max() <= 1
        assert expected.max() > 50

    @pytest.mark.parametrize("sigma", [0.7, 3.0])
    def test_blur(self, sigma):
        places = np.arange(-20, 21)
        kernel = np.exp(-(places**2) / (2 * sigma**2)) / np.exp(-(places**2) / (2 * sigma**2)).sum()
        padded = np.pad(as_array(self.item).astype(float), ((20, 20), (20, 20), (0, 0)), mode="edge")
        rows = sum(weight * padded[i : i + 40] for i, weight in enumerate(kernel))
        expected = sum(weight * rows[:, i : i + 56] for i, weight in enumerate(kernel))
        assert np.abs(self.source("blur", blur_sigma=sigma) - expected).max() <= 2

    def test_noise(self):
        dataset = Shapes(count=40, size=32)
        derived = derive(dataset, "noise", noise_sigma=20.0)
        images, sources = (torch.stack([derived[i][name] for i in range(40)]).float() for name in ("image", "source"))
        middle = (images > 80) & (images < 175)  # where noise is hardly clamped
        difference = (sources - images)[middle]
        assert abs(float(difference.mean())) < 1
        assert abs(float(difference.std()) - 20) < 1
        assert not torch.equal(sources[0] - images[0], sources[1] - images[1])

    @given(st.floats(0.01, 0.99), st.integers(1, 30), st.integers(1, 30))
    @settings(max_examples=40, deadline=None)
    def test_hole(self, share, height, width):
        derived = derive(White(height, width), "hole", hole=share)
        places = set()
        for index in range(20):
            rows, columns = (derived[index]["source"][0] != 255).nonzero().T
            sides = max(1, round(share * height)), max(1, round(share * width))
            assert (int(rows.max() - rows.min()) + 1, int(columns.max() - columns.min()) + 1) == sides
            assert len(rows) == sides[0] * sides[1]
            places.add((int(rows.min()), int(columns.min())))
        free = (height - sides[0] + 1) * (width - sides[1] + 1)
        assert len(places) == 1 if free == 1 else len(places) > min(free, 20) / 4
