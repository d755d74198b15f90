"""Everything that a trainer is built from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..data.loader import Loader
from ..device.engine import Engine
from ..distributed.processes import Processes
from ..events import Event
from ..game.step_context import PhaseHook, StepContext
from ..interfaces import DataDescription, ImageSpec
from ..networks.frozen import Frozen
from ..recipe.checked_recipe import CheckedRecipe
from ..recipe.model import Recipe
from ..registry import Registries
from ..sampling.samples import Sampling
from .callbacks import Callbacks
from .scheduled_parameters import ComponentSchedule, OptimizerSchedule
from .train_state import TrainState


@dataclass
class TrainingSetup:
    """The parts of a run, assembled from a checked recipe by `gankit.Runtime`.

    Attributes:
        checked: the recipe with its components.
        constructor_values: those that the constructors of networks may ask for.
        context: what a step works with: networks, components, and how they compute.
        image: size, channels and classes of the run.
        classes: names of the labels; None unless conditional.
        sampling: how samples are drawn and generated.
        components: the components that may have state, by name.
        about: the entries of ``run.json``: versions, plugins, device.
        manifest: the entries of a checkpoint's manifest that sampling needs.
        registries: all components of the runtime, for callbacks that build some.
        notices: events of the assembly, which are logged when the run starts.
        kept: the frozen networks that sampling needs, by name.
        data: what the dataset found; None if it does not describe itself.
    """

    checked: CheckedRecipe
    constructor_values: Mapping[str, Any]
    image: ImageSpec
    classes: tuple[str, ...] | None
    sampling: Sampling
    loader: Loader
    engine: Engine
    processes: Processes
    context: StepContext
    state: TrainState
    schedules: Sequence[ComponentSchedule | OptimizerSchedule]
    components: Mapping[str, Any]
    callbacks: Callbacks
    about: Mapping[str, Any]
    manifest: Mapping[str, Any]
    registries: Registries
    notices: Sequence[Event]
    kept: Mapping[str, Frozen]
    data: DataDescription | None

    @property
    def recipe(self) -> Recipe:
        """The recipe with every default filled in."""
        return self.checked.recipe

    def on_phase_end(self, hook: PhaseHook) -> None:
        """Call ``hook(phase)`` at the end of each phase of a step and after each callback."""
        self.context.end_phase = self.callbacks.end_phase = hook
