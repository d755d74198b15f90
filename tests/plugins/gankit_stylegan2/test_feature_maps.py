import pytest
from hypothesis import given
from hypothesis import strategies as st

import gankit
from gankit_stylegan2.feature_maps import feature_maps


@pytest.mark.parametrize(
    ("size", "width", "expected"),
    [
        ((32, 32), 512, [((4, 4), 512), ((8, 8), 512), ((16, 16), 512), ((32, 32), 512)]),
        ((28, 28), 64, [((7, 7), 256), ((14, 14), 128), ((28, 28), 64)]),
        ((48, 96), 256, [((6, 12), 512), ((12, 24), 512), ((24, 48), 512), ((48, 96), 256)]),
        ((8, 8), 3, [((4, 4), 6), ((8, 8), 3)]),
    ],
)
def test_feature_maps_follow_from_the_size(
    size: tuple[int, int], width: int, expected: list[tuple[tuple[int, int], int]]
) -> None:
    assert feature_maps(gankit.ImageSpec(*size, channels=3), width, 512) == expected


def test_channels_of_the_published_networks() -> None:
    # config F at 1024 px: min(32768 / side, 512)
    maps = feature_maps(gankit.ImageSpec(1024, 1024, 3), 32, 512)
    assert [fmap.channels for fmap in maps] == [min(2**15 // fmap.size[0], 512) for fmap in maps]
    assert len(maps) == 9


@given(base=st.tuples(st.integers(1, 32), st.integers(1, 32)), doublings=st.integers(0, 8))
def test_a_size_works_exactly_if_the_rule_allows_it(base: tuple[int, int], doublings: int) -> None:
    image = gankit.ImageSpec(base[0] << doublings, base[1] << doublings, 3)
    short, long = sorted((image.height, image.width))
    allowed = [
        k
        for k in range(1, 15)
        if image.height % 2**k == image.width % 2**k == 0 and 4 <= short / 2**k <= 7 and long <= 4 * short
    ]
    if allowed:
        assert [fmap.size for fmap in feature_maps(image, 2, 8)] == [
            (image.height // 2**k, image.width // 2**k) for k in range(allowed[0], -1, -1)
        ]
    else:
        with pytest.raises(ValueError, match=f"stylegan2 cannot make images of {image.height}x{image.width} "):
            feature_maps(image, 2, 8)


@pytest.mark.parametrize(
    ("size", "nearest"),
    [
        ((100, 100), "96x96 and 112x112"),
        ((36, 36), "32x32 and 40x40"),
        ((1, 1), "8x8"),
        ((64, 66), "64x64 and 64x80"),
        ((66, 64), "64x64 and 80x64"),
        ((16, 128), "20x80 and 32x128"),
    ],
)
def test_an_unsupported_size_raises_and_names_the_nearest(size: tuple[int, int], nearest: str) -> None:
    with pytest.raises(ValueError, match=f"{size[0]}x{size[1]} .*both sides must be a power of two") as caught:
        feature_maps(gankit.ImageSpec(*size, channels=3), 64, 512)
    assert str(caught.value).endswith(f"the nearest sizes that work are {nearest}")
