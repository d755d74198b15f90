"""The image sizes of the networks that double a small base up to the image."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

import gankit
from gankit_dcgan.networks import base_and_widths
from gankit_stylegan2.feature_maps import feature_maps

SIZES: dict[str, Callable[[gankit.ImageSpec], tuple[tuple[int, int], int]]] = {
    "dcgan": lambda image: (base_and_widths(image, 2)[0], len(base_and_widths(image, 2)[1])),
    "stylegan2": lambda image: (feature_maps(image, 2, 8)[0].size, len(feature_maps(image, 2, 8)) - 1),
}
"""For each network: an image to the size of its base, and the number of doublings from the base to the image."""


@pytest.mark.parametrize("network", SIZES)
@given(base=st.tuples(st.integers(1, 32), st.integers(1, 32)), doublings=st.integers(0, 8))
def test_a_size_works_exactly_if_the_rule_allows_it(network: str, base: tuple[int, int], doublings: int) -> None:
    image = gankit.ImageSpec(base[0] << doublings, base[1] << doublings, 3)
    short, long = sorted((image.height, image.width))
    # the rule, tried for every number of doublings
    allowed = [
        k
        for k in range(1, 15)
        if image.height % 2**k == image.width % 2**k == 0 and 4 <= short / 2**k <= 7 and long <= 4 * short
    ]
    if allowed:
        (k,) = allowed
        assert SIZES[network](image) == ((image.height // 2**k, image.width // 2**k), k)
    else:
        with pytest.raises(ValueError, match=f"{network} cannot make images of {image.height}x{image.width} "):
            SIZES[network](image)


@pytest.mark.parametrize("network", SIZES)
@pytest.mark.parametrize(
    ("size", "nearest"),
    [
        ((100, 100), "96x96 and 112x112"),
        ((65, 65), "64x64 and 80x80"),
        ((36, 36), "32x32 and 40x40"),
        ((7, 7), "8x8"),
        ((1, 1), "8x8"),
        ((64, 66), "64x64 and 64x80"),
        ((66, 64), "64x64 and 80x64"),
        ((16, 128), "20x80 and 32x128"),
    ],
)
def test_an_unsupported_size_raises_and_names_the_nearest(network: str, size: tuple[int, int], nearest: str) -> None:
    with pytest.raises(ValueError, match=f"{size[0]}x{size[1]} .*both sides must be a power of two") as caught:
        SIZES[network](gankit.ImageSpec(*size, channels=3))
    assert str(caught.value).endswith(f"the nearest sizes that work are {nearest}")


@pytest.mark.parametrize("network", SIZES)
@given(height=st.integers(1, 3000), width=st.integers(1, 3000))
def test_the_suggested_sizes_work(network: str, height: int, width: int) -> None:
    try:
        SIZES[network](gankit.ImageSpec(height, width, 3))
    except ValueError as error:
        suggested = str(error).rpartition(" work are ")[2].split(" and ")
        assert 1 <= len(suggested) <= 2
        for size in suggested:
            SIZES[network](gankit.ImageSpec(*map(int, size.split("x")), channels=3))
