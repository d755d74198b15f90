"""Runs a network on an image of any size, in overlapping tiles that are blended."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import torch
from torch import Tensor
from torch.nn import functional as F

from ..data.resize import to_uint8

MAX_TILE = 512  # pixels of a side of the network's input
MAX_TILE_OUTPUT = 1024  # pixels of a side of its output
PIXELS_AT_ONCE = MAX_TILE**2

Run = Callable[[Tensor], Tensor]
"""Maps tiles [n c h w] to generated ones of the size times a scale."""


@dataclass(frozen=True)
class Side:
    """How one side of an image is divided into tiles. All values are in pixels of the network's input.

    Attributes:
        length: of the padded image.
        tile: length of a tile.
        starts: of each tile.
    """

    length: int
    tile: int
    starts: tuple[int, ...]

    @classmethod
    def divide(cls, length: int, trained: int, multiple: int | None, scale: Fraction) -> Side:
        """Divide a side of this length.

        Args:
            length: of the image.
            trained: the length in training, which is the only one that the network takes if ``multiple`` is None.
            multiple: the network takes each length that is a multiple of it.
            scale: the size of the output in proportion to the input.
        """
        whole = scale.denominator  # a tile begins at a whole pixel of the output
        tile = trained
        if multiple is not None:
            unit = math.lcm(multiple, whole)
            longest = max(trained, min(MAX_TILE, int(MAX_TILE_OUTPUT / scale)) // unit * unit)
            tile = min(longest, -(-length // unit) * unit)
        if length <= tile:
            return cls(tile, tile, (0,))
        padded = -(-length // whole) * whole
        count = 1 + -(-(padded - tile) // (tile - tile // 4))
        step = (padded - tile) / (count - 1)
        return cls(padded, tile, tuple(round(index * step / whole) * whole for index in range(count)))

    def weights(self, index: int, scale: Fraction) -> Tensor:
        """The weight [tile * scale] of tile ``index`` in each pixel of the output; those of all tiles add up to 1."""
        places = (torch.arange(int(self.tile * scale)) + 0.5) / float(scale) + self.starts[index]
        weights = torch.ones(len(places))
        if index > 0:
            weights = weights * self._fade_in(index, places)
        if index < len(self.starts) - 1:
            weights = weights * (1 - self._fade_in(index + 1, places))
        return weights

    def _fade_in(self, index: int, places: Tensor) -> Tensor:
        """From 0 to 1 around the center of the overlap of a tile with the one before.

        The pixels at the borders of tiles, where convolutions see padding, get no weight.
        """
        center = (self.starts[index] + self.starts[index - 1] + self.tile) / 2
        return ((places - center) / (self.tile / 8) + 0.5).clamp(0, 1)


def run_in_tiles(run: Run, image: Tensor, rows: Side, columns: Side, scale: Fraction) -> Tensor:
    """Run a network on one image.

    Memory beyond the result is bounded by the width of the image times the height of a tile.

    Args:
        run: the network.
        image: [c h w].
        rows: how the height is divided.
        columns: how the width is divided.
        scale: the size of the output in proportion to the input.

    Returns:
        uint8 [c h w] of the image's size times ``scale``, on the CPU.
    """
    height, width = (round(side * scale) for side in image.shape[1:])
    padded = _reflected(image, rows.length, columns.length)
    result: Tensor | None = None
    band: Tensor = torch.zeros(())
    at_once = max(1, PIXELS_AT_ONCE // (rows.tile * columns.tile))
    for row, top in enumerate(rows.starts):
        strip = padded[:, top : top + rows.tile]
        for first in range(0, len(columns.starts), at_once):
            lefts = columns.starts[first : first + at_once]
            outputs = run(torch.stack([strip[:, :, left : left + columns.tile] for left in lefts])).float().cpu()
            if result is None:
                channels = outputs.shape[1]
                result = torch.empty(channels, int(rows.length * scale), int(columns.length * scale), dtype=torch.uint8)
                band = torch.zeros(channels, int(rows.tile * scale), result.shape[2])
            for column, (left, output) in enumerate(zip(lefts, outputs, strict=True), first):
                weights = torch.outer(rows.weights(row, scale), columns.weights(column, scale))
                begin = int(left * scale)
                band[:, :, begin : begin + output.shape[2]] += weights * output
        assert result is not None
        following = rows.starts[row + 1] if row + 1 < len(rows.starts) else rows.length
        done, begin = int((following - top) * scale), int(top * scale)
        result[:, begin : begin + done] = to_uint8(band[:, :done])
        band = F.pad(band[:, done:], (0, 0, 0, done))  # the rows that the next tiles add to
    assert result is not None
    return result[:, :height, :width]


def _reflected(image: Tensor, height: int, width: int) -> Tensor:
    """The image with its lower and right borders reflected as often as this size needs."""
    rows, columns = (_reflected_indices(*sizes) for sizes in zip(image.shape[1:], (height, width), strict=True))
    return image[:, rows][:, :, columns]


def _reflected_indices(length: int, padded: int) -> Tensor:
    period = max(1, 2 * length - 2)
    places = torch.arange(padded) % period
    return torch.minimum(places, period - places) if length > 1 else torch.zeros(padded, dtype=torch.int64)
