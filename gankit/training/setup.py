"""What a trainer is made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..data.loader import Loader
from ..interfaces import GameRules, ImageSpec
from ..recipe.model import Recipe
from ..registry import Registries
from .callbacks import Callbacks
from ..game.game import Game
from .schedules import ComponentSchedule, OptimizerSchedule
from .train_state import TrainState


@dataclass
class TrainingSetup:
    """What `gankit.Runtime` assembles a trainer from.

    Attributes:
        recipe: resolved: every default filled in.
        image: size, channels and classes of the run.
        classes: names of the labels; None unless conditional.
        frequencies: share of each class in the data; None unless conditional.
        rules: plays one step.
        components: those that may have a state of their own, by name.
        about: of the run, for ``run.json``.
        passport: all that sampling needs, for a checkpoint's manifest.
        registries: all components of the runtime, for callbacks that build some.
    """

    recipe: Recipe
    image: ImageSpec
    classes: tuple[str, ...] | None
    frequencies: list[float] | None
    loader: Loader
    rules: GameRules
    game: Game
    state: TrainState
    schedules: Sequence[ComponentSchedule | OptimizerSchedule]
    components: Mapping[str, Any]
    callbacks: Callbacks
    about: Mapping[str, Any] = field(default_factory=dict)
    passport: Mapping[str, Any] = field(default_factory=dict)
    registries: Registries = field(default_factory=Registries)
