"""Check the methods of losses, regularizers and latents: those that gankit calls, and misspelt optional ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from ..calls import described, require_call, require_methods, require_no_misspelling
from ..device.seeding import preserved_random_state
from ..game.lazy_regularization import interval_of
from ..game.optimizer_step import has_after
from ..game.returned_values import require_latents
from ..interfaces import PLAYERS, DataSpec, Player
from ..training.callbacks import STATE_METHODS
from .components import require_trained
from .dry_run import labels_of_two

TURN = ("turn",)  # the argument of most methods


def require_known_methods(component: Any, methods: Mapping[str, Sequence[str]], kind: str, *optional: str) -> None:
    """The same as `require_methods`, with ``after`` where the component has it, and no misspelt optional methods."""
    require_methods(component, {**methods, **({"after": TURN} if has_after(component) else {})}, kind)
    require_no_misspelling(component, (*methods, "after", *STATE_METHODS, *optional))


def try_latent(latent: Any, dim: int, data: DataSpec) -> None:
    """Draw two latents on the CPU. Raises: ValueError: they are not two latents of this dimension."""
    require_known_methods(latent, {"sample": ("n", "labels", "generator")}, "latent", "between")
    random = torch.Generator()
    with preserved_random_state():
        latents = latent.sample(2, labels_of_two(data), random)
    require_latents(latents, 2, random.device)
    if latents.shape[1:] != (dim,):
        raise ValueError(
            f"`sample` returns {described(latents)} for two latents; expected [2, {dim}], since latent.dim is {dim}"
        )


def check_loss(loss: Any, players: Sequence[Player]) -> None:
    """Raises: ValueError or GankitError: it lacks a term, or has parameters that no player trains."""
    require_known_methods(loss, dict.fromkeys(PLAYERS, TURN), "loss")
    require_trained(loss, players)


def checked_regularizer(regularizer: Any, players: Sequence[Player]) -> Any:
    """The regularizer. Raises: ValueError or GankitError: it does not fit the game, or has an invalid interval."""
    interval = interval_of(regularizer)
    if hasattr(regularizer, "discriminator") and not any(hasattr(regularizer, player) for player in players):
        raise ValueError(f"{type(regularizer).__name__} acts on the discriminator alone, which this game does not have")
    if not any(hasattr(regularizer, player) for player in PLAYERS):
        either = " and ".join(f"`{player}`" for player in PLAYERS)
        raise ValueError(f"{type(regularizer).__name__} is not a regularizer: it lacks both {either}")
    if not isinstance(interval, int) or interval < 1:
        raise ValueError(f"a regularizer's `interval` should be a whole number of turns, 1 or more; it is {interval!r}")
    methods = [player for player in PLAYERS if hasattr(regularizer, player)]
    require_known_methods(regularizer, dict.fromkeys(methods, TURN), "regularizer", "fits", *PLAYERS)
    if hasattr(regularizer, "fits"):
        require_call(regularizer, "fits", ("generator", "output", "image"))
    require_trained(regularizer, players)
    return regularizer
