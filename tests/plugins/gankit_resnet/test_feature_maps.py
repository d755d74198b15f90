import pytest
from hypothesis import given
from hypothesis import strategies as st

import gankit
from gankit_resnet.feature_maps import feature_maps


@pytest.mark.parametrize(
    ("size", "width", "base", "widths", "halvings"),
    [
        ((32, 32), 256, (4, 4), (256, 256, 256, 256), 2),  # CIFAR-10
        ((48, 48), 256, (6, 6), (256, 256, 256, 256), 2),
        ((128, 128), 1024, (4, 4), (1024, 1024, 512, 256, 128, 64), 5),  # ImageNet
        ((64, 64), 1024, (4, 4), (1024, 512, 256, 128, 64), 4),
        ((256, 256), 1024, (4, 4), (1024, 1024, 1024, 512, 256, 128, 64), 6),
        ((8, 8), 16, (4, 4), (16, 16), 1),
        ((28, 56), 16, (7, 14), (16, 16, 16), 1),
        ((64, 96), 16, (4, 6), (16, 8, 4, 2, 1), 4),
        ((64, 64), 4, (4, 4), (4, 2, 1, 1, 1), 4),
    ],
)
def test_feature_maps_follow_from_the_size(size, width, base, widths, halvings):
    maps = feature_maps(gankit.ImageSpec(*size, channels=3), width, "auto")
    assert maps.sizes[0] == base
    assert maps.sizes[-1] == size
    assert all((2 * h, 2 * w) == after for (h, w), after in zip(maps.sizes, maps.sizes[1:], strict=False))
    assert (maps.widths, maps.halvings) == (widths, halvings)


def test_widths_can_be_chosen():
    image = gankit.ImageSpec(48, 48, 3)
    assert feature_maps(image, 512, "pyramid").widths == (512, 256, 128, 64)  # the paper's G for STL-10
    assert feature_maps(image, 512, "pyramid").halvings == 3
    assert feature_maps(gankit.ImageSpec(64, 64, 3), 32, "constant").widths == (32,) * 5
    assert feature_maps(gankit.ImageSpec(64, 64, 3), 32, "constant").halvings == 3


@given(height=st.integers(1, 600), width=st.integers(1, 600))
def test_a_size_works_exactly_if_the_rule_allows_it_and_the_suggested_sizes_work(height, width):
    def allowed(height, width):
        return [k for k in range(1, 12) if height % 2**k == width % 2**k == 0 and 4 <= min(height, width) / 2**k <= 7]

    image = gankit.ImageSpec(height, width, 3)
    if found := allowed(height, width):
        assert len(feature_maps(image, 2, "auto").sizes) == found[0] + 1
        return
    with pytest.raises(ValueError, match=f"resnet cannot make images of {height}x{width} ") as caught:
        feature_maps(image, 2, "auto")
    suggested = str(caught.value).rpartition(" work are ")[2].split(" and ")
    assert all(allowed(*map(int, size.split("x"))) for size in suggested)


@pytest.mark.parametrize(
    ("size", "nearest"),
    [
        ((33, 33), "32x32 and 40x40"),
        ((100, 100), "96x96 and 112x112"),
        ((64, 100), "64x96 and 64x112"),
        ((3, 3), "8x8"),
    ],
)
def test_an_unsupported_size_raises_and_names_the_nearest(size, nearest):
    with pytest.raises(
        ValueError, match="times those of a base whose short side is 4 to 7 pixels; the nearest"
    ) as caught:
        feature_maps(gankit.ImageSpec(*size, channels=3), 64, "auto")
    assert str(caught.value).endswith(f"the nearest sizes that work are {nearest}")
