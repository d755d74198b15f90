"""Where a run stands, taken out of its parts and put into them again."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from torch import nn

from ..errors import CheckpointError
from ..runs.checkpoint import Checkpoint
from .setup import TrainingSetup
from .schedules import OptimizerSchedule


class InitialState:
    """A run's first state, kept in memory until there is a checkpoint: it is read like one.

    Args:
        networks: whose weights are copied.
        state: what a checkpoint would hold beside them.
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


def collect_state(parts: TrainingSetup) -> dict[str, Any]:
    """All of a checkpoint that neither the networks nor the run's own records have."""
    return {
        "training": parts.state.counters(),
        "components": {name: dict(part.state_dict()) for name, part in _stateful(parts).items()},
        "callbacks": {name: callback.state_dict() for name, callback in parts.callbacks.stateful().items()},
    }


def restore_state(parts: TrainingSetup, source: Checkpoint | InitialState) -> Mapping[str, Any]:
    """Networks, counters and components become what was saved; callbacks stay as they are.

    Returns:
        All that was saved beside the networks.

    Raises:
        CheckpointError: it is damaged, or another recipe's.
    """
    for name, network in parts.state.networks().items():
        source.load_network(name, network)
    saved = source.load_state()
    parts.state.load_counters(saved.get("training", {}))
    _load(_stateful(parts), saved.get("components", {}), source.path)
    for schedule in parts.schedules:
        if isinstance(schedule, OptimizerSchedule):
            schedule.started = False  # the optimizers have the saved settings now, and the recipe may have others
    return saved


def restore_callbacks(parts: TrainingSetup, saved: Mapping[str, Any], path: Path | None) -> None:
    """Callbacks become what was saved. Raises: CheckpointError: it does not fit them."""
    _load(parts.callbacks.stateful(), saved.get("callbacks", {}), path)


def missing_states(parts: TrainingSetup, saved: Mapping[str, Any]) -> Iterator[str]:
    """Names of components and callbacks of which nothing was saved, and which begin anew."""
    for kind, holders in (("components", _stateful(parts)), ("callbacks", parts.callbacks.stateful())):
        yield from (name for name in holders if name not in saved.get(kind, {}))


def _stateful(parts: TrainingSetup) -> dict[str, Any]:
    """The components that have something to remember."""
    return {name: part for name, part in parts.components.items() if hasattr(part, "state_dict")}


def _load(holders: Mapping[str, Any], saved: Any, path: Path | None) -> None:
    if not isinstance(saved, Mapping):
        raise CheckpointError(f"{path}: its states are a {type(saved).__name__}, and not by name")
    for name, holder in holders.items():
        if name not in saved:
            continue
        try:
            holder.load_state_dict(saved[name])
        except Exception as error:  # what is saved is a stranger's data
            reason = f"{type(error).__name__}: {error}"
            raise CheckpointError(f"{path}: the state of '{name}' does not fit: {reason}") from None
