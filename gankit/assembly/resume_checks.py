"""Whether a run can continue: its newest checkpoint, what has changed since then, and overrides that do not fit it."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import CheckpointError, Problem, RecipeError
from ..events import ChangesAccepted, Event, OtherVersions
from ..messages import one_line, truncate
from ..recipe.checked_recipe import CheckedRecipe
from ..recipe.located_document import KeyPath, differing_paths
from ..recipe.model import in_order
from ..runs.changes import class_difference, find_changes
from ..runs.checkpoint import Checkpoint
from ..runs.file_names import CHECKPOINTS, RECIPE, checkpoints
from ..runs.manifest import DamagedCheckpointError
from ..runs.run_directory import completed_steps
from ..training.setup import TrainingSetup

SHAPING = ("image", "conditional", "latent", "dataset", "codec", "generator", "discriminator", "ema")
"""The sections of a recipe that decide which weights the networks have."""


def require_saved_recipe(directory: Path) -> None:
    """Raises: CheckpointError: the directory is not that of a run, or the run's recipe is empty."""
    recipe = directory / RECIPE
    if not recipe.is_file():
        raise CheckpointError(f"{directory}: is not a run directory: it lacks {RECIPE}")
    if recipe.stat().st_size:
        return
    if checkpoints(directory):
        raise CheckpointError(f"{recipe}: is empty, but the run has checkpoints; restore the file")
    raise CheckpointError(f"{directory}: this run was killed before it started: delete it, and run its recipe again")


def open_newest_checkpoint(directory: Path, restart: bool) -> Checkpoint | None:
    """The newest checkpoint of a run, or None if the run starts from the beginning.

    Args:
        directory: of the run.
        restart: whether a run may start again although it has completed steps.

    Raises:
        CheckpointError: the checkpoint cannot be read, there is none although the run has completed steps, or there is
            one although ``restart`` is set.
    """
    found = checkpoints(directory)
    if found and restart:
        raise CheckpointError(
            f"{directory}: has checkpoints, so it cannot be restarted; continue it without --restart, or train anew in "
            f"another directory: gankit run {directory / RECIPE}"
        )
    if not found and not restart and (steps := completed_steps(directory)):
        raise CheckpointError(
            f"{directory}: has no checkpoint, although its records reach step {steps:,}. Restore "
            f"{directory / CHECKPOINTS}, or train from the start and overwrite the records: --restart"
        )
    try:
        return Checkpoint.open(found[-1]) if found else None
    except DamagedCheckpointError as error:
        how = f"to continue from {found[-2].name}" if len(found) > 1 else "to train from the start with --restart"
        raise DamagedCheckpointError(f"{error}; {how}, delete {found[-1]} and resume again") from None


def events_for_changes(
    checkpoint: Checkpoint, setup: TrainingSetup, accept: bool, accept_data: bool = False
) -> list[Event]:
    """The events that record what has changed since the checkpoint.

    Args:
        checkpoint: that the run continues from.
        setup: of the run.
        accept: whether the user accepts changes of data and code.
        accept_data: whether a segment of the recipe changes the data here.

    Raises:
        RecipeError: the classes differ.
        CheckpointError: the data or third-party code differ, and this is not accepted.
    """
    document = setup.recipe.document
    if difference := class_difference(checkpoint.manifest, setup.classes):
        key = "dataset" if setup.classes and checkpoint.manifest["classes"] else "conditional"
        remedy = "restore the classes and their names, or start a new run"
        raise document.error((key,), f"does not fit {checkpoint.path}: {difference}; {remedy}")
    changes = find_changes(checkpoint.manifest, setup.manifest)
    refused = [] if accept else changes.code if accept_data else changes.content
    if refused:
        raise CheckpointError(
            f"{checkpoint.path}: the run was trained with other data or code. Changed since then: "
            f"{'; '.join(refused)}. Restore them, or continue with the change: --accept-changes"
        )
    accepted = [ChangesAccepted(changes.content)] if changes.content else []
    return [*accepted, *([OtherVersions(changes.versions)] if changes.versions else [])]


