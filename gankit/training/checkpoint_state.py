"""The state of a run for a checkpoint: collected from the setup, and restored into it."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from torch import nn

from ..calls import described
from ..errors import CheckpointError, GankitError
from ..messages import MAX_WORD
from ..runs.checkpoint import Checkpoint
from .scheduled_parameters import OptimizerSchedule
from .setup import TrainingSetup


class InitialState:
    """The first state of a run, kept in memory until there is a checkpoint. It is read like a checkpoint.

    Args:
        networks: whose weights are copied.
        state: everything else that a checkpoint would hold.
    """

    path = None

    def __init__(self, networks: Mapping[str, nn.Module], state: Mapping[str, Any]) -> None:
        self._networks = {
            name: {key: tensor.detach().to("cpu", copy=True) for key, tensor in network.state_dict().items()}
            for name, network in networks.items()
        }
        self._state = copy.deepcopy(dict(state))

    def load_network(self, name: str, network: nn.Module) -> None:
        network.load_state_dict(self._networks[name])

    def load_state(self) -> dict[str, Any]:
        return copy.deepcopy(self._state)


def collect_state(setup: TrainingSetup) -> dict[str, Any]:
    """The state of counters, components and callbacks: a checkpoint without networks and log positions.

    Raises:
        GankitError: a `state_dict` does not return a mapping.
    """
    return {
        "training": setup.state.state_dict(),
        "components": {name: _state_of(name, part) for name, part in _stateful(setup.components).items()},
        "callbacks": {name: _state_of(name, callback) for name, callback in _stateful(setup.callbacks.named).items()},
    }


def _state_of(name: str, part: Any) -> dict[str, Any]:
    state = part.state_dict()
    if not isinstance(state, Mapping):
        raise GankitError(f"{name}: {type(part).__name__}.state_dict returns {described(state)}; expected a mapping")
    return dict(state)


def restore_state(setup: TrainingSetup, source: Checkpoint | InitialState) -> Mapping[str, Any]:
    """Restore networks, counters and components, but not callbacks.

    Returns:
        Everything that was saved except for the networks.

    Raises:
        CheckpointError: the checkpoint is damaged, or does not fit the recipe.
        RecipeError: the recipe has another optimizer.
    """
    for name, network in setup.state.networks().items():
        source.load_network(name, network)
    saved = source.load_state()
    _require_same_optimizers(setup, saved.get("training"))
    setup.state.load_state_dict(saved.get("training", {}))
    _load(_stateful(setup.components), saved.get("components", {}), source.path)
    if setup.context.recordings is not None:
        setup.context.recordings.clear()  # components may hold other tensors now
    for schedule in setup.schedules:
        if isinstance(schedule, OptimizerSchedule):
            schedule.started = False  # the optimizers hold the saved settings now; the recipe's may differ
        else:
            schedule.advance(setup.state.images)
    return saved


def restore_callbacks(setup: TrainingSetup, saved: Mapping[str, Any], path: Path | None) -> None:
    """Restore the callbacks. Raises: CheckpointError: a saved state does not fit its callback."""
    _load(_stateful(setup.callbacks.named), saved.get("callbacks", {}), path)


def missing_states(setup: TrainingSetup, saved: Mapping[str, Any]) -> Iterator[str]:
    """The names of components and callbacks that have no saved state and start from their initial one."""
    for kind, parts in (("components", setup.components), ("callbacks", setup.callbacks.named)):
        yield from (name for name in _stateful(parts) if name not in saved.get(kind, {}))


def _require_same_optimizers(setup: TrainingSetup, saved: Any) -> None:
    """Raises: RecipeError: a saved state belongs to an optimizer of another class. Older checkpoints lack the class."""
    classes = saved.get("optimizer_classes") if isinstance(saved, Mapping) else None
    for player, optimizer in setup.state.optimizers.items():
        now, before = type(optimizer).__name__, classes.get(player) if isinstance(classes, Mapping) else None
        if before not in (None, now):
            message = (
                f"the run's checkpoint holds the state of {str(before)[:MAX_WORD]}, which {now} cannot continue from; "
                "resume with the optimizer of the run, or start a new run from its weights (initialize)"
            )
            raise setup.recipe.document.error(("optimizers", player), message)


def _stateful(parts: Mapping[str, Any]) -> dict[str, Any]:
    return {name: part for name, part in parts.items() if hasattr(part, "state_dict")}


def _load(holders: Mapping[str, Any], saved: Any, path: Path | None) -> None:
    origin = path or "the initial state"
    if not isinstance(saved, Mapping):
        raise CheckpointError(f"{origin}: its states are a {type(saved).__name__}; they should be a mapping by name")
    for name, holder in holders.items():
        if name not in saved:
            continue
        try:
            holder.load_state_dict(saved[name])
        except Exception as error:  # the state may come from an untrusted file
            reason = f"{type(error).__name__}: {error}"
            raise CheckpointError(f"{origin}: the state of '{name}' does not fit: {reason}") from None
