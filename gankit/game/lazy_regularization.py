"""Which regularizers are due in a turn: each every ``interval`` turns (lazy regularization, arXiv 1912.04958)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..interfaces import Player


def interval_of(regularizer: Any) -> Any:
    """The regularizer's ``interval``, which is 1 where it has none."""
    return getattr(regularizer, "interval", 1)


def due_regularizers(
    regularizers: Mapping[str, Any], player: Player, turn: int
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The regularizers of ``player`` that are due in its turn number ``turn``, counted from 0.

    Returns:
        By name, those with an interval of 1, which join the player's loss; and those with a longer interval, each of
        which takes an optimizer step of its own, scaled by its interval.
    """
    due = {name: r for name, r in regularizers.items() if hasattr(r, player) and turn % interval_of(r) == 0}
    joint = {name: r for name, r in due.items() if interval_of(r) == 1}
    return joint, {name: r for name, r in due.items() if interval_of(r) > 1}


def reported_name(name: str, regularizer: Any, player: Player) -> str:
    """The name of a regularizer's scalar; it includes the player if the regularizer has a term for both."""
    has_both = hasattr(regularizer, "discriminator") and hasattr(regularizer, "generator")
    return f"{player}_{name}" if has_both else name
