"""The adversarial game: D learns to tell real images from generated ones, G to fool D (arXiv 1406.2661).

A step reads from top to bottom, and nothing in it waits for the device.
"""

from __future__ import annotations

from collections.abc import Iterator

from ..interfaces import GAME_KEYS, Batch, Player, Scalars, State
from .freezing import frozen
from .game import Fakes, Game
from .lazy_regularization import due_regularizers, interval_of
from .update import update


class Adversarial:
    """The standard game: ``discriminator_steps`` turns of D, then one turn of G."""

    honours = GAME_KEYS

    def step(self, game: Game, batches: Iterator[Batch], state: State) -> Scalars:
        """One update of G."""
        return adversarial_step(game, batches, state)


def adversarial_step(game: Game, batches: Iterator[Batch], state: State) -> Scalars:
    """One update of G. The last fakes that D saw serve G's turn as well, which saves one forward of G."""
    scalars: Scalars = {}
    for turn in range(game.discriminator_steps):
        batch = next(batches)
        shared = None
        if turn == game.discriminator_steps - 1 and not game.fresh_fakes and game.microbatch is None:
            shared = game.draw_fakes(batch, graph=True)
        scalars |= take_turn(game, state, "discriminator", batch, shared)
    with frozen(game.discriminator):
        scalars |= take_turn(game, state, "generator", batch, shared)
    return scalars


def take_turn(game: Game, state: State, player: Player, batch: Batch, shared: Fakes | None) -> Scalars:
    """One turn of a player: an update on its loss and joint regularizers, then one for each lazy regularizer.

    Args:
        shared: fakes that both players use in this step, one for each image of ``batch``; None generates new ones for
            the turn. ``train.microbatch`` splits them with the batch.
    """
    joint, lazy = due_regularizers(game.regularizers, player, state.turns[player])
    scalars = update(game, state, player, batch, fakes=shared, regularizers=joint, loss=True)
    reusable = shared if player == "discriminator" else None  # G's first update has freed the graph of its fakes
    for name, regularizer in lazy.items():
        only = {name: regularizer}
        scalars |= update(game, state, player, batch, fakes=reusable, regularizers=only, scale=interval_of(regularizer))
    state.turns[player] += 1
    return scalars
