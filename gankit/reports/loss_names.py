"""The kinds of entries in the metrics log (losses, outputs, gradient norms), and their titles for readers."""

from __future__ import annotations

from collections.abc import Iterable

LOSSES = ("discriminator_loss", "generator_loss")
GRADIENTS = ("discriminator_gradient", "generator_gradient")  # norms
OUTPUTS = ("real_logits", "fake_logits")  # D's means
POSITIONS = ("step", "epoch", "images", "seconds")
RESOURCES = ("images_per_second", "peak_memory_mib")
NOT_LOSSES = (*POSITIONS, *RESOURCES, *OUTPUTS, *GRADIENTS)
MAX_LOSSES = 4  # of a game that reports neither of `LOSSES`


def loss_names(scalars: Iterable[str]) -> list[str]:
    """Those of scalars that are losses: of both players, or the first ones of a game that calls its terms otherwise."""
    names = list(scalars)
    others = [name for name in names if name not in NOT_LOSSES]
    return [name for name in LOSSES if name in names] or others[:MAX_LOSSES]


def loss_title(name: str) -> str:
    """The name of a loss for people."""
    return {"discriminator_loss": "loss D", "generator_loss": "loss G"}.get(name, name.replace("_", " "))
