"""Perceptual hashes against the transform of SciPy, and near duplicates against all pairs."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from gankit.data.packing.perceptual_hash import NearDuplicates, perceptual_hash


def smooth(seed: int, channels: int = 3, side: int = 64) -> torch.Tensor:
    """An image without sharp edges, uint8 [c h w]."""
    coarse = torch.rand(1, channels, 6, 6, generator=torch.Generator().manual_seed(seed))
    return F.interpolate(coarse, (side, side), mode="bicubic").clamp(0, 1)[0].mul(255).byte()


def distance(one: int, two: int) -> int:
    return (one ^ two).bit_count()


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_the_bits_are_low_frequencies_above_their_median(channels):
    dctn = pytest.importorskip("scipy.fft").dctn
    image = smooth(3, channels, side=32)  # of the size that is transformed
    colors = image[:3].double().numpy() if channels >= 3 else image[:1].double().numpy()
    luma = np.tensordot([0.299, 0.587, 0.114] if channels >= 3 else [1.0], colors, axes=1)
    low = dctn(luma, type=2)[:8, :8].flatten()
    bits = "".join("1" if value > np.median(low) else "0" for value in low)
    assert perceptual_hash(image) == int(bits, 2)


def test_small_changes_keep_the_hash_and_other_images_have_another():
    images = [smooth(seed) for seed in range(30)]
    hashes = [perceptual_hash(image) for image in images]
    for image, own in zip(images, hashes, strict=True):
        smaller = F.interpolate(image[None].float(), (40, 50), mode="bilinear", antialias=True)[0].byte()
        brighter = image.float().mul(0.9).add(10).byte()
        assert distance(own, perceptual_hash(smaller)) <= 4
        assert distance(own, perceptual_hash(brighter)) <= 4
    assert min(distance(a, b) for i, a in enumerate(hashes) for b in hashes[:i]) > 8


def test_even_areas_of_any_color_are_alike():
    hashes = {perceptual_hash(torch.full((3, 50, 70), value, dtype=torch.uint8)) for value in (1, 90, 187, 255)}
    assert len(hashes) == 1


@given(st.lists(st.integers(0, 2**64 - 1) | st.integers(0, 15), max_size=30), st.integers(0, 64))
@settings(max_examples=100, deadline=None)
def test_each_image_is_compared_with_all_that_were_kept(hashes, limit):
    known, kept = NearDuplicates(limit, len(hashes)), []
    for value in hashes:
        distances = [distance(value, other) for other in kept]
        found = known.find(value)
        if distances and min(distances) <= limit:
            assert found is not None
            assert (distances[found[0]], found[1]) == (min(distances), min(distances))
        else:
            assert found is None
            kept.append(value)
