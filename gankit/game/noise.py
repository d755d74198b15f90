"""The random numbers of a turn, the same however its batch is cut into parts or shared by processes."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from typing import TYPE_CHECKING

from torch import Tensor

if TYPE_CHECKING:
    from .game import Game


class BatchNoise:
    """Of each image the random numbers that it would have in a batch that nothing cuts.

    They are drawn for the batch of all processes at once, when first asked for; a part of a batch has its rows.

    Args:
        game: whose generator they are drawn from.
        count: images of the batch in this process.
        labels: their labels [n], or None.
    """

    def __init__(self, game: Game, count: int, labels: Tensor | None) -> None:
        self._game, self._count, self._labels = game, count, labels
        self._rows = slice(None)
        self._uniforms_asked = 0
        self._drawn: dict[str, Tensor] = {}  # shared by the parts

    def part(self, begin: int, length: int) -> BatchNoise:
        """Those of ``length`` images from ``begin`` on."""
        part = copy(self)
        part._rows = slice(begin, begin + length)
        return part

    def latents(self) -> Tensor:
        """[n d], the same each time."""
        return self._once("latents", lambda: self._game.draw_latents(self._count, self._labels))

    def uniform(self, *shape: int) -> Tensor:
        """[n *shape] from [0, 1), others each time."""
        self._uniforms_asked += 1
        return self._once(f"uniform {self._uniforms_asked}", lambda: self._game.draw_uniform(self._count, *shape))

    def _once(self, name: str, draw: Callable[[], Tensor]) -> Tensor:
        if name not in self._drawn:
            self._drawn[name] = draw()
        return self._drawn[name][self._rows]