def explain_misfit(
    error: CheckpointError, checked: CheckedRecipe, changed: Sequence[KeyPath]
) -> CheckpointError | RecipeError:
    """An error at the overrides because of which the saved weights do not fit, or ``error`` itself without any.

    Args:
        error: which says that the weights of a network do not fit.
        checked: the recipe with the overrides.
        changed: the paths of the values that the overrides change.
    """
    document = checked.recipe.document
    message = (
        "does not fit the networks of the run's checkpoint; resume without this setting, or start a new run "
        f"({truncate(one_line(error), 300)})"
    )
    problems = [document.problem(path, message) for path in changed if path[0] in SHAPING]
    return RecipeError(problems) if problems else error


def require_continuation(before: CheckedRecipe, after: CheckedRecipe) -> None:
    """Check that a segment can continue from the weights and optimizers of the part of the recipe before it.

    Args:
        before: the settings up to the segment.
        after: the settings from it on.

    Raises:
        RecipeError: it cannot.
    """
    changed = differing_paths(before.recipe.model_dump(mode="json"), after.recipe.model_dump(mode="json"))
    document = after.recipe.document
    problems: list[Problem] = []
    for player, shapes in before.state_shapes.items():
        now = after.state_shapes.get(player, shapes)
        if now != shapes:
            name = next(name for name in (*shapes, *now) if shapes.get(name) != now.get(name))
            message = (
                f"gives the {player} other weights than the part of the recipe before this segment ({name}); leave it "
                "out of the segment, or start a new run"
            )
            problems += [document.problem(path, message) for path in changed if path[0] in SHAPING]
    if before.recipe.ema is None and after.recipe.ema is not None:
        problems.append(
            document.problem(("ema",), "an EMA must average from the first step; add it to the recipe itself")
        )
    for player in after.players:
        section: KeyPath = ("optimizers", player)
        paths = [path for path in changed if path[:2] == section]
        if paths and section in before.components:
            value = torch.ones(2, 2)
            state: Mapping[str, Any] = {}
            with suppress(Exception):  # an optimizer that cannot step at all fails in the first step
                state = _take_step(before, section, value, {})
            problems += _problems_of_step(after, section, value, state, paths)
    if problems:
        raise RecipeError(in_order(problems))


def require_working_optimizers(checked: CheckedRecipe, setup: TrainingSetup, changed: Sequence[KeyPath]) -> None:
    """Check that an optimizer with changed parameters can continue from its saved state.

    Raises:
        RecipeError: its step fails with that state.
    """
    problems: list[Problem] = []
    for player in checked.players:
        section: KeyPath = ("optimizers", player)
        paths = [path for path in changed if path[:2] == section]
        states = [(parameter, state) for parameter, state in setup.state.optimizers[player].state.items() if state]
        if not paths or not states:
            continue
        parameter, state = min(states, key=lambda item: item[0].numel())
        problems += _problems_of_step(checked, section, parameter.detach(), state, paths)
    if problems:
        raise RecipeError(problems)


def _problems_of_step(
    checked: CheckedRecipe, section: KeyPath, value: Tensor, state: Mapping[str, Any], paths: Sequence[KeyPath]
) -> list[Problem]:
    """A problem at each of ``paths`` if the optimizer's step fails with this state of a parameter."""
    try:
        _take_step(checked, section, value, state)
    except Exception as error:  # an optimizer may raise anything
        reason = f"{type(error).__name__}: {one_line(error)}"
        message = f"the optimizer cannot continue from its saved state with this ({reason}); leave it out"
        return [checked.recipe.document.problem(path, message) for path in paths]
    return []


def _take_step(checked: CheckedRecipe, section: KeyPath, value: Tensor, state: Mapping[str, Any]) -> Mapping[str, Any]:
    """The optimizer's state of a parameter after a step without gradient from ``state``, which stays as it is."""
    parameter = nn.Parameter(value.clone())
    parameter.grad = torch.zeros_like(value)
    optimizer = checked.build(section, parameters=[{"params": [parameter]}])
    optimizer.state[parameter] = copy.deepcopy(dict(state))
    optimizer.step()
    found: Mapping[str, Any] = optimizer.state[parameter]
    return found
