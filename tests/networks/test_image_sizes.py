"""Image pyramids against exhaustive search."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gankit import ImagePyramid, ImageSpec

pyramids = st.builds(
    ImagePyramid,
    network=st.just("net"),
    min_doublings=st.integers(0, 2),
    max_doublings=st.none() | st.integers(3, 5),
    max_aspect_ratio=st.none() | st.integers(1, 4),
    patch=st.integers(1, 3),
)
sides = st.integers(1, 120)


def bases(pyramid: ImagePyramid, height: int, width: int) -> list[tuple[int, int, int]]:
    """(doublings, height, width) of every base that gives the image size."""
    most = 12 if pyramid.max_doublings is None else pyramid.max_doublings
    found = []
    for doublings in range(pyramid.min_doublings, most + 1):
        pixels = pyramid.patch * 2**doublings
        short, long = min(height, width) / pixels, max(height, width) / pixels
        if (
            height % pixels == width % pixels == 0
            and 4 <= short <= 7
            and long / short <= (pyramid.max_aspect_ratio or long)
        ):
            found.append((doublings, height // pixels, width // pixels))
    return found


@given(pyramid=pyramids, height=sides, width=sides)
@settings(max_examples=300)
def test_a_size_works_exactly_if_it_has_a_base(pyramid: ImagePyramid, height: int, width: int) -> None:
    found = bases(pyramid, height, width)
    if not found:
        assert pyramid.doublings(height, width) is None
        with pytest.raises(ValueError, match=f"^net cannot make images of {height}x{width} "):
            pyramid.sizes(ImageSpec(height, width, 3))
        return
    ((doublings, base_height, base_width),) = found
    assert pyramid.doublings(height, width) == doublings
    assert pyramid.sizes(ImageSpec(height, width, 3)) == [
        (base_height * 2**k, base_width * 2**k) for k in range(doublings + 1)
    ]


@given(
    pyramid=pyramids,
    height=st.integers(1, 40),
    width=st.integers(1, 40),
)
@settings(max_examples=15, deadline=None)
def test_the_nearest_sizes_of_smaller_and_of_larger_area(pyramid: ImagePyramid, height: int, width: int) -> None:
    area = height * width
    limit = 100  # some supported square is above 40 and below 100 px
    sizes = [
        (h, w)
        for h in range(pyramid.patch, limit, pyramid.patch)
        for w in ([h] if height == width else range(pyramid.patch, limit, pyramid.patch))
        if pyramid.doublings(h, w) is not None
    ]
    nearest = pyramid.nearest(height, width)
    groups = [
        group
        for group in ([s for s in sizes if s[0] * s[1] <= area], [s for s in sizes if s[0] * s[1] > area])
        if group
    ]
    assert len(nearest) == len(groups)
    for size, group in zip(nearest, groups, strict=True):
        assert size in group
        assert abs(size[0] - height) + abs(size[1] - width) == min(abs(h - height) + abs(w - width) for h, w in group)


@given(pyramid=pyramids, height=st.integers(1, 3000), width=st.integers(1, 3000))
@settings(deadline=None)
def test_nearest_sizes_work_and_a_supported_size_is_its_own_nearest(
    pyramid: ImagePyramid, height: int, width: int
) -> None:
    nearest = pyramid.nearest(height, width)
    assert all(pyramid.doublings(*size) is not None for size in nearest)
    if pyramid.doublings(height, width) is not None:
        assert nearest[0] == (height, width)


@pytest.mark.parametrize(
    ("pyramid", "size", "message"),
    [
        (
            ImagePyramid("dcgan"),
            (100, 100),
            "dcgan cannot make images of 100x100 (height x width): both sides must be a power of two (2 or more) times "
            "those of a base whose short side is 4 to 7 pixels and whose long side is at most 4 times that; "
            "the nearest sizes that work are 96x96 and 112x112",
        ),
        (
            ImagePyramid("net", max_doublings=3, max_aspect_ratio=None),
            (3, 3),
            "net cannot make images of 3x3 (height x width): both sides must be a power of two (2 to 8) times "
            "those of a base whose short side is 4 to 7 pixels; the nearest sizes that work are 8x8",
        ),
        (
            ImagePyramid("net", min_doublings=0, patch=2),
            (33, 33),
            "net cannot make images of 33x33 (height x width): both sides must be a power of two (1 or more) times "
            "those of a base whose short side is 4 to 7 pixels and whose long side is at most 4 times that, times the "
            "patch of 2; the nearest sizes that work are 32x32 and 40x40",
        ),
    ],
)
def test_message(pyramid: ImagePyramid, size: tuple[int, int], message: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        pyramid.sizes(ImageSpec(*size, channels=3))
    assert str(caught.value) == message


def test_the_module_imports_no_torch() -> None:
    script = "import sys, gankit; gankit.ImagePyramid; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
