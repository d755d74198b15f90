"""Products with sparse matrices resize to the same pixels as torch's own kernel."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from gankit.data import resize as resize_module
from gankit.data.resize import resize, to_float
from gankit.data.resize_products import can_use_products, resize_by_products

SIDES = st.integers(64, 400)

exact = pytest.mark.skipif(
    not can_use_products(torch.zeros(1, 3, 100, 100, dtype=torch.uint8), 80, 80),
    reason="products are not exact with this processor or build of torch",
)


def images(height, width, channels=3, n=1):
    random = torch.Generator().manual_seed(height * 1000 + width)
    return torch.randint(0, 256, (n, channels, height, width), dtype=torch.uint8, generator=random)


@exact
@settings(deadline=None, max_examples=40)
@given(SIDES, SIDES, SIDES, SIDES, st.integers(1, 4), st.integers(1, 2))
def test_pixels_are_those_of_torch(old_height, old_width, height, width, channels, n):
    given_images = images(old_height, old_width, channels, n)
    if not can_use_products(given_images, height, width):
        assert max(old_height / height, old_width / width) >= 2
        return
    kernel = F.interpolate(given_images.float(), (height, width), mode="bilinear", antialias=True, align_corners=False)
    expected = kernel.round().clamp(0, 255).byte()
    rows, columns = slice(height // 4, height), slice(1, width - 3)
    resized = resize_by_products(given_images, height, width, rows, columns)
    assert torch.equal(resized, expected[..., rows, columns])
    assert resized.is_contiguous(memory_format=torch.channels_last)


@exact
@pytest.mark.parametrize("fit", ["crop", "stretch", "pad"])
@pytest.mark.parametrize("size", [(375, 500), (500, 333), (200, 210), (256, 300)])
def test_resize_is_the_same_with_and_without_products(fit, size, monkeypatch):
    given_images = images(*size)
    for window in (None, (0.1, 0.9)):
        fast = resize(given_images, 256, 256, fit, window)
        with monkeypatch.context() as patch:
            patch.setattr(resize_module, "can_use_products", lambda *given: False)
            assert torch.equal(fast, resize(given_images, 256, 256, fit, window))


@pytest.mark.parametrize(
    ("old", "new"), [((32, 32), (64, 64)), ((63, 400), (256, 256)), ((512, 300), (256, 256)), ((1025, 900), (800, 800))]
)
def test_other_sizes_use_the_kernel(old, new):
    assert not can_use_products(images(*old), *new)


def test_floats_of_large_batches_are_those_of_small_ones():
    values = torch.arange(256, dtype=torch.uint8).repeat(3 * 512).view(2, 3, 256, 256)
    for layout in (torch.contiguous_format, torch.channels_last):
        floats = to_float(values.contiguous(memory_format=layout))
        assert torch.equal(floats, values.float().div(127.5).sub(1))
        assert floats.is_contiguous(memory_format=layout)
        assert floats.data_ptr() % 64 == 0
