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


@given(base=st.integers(4, 7), doublings=st.integers(1, 8))
def test_each_feature_map_has_twice_the_size_of_the_one_before(base: int, doublings: int) -> None:
    maps = feature_maps(gankit.ImageSpec(base << doublings, base << doublings, 3), 2, 8)
    assert [fmap.size for fmap in maps] == [(base << k, base << k) for k in range(doublings + 1)]
