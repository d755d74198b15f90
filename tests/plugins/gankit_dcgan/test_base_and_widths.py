import pytest
from hypothesis import given
from hypothesis import strategies as st

import gankit
from gankit_dcgan.networks import base_and_widths


@pytest.mark.parametrize(
    ("size", "base", "widths"),
    [
        ((8, 8), (4, 4), (64,)),
        ((28, 28), (7, 7), (128, 64)),
        ((32, 32), (4, 4), (256, 128, 64)),
        ((64, 64), (4, 4), (512, 256, 128, 64)),
        ((96, 96), (6, 6), (512, 256, 128, 64)),
        ((128, 128), (4, 4), (1024, 512, 256, 128, 64)),
        ((64, 128), (4, 8), (512, 256, 128, 64)),
        ((128, 64), (8, 4), (512, 256, 128, 64)),
        ((64, 96), (4, 6), (512, 256, 128, 64)),
        ((16, 64), (4, 16), (128, 64)),
    ],
)
def test_base_and_widths_follow_from_the_size(
    size: tuple[int, int], base: tuple[int, int], widths: tuple[int, ...]
) -> None:
    assert base_and_widths(gankit.ImageSpec(*size, channels=3), 64) == (base, list(widths))


@given(base=st.integers(4, 7), doublings=st.integers(1, 8), width=st.integers(1, 64))
def test_each_smaller_feature_map_has_twice_as_many_channels(base: int, doublings: int, width: int) -> None:
    side = base << doublings
    _, widths = base_and_widths(gankit.ImageSpec(side, side, 3), width)
    assert widths == [width * 2**i for i in reversed(range(doublings))]
