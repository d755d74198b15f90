"""Writes checkpoints atomically."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..data.workers import worker_death
from ..device.out_of_memory import is_out_of_memory
from ..errors import CheckpointError
from ..files import whole_folder, write_failure
from ..messages import one_line
from .file_names import CHECKPOINTS, STATE, UNFINISHED_CHECKPOINTS, checkpoint_name, weights_name
from .manifest import write_manifest
from .plain_data import require_plain_data
from .weights import save_weights


def save_checkpoint(
    directory: Path, step: int, networks: Mapping[str, nn.Module], state: Mapping[str, Any], about: Mapping[str, Any]
) -> Path:
    """Write a checkpoint under a temporary name, flush it to the disk, and rename it.

    Args:
        directory: of the run.
        step: which names the checkpoint; one of the same step is replaced.
        networks: whose weights are saved, by name.
        state: everything else that resuming needs: plain data and tensors.
        about: further entries of the manifest.

    Returns:
        The folder of the checkpoint.

    Raises:
        CheckpointError: it cannot be written, or ``state`` holds more than plain data and tensors.
    """
    require_plain_data(state, "state")
    folder = directory / CHECKPOINTS
    final = folder / checkpoint_name(step)
    try:
        for leftover in folder.glob(UNFINISHED_CHECKPOINTS):
            shutil.rmtree(leftover, ignore_errors=True)
        with whole_folder(final) as temporary:  # replaces one from before the run was resumed at an earlier step
            torch.save(dict(state), temporary / STATE)
            _write(temporary, networks, {"step": step, **about})
    except (OSError, RuntimeError) as error:  # torch raises a RuntimeError for a full disk
        if worker_death(error) or is_out_of_memory(error):
            raise
        reason = getattr(error, "strerror", None) or one_line(error)
        raise CheckpointError(f"{final}: cannot be written: {reason}; earlier checkpoints are complete") from None
    return final


def save_networks(path: Path, networks: Mapping[str, nn.Module], about: Mapping[str, Any]) -> None:
    """Write a checkpoint of networks alone, of step 0. It can be sampled from, but not resumed.

    Args:
        path: its folder, which must not exist.
        networks: whose weights are saved, by name.
        about: further entries of the manifest.

    Raises:
        CheckpointError: it cannot be written.
    """
    try:
        with whole_folder(path) as temporary:
            _write(temporary, networks, {"step": 0, **about})
    except OSError as error:
        raise CheckpointError(write_failure(path, error)) from None


def _write(folder: Path, networks: Mapping[str, nn.Module], about: Mapping[str, Any]) -> None:
    """Write the networks and the manifest of a checkpoint."""
    for name, network in networks.items():
        save_weights(network, folder / weights_name(name))
    write_manifest(folder, about)
