"""Resizing in floats and in integers, and the conversion to floats."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch.nn import functional as F

from gankit.data.resize import resize, to_float


@st.composite
def random_images(draw, least, most):
    n, channels = draw(st.integers(1, 3)), draw(st.integers(1, 4))
    height, width = draw(st.integers(least, most)), draw(st.integers(least, most))
    random = torch.Generator().manual_seed(height * 1000 + width)
    images = torch.randint(0, 256, (n, channels, height, width), dtype=torch.uint8, generator=random)
    return images.contiguous(memory_format=torch.channels_last) if draw(st.booleans()) else images


def in_floats(images, size):
    return F.interpolate(images.float(), size, mode="bilinear", antialias=True, align_corners=False)


@settings(deadline=None, max_examples=50)
@given(random_images(1, 63), st.tuples(st.integers(1, 90), st.integers(1, 90)))
def test_small_images_are_those_of_floats_rounded(images, size):
    assert torch.equal(resize(images, *size, fit="stretch"), in_floats(images, size).round().clamp(0, 255).byte())


@settings(deadline=None, max_examples=50)
@given(random_images(64, 400), st.tuples(st.integers(32, 400), st.integers(32, 400)))
def test_large_images_are_at_most_one_level_away_from_floats(images, size):
    resized = resize(images, *size, fit="stretch")
    error = resized - in_floats(images, size)
    assert float(error.abs().max()) < 1.05
    assert float(error.square().mean().sqrt()) < 0.45  # of rounding alone 0.29
    alone = [resize(image[None].contiguous(), *size, fit="stretch") for image in images]
    assert torch.equal(torch.cat(alone), resized)


@pytest.mark.parametrize("size", [(256, 256), (100, 300), (500, 700)])
def test_photos_are_resized_as_by_pillow(size):
    noise = np.random.default_rng(0).integers(0, 256, (375, 500, 3), dtype=np.uint8)
    by_pillow = np.asarray(Image.fromarray(noise).resize(size[::-1], Image.Resampling.BILINEAR)).astype(int)
    ours = resize(torch.from_numpy(noise).permute(2, 0, 1)[None], *size, fit="stretch")[0].permute(1, 2, 0).numpy()
    assert np.abs(ours - by_pillow).max() <= 1


def test_floats_of_large_batches_are_those_of_small_ones():
    values = torch.arange(256, dtype=torch.uint8).repeat(3 * 512).view(2, 3, 256, 256)
    for layout in (torch.contiguous_format, torch.channels_last):
        floats = to_float(values.contiguous(memory_format=layout))
        assert torch.equal(floats, values.float().div(127.5).sub(1))
        assert floats.is_contiguous(memory_format=layout)
        assert floats.data_ptr() % 64 == 0
