"""The keys of a recipe that games use."""

from __future__ import annotations

GAME_KEYS = (
    "regularizers",
    "augmentations",
    "train.discriminator_steps",
    "train.fresh_fakes",
    "train.microbatch",
    "train.clip_gradient",
)
"""The keys of a recipe that have an effect only if the game uses them."""
