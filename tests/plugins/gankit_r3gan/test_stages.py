import pytest
from hypothesis import given
from hypothesis import strategies as st

import gankit
from gankit_r3gan.stages import stages


@pytest.mark.parametrize(
    ("size", "patch", "base", "count"),
    [
        ((4, 4), 1, (4, 4), 1),
        ((28, 28), 1, (7, 7), 3),
        ((32, 32), 1, (4, 4), 4),
        ((32, 32), 2, (4, 4), 3),
        ((24, 24), 3, (4, 4), 2),
        ((64, 128), 1, (4, 8), 5),
        ((96, 64), 1, (6, 4), 5),
        ((256, 256), 1, (4, 4), 7),
    ],
)
def test_stages_follow_from_the_size(size: tuple[int, int], patch: int, base: tuple[int, int], count: int) -> None:
    assert stages(gankit.ImageSpec(*size, channels=3), patch, 8, 2) == (base, (8,) * count, (2,) * count)


def test_one_number_per_stage() -> None:
    found = stages(gankit.ImageSpec(32, 32, 3), 1, (64, 32, 16, 8), (1, 2, 3, 4))
    assert found == ((4, 4), (64, 32, 16, 8), (1, 2, 3, 4))


@pytest.mark.parametrize(("name", "given_"), [("width", (8, 8)), ("blocks", (1,))])
def test_a_wrong_number_of_numbers_raises(name: str, given_: tuple[int, ...]) -> None:
    message = rf"{name}: {len(given_)} given, but the number of stages is 4 \(4x4, 8x8, 16x16, 32x32\); give 4, from the small"
    with pytest.raises(ValueError, match=message):
        stages(gankit.ImageSpec(32, 32, 3), 1, **({"width": 8, "blocks": 1} | {name: given_}))
    with pytest.raises(ValueError, match=r"stages is 1 \(4x4\); give 1,"):
        stages(gankit.ImageSpec(32, 32, 3), 8, **({"width": 8, "blocks": 1} | {name: (8, 8)}))


@pytest.mark.parametrize(
    ("size", "patch", "nearest"),
    [
        ((100, 100), 1, "96x96 and 112x112"),
        ((3, 3), 1, "4x4"),
        ((36, 36), 2, "32x32 and 40x40"),
        ((33, 33), 2, "32x32 and 40x40"),
        ((64, 66), 1, "64x64 and 64x80"),
        ((16, 128), 1, "20x80 and 32x128"),
    ],
)
def test_an_unsupported_size_raises_and_names_the_nearest(size: tuple[int, int], patch: int, nearest: str) -> None:
    with pytest.raises(ValueError, match=f"{size[0]}x{size[1]} .*both sides must be a power of two") as caught:
        stages(gankit.ImageSpec(*size, channels=3), patch, 8, 1)
    assert str(caught.value).endswith(f"the nearest sizes that work are {nearest}")


@given(height=st.integers(1, 3000), width=st.integers(1, 3000), patch=st.integers(1, 3))
def test_a_size_works_exactly_if_the_rule_allows_it_and_the_suggested_sizes_work(
    height: int, width: int, patch: int
) -> None:
    allowed = [  # the rule, tried for every number of halvings
        (height // patch >> k, width // patch >> k)
        for k in range(12)
        if height % (patch << k) == width % (patch << k) == 0
        and 4 <= min(height, width) // (patch << k) <= 7
        and max(height, width) <= 4 * min(height, width)
    ]
    try:
        assert [stages(gankit.ImageSpec(height, width, 3), patch, 1, 1).base] == allowed
    except ValueError as error:
        assert not allowed
        for size in str(error).rpartition(" work are ")[2].split(" and "):
            stages(gankit.ImageSpec(*map(int, size.split("x")), channels=3), patch, 1, 1)
