"""Sizes, channels and residual blocks of the stages of a network, derived from the image size."""

from __future__ import annotations

from typing import NamedTuple

import gankit


class Stages(NamedTuple):
    """The stages of a network, from the smallest feature map to the largest.

    Attributes:
        base: height and width of the smallest feature map; each further stage doubles them.
        widths: channels of each stage.
        blocks: number of residual blocks of each stage.
    """

    base: tuple[int, int]
    widths: tuple[int, ...]
    blocks: tuple[int, ...]


def stages(image: gankit.ImageSpec, patch: int, width: int | tuple[int, ...], blocks: int | tuple[int, ...]) -> Stages:
    """The stages of a network for such images.

    Args:
        image: the images.
        patch: side in pixels of the image patch that one pixel of the largest feature map stands for.
        width: channels of all stages, or of each stage.
        blocks: residual blocks of all stages, or of each stage.

    Raises:
        ValueError: the image size is not a power of two times a small base and ``patch``, or the number of widths or
            blocks differs from the number of stages.
    """
    sizes = gankit.ImagePyramid("r3gan", min_doublings=0, patch=patch).sizes(image)
    return Stages(sizes[0], _per_stage("width", width, sizes), _per_stage("blocks", blocks, sizes))


def _per_stage(name: str, value: int | tuple[int, ...], sizes: list[tuple[int, int]]) -> tuple[int, ...]:
    if isinstance(value, int):
        return (value,) * len(sizes)
    if len(value) != len(sizes):
        maps = ", ".join(f"{height}x{width}" for height, width in sizes)
        raise ValueError(
            f"{name}: {len(value)} given, but the number of stages is {len(sizes)} ({maps}); "
            f"give {len(sizes)}, from the smallest feature map up, or a single number for all stages"
        )
    return value
