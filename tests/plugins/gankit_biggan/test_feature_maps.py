import pytest
from hypothesis import given
from hypothesis import strategies as st

import gankit
from gankit_biggan.feature_maps import attended_blocks, discriminator_feature_maps, generator_feature_maps
from gankit_biggan.networks import BigGANDiscriminator, BigGANGenerator


@pytest.mark.parametrize(
    ("size", "base", "widths", "short_sides"),
    [
        ((8, 8), (4, 4), (4, 4), (8,)),
        ((28, 28), (7, 7), (4, 4, 4), (14, 28)),
        ((32, 32), (4, 4), (4, 4, 4, 4), (8, 16, 32)),
        ((32, 64), (4, 8), (4, 4, 4, 4), (8, 16, 32)),
        ((48, 48), (6, 6), (4, 4, 4, 4), (12, 24, 48)),
        ((64, 64), (4, 4), (16, 16, 8, 4, 2), (8, 16, 32, 64)),
        ((128, 128), (4, 4), (16, 16, 8, 4, 2, 1), (8, 16, 32, 64, 128)),
        ((256, 256), (4, 4), (16, 16, 8, 8, 4, 2, 1), (8, 16, 32, 64, 128, 256)),
        ((512, 512), (4, 4), (16, 16, 8, 8, 4, 2, 1, 1), (8, 16, 32, 64, 128, 256, 512)),
    ],
)
def test_generator(
    size: tuple[int, int], base: tuple[int, int], widths: tuple[int, ...], short_sides: tuple[int, ...]
) -> None:
    assert generator_feature_maps(gankit.ImageSpec(*size, channels=3), 1, None) == (base, widths, short_sides)


@pytest.mark.parametrize(
    ("size", "base", "widths", "short_sides"),
    [
        ((8, 8), (4, 4), (2, 2, 2), (4, 4, 4)),
        ((28, 28), (7, 7), (2, 2, 2, 2), (14, 7, 7, 7)),
        ((32, 32), (8, 8), (2, 2, 2, 2), (16, 8, 8, 8)),
        ((64, 64), (4, 4), (1, 2, 4, 8, 16), (32, 16, 8, 4, 4)),
        ((128, 64), (8, 4), (1, 2, 4, 8, 16), (32, 16, 8, 4, 4)),
        ((128, 128), (4, 4), (1, 2, 4, 8, 16, 16), (64, 32, 16, 8, 4, 4)),
        ((512, 512), (4, 4), (1, 1, 2, 4, 8, 8, 16, 16), (256, 128, 64, 32, 16, 8, 4, 4)),
    ],
)
def test_discriminator(
    size: tuple[int, int], base: tuple[int, int], widths: tuple[int, ...], short_sides: tuple[int, ...]
) -> None:
    assert discriminator_feature_maps(gankit.ImageSpec(*size, channels=3), 1, None) == (base, widths, short_sides)


@pytest.mark.parametrize(
    ("attention", "blocks"), [(None, (1,)), ((), ()), ((16,), (1,)), ((32, 8), (0, 2)), ((32, 32), (2,))]
)
def test_attention_follows_the_blocks_of_the_given_sizes(
    attention: tuple[int, ...] | None, blocks: tuple[int, ...]
) -> None:
    image = gankit.ImageSpec(32, 64, 3)
    assert attended_blocks(generator_feature_maps(image, 1, None), image, attention) == blocks


def test_default_attention_is_omitted_if_no_feature_map_has_half_the_size() -> None:
    image = gankit.ImageSpec(8, 8, 3)
    assert attended_blocks(generator_feature_maps(image, 1, None), image, None) == ()


def test_attention_at_a_size_without_feature_map_raises() -> None:
    image = gankit.ImageSpec(32, 32, 3)
    with pytest.raises(
        ValueError, match=r"attention at 4 px: .* 32x32, .* are 8, 16, 32; choose from these, or use none: \[\]"
    ):
        BigGANGenerator(image, 8, width=1, attention=(16, 4))
    with pytest.raises(ValueError, match="attention at 32 px: .* are 8, 16; choose"):
        BigGANDiscriminator(image, width=1, attention=(32,))


def test_a_wrong_number_of_multipliers_raises() -> None:
    image = gankit.ImageSpec(32, 32, 3)
    assert generator_feature_maps(image, 3, (4, 3, 2, 1)).widths == (12, 9, 6, 3)
    assert discriminator_feature_maps(image, 3, (1, 2, 3, 4)).widths == (3, 6, 9, 12)
    with pytest.raises(
        ValueError,
        match=r"multipliers: 3 given, but .* 32x32 need 4, for the base and each doubling; .* \[4, 4, 4, 4\]",
    ):
        BigGANGenerator(image, 8, width=1, multipliers=(1, 2, 3))
    with pytest.raises(
        ValueError, match=r"multipliers: 5 given, but .* 32x32 need 4, for each block; .* \[2, 2, 2, 2\]"
    ):
        BigGANDiscriminator(image, width=1, multipliers=(1, 2, 3, 4, 5))


@pytest.mark.parametrize(
    ("size", "nearest"),
    [
        ((100, 100), "96x96 and 112x112"),
        ((7, 7), "8x8"),
        ((64, 66), "64x64 and 64x80"),
        ((1024, 1024), "896x896"),
    ],
)
@pytest.mark.parametrize("feature_maps", [generator_feature_maps, discriminator_feature_maps])
def test_an_unsupported_size_raises_and_names_the_nearest(feature_maps, size: tuple[int, int], nearest: str) -> None:
    with pytest.raises(
        ValueError, match=f"biggan cannot make images of {size[0]}x{size[1]} .*both sides must be"
    ) as caught:
        feature_maps(gankit.ImageSpec(*size, channels=3), 1, None)
    assert str(caught.value).endswith(f"the nearest sizes that work are {nearest}")


@given(height=st.integers(1, 1200), width=st.integers(1, 1200))
def test_the_suggested_sizes_work(height: int, width: int) -> None:
    try:
        generator_feature_maps(gankit.ImageSpec(height, width, 3), 1, None)
    except ValueError as error:
        suggested = str(error).rpartition(" work are ")[2].split(" and ")
        assert 1 <= len(suggested) <= 2
        for size in suggested:
            generator_feature_maps(gankit.ImageSpec(*map(int, size.split("x")), channels=3), 1, None)
