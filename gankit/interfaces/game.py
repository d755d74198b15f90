"""The interface of training algorithms."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

from .data import Batch
from .turn import Scalars

GAME_KEYS = (
    "regularizers",
    "augmentations",
    "train.discriminator_steps",
    "train.fresh_fakes",
    "train.microbatch",
    "train.clip_gradient",
)
"""The keys of a recipe that have an effect only if the game uses them."""


class GameRules(Protocol):
    """A training algorithm, chosen by ``train.game``. Built as ``factory(**params)``.

    Optional:

    - ``honours`` lists the keys of `GAME_KEYS` that the game uses. ``gankit check`` refuses a recipe that sets another
      one. Without the attribute, the game uses none. `gankit.take_turn` applies ``regularizers``, ``augmentations``,
      ``train.microbatch`` and ``train.clip_gradient``; `gankit.adversarial_step` applies all of them.
    - ``after(turn)``, as for a `Regularizer`.
    """

    def step(self, game: Any, batches: Iterator[Batch], state: Any) -> Scalars:
        """Run one step, with one update of G.

        Args:
            game: the networks, loss, regularizers and augmentations. `gankit.take_turn` updates one player.
            batches: of real images, without end. Each batch that is taken counts towards ``state.images``.
            state: the run's `State`.

        Returns:
            The scalars of the step.
        """
