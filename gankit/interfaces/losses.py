"""The interfaces of losses and regularizers.

Their methods are declared only for type checkers. At run time, a subclass has exactly the methods that it defines.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from .data_spec import ImageSpec
from .networks import DiscriminatorOutput
from .turn import Player, Turn

if TYPE_CHECKING:
    from torch import Tensor, nn


class Loss:
    """The loss of both players. Built as ``factory(**params)``.

    It is evaluated once for each head of D, and the results are summed. It defines ``discriminator`` and ``generator``,
    and optionally ``after``.
    """

    player: Player
    """The player whose optimizer trains the parameters of a loss that is an `nn.Module`. Optional."""

    if TYPE_CHECKING:

        def discriminator(self, turn: Turn, /) -> Tensor:
            """D's loss, a scalar to minimize."""

        def generator(self, turn: Turn, /) -> Tensor:
            """G's loss, a scalar to minimize."""

        def after(self, turn: Turn, /) -> Mapping[str, Tensor] | None:
            """As for a `Regularizer`."""


class Regularizer:
    """A term added to a player's loss. Built as ``factory(**params)``.

    It defines ``discriminator``, ``generator`` or both, and optionally ``after`` and ``fits``.
    """

    interval: int
    """The regularizer runs in every ``interval``-th turn of a player. Without this attribute, the interval is 1.

    With an interval of 1, the regularizer is added to the player's loss. With a larger one, it runs in a separate
    optimizer step, with its gradient multiplied by the interval (lazy regularization, arXiv 1912.04958).
    """

    player: Player
    """The player whose optimizer trains the parameters of a regularizer that is an `nn.Module`. Optional."""

    if TYPE_CHECKING:

        def discriminator(self, turn: Turn, /) -> Tensor:
            """The term of D's turn, a scalar."""

        def generator(self, turn: Turn, /) -> Tensor:
            """The term of G's turn, a scalar."""

        def after(self, turn: Turn, /) -> Mapping[str, Tensor] | None:
            """Called in each turn of either player, after the optimizer step on its loss and before lazy regularizers
            run. Returns: 0-d tensors by name, which are logged with the step."""

        def fits(self, generator: nn.Module, output: DiscriminatorOutput, image: ImageSpec, /) -> None:
            """Called before a run, with untrained networks that may be on the meta device.

            Args:
                generator: G.
                output: D's output for two images.
                image: size, channels and classes of the run.

            Raises:
                ValueError or GankitError: D or G lacks something that the regularizer needs.
            """
