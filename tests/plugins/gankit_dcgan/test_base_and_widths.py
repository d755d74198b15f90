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


bases = st.tuples(st.integers(1, 32), st.integers(1, 32))


@given(base=bases, halvings=st.integers(0, 8))
def test_a_size_works_exactly_if_the_rule_allows_it(base: tuple[int, int], halvings: int) -> None:
    image = gankit.ImageSpec(base[0] << halvings, base[1] << halvings, 3)
    # the rule, tried for every number of halvings
    allowed = [
        k
        for k in range(1, 15)
        if image.height % 2**k == image.width % 2**k == 0
        and 4 <= min(image.height, image.width) / 2**k <= 7
        and max(image.height, image.width) <= 4 * min(image.height, image.width)
    ]
    if allowed:
        (k,) = allowed
        base, widths = base_and_widths(image, 2)
        assert base == (image.height // 2**k, image.width // 2**k)
        assert widths == [2 * 2**i for i in reversed(range(k))]
    else:
        with pytest.raises(ValueError, match=f"dcgan cannot make images of {image.height}x{image.width} "):
            base_and_widths(image, 2)


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
def test_an_unsupported_size_raises_and_names_the_nearest(size: tuple[int, int], nearest: str) -> None:
    with pytest.raises(ValueError, match=f"{size[0]}x{size[1]} .*both sides must be a power of two") as caught:
        base_and_widths(gankit.ImageSpec(*size, channels=3), 64)
    assert str(caught.value).endswith(f"the nearest sizes that work are {nearest}")


@given(height=st.integers(1, 3000), width=st.integers(1, 3000))
def test_the_suggested_sizes_work(height: int, width: int) -> None:
    try:
        base_and_widths(gankit.ImageSpec(height, width, 3), 1)
    except ValueError as error:
        suggested = str(error).rpartition(" work are ")[2].split(" and ")
        for size in suggested:
            base_and_widths(gankit.ImageSpec(*map(int, size.split("x")), channels=3), 1)
