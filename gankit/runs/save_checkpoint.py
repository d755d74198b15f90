"""Writes checkpoints atomically."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import nn

from ..data.workers import worker_death
from ..device.out_of_memory import is_out_of_memory
from ..errors import CheckpointError
from ..files import flush_to_disk
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
    temporary, removed = folder / f".{final.name}.{os.getpid()}", folder / f".{final.name}.removed"
    try:
        for leftover in folder.glob(UNFINISHED_CHECKPOINTS):
            shutil.rmtree(leftover, ignore_errors=True)
        temporary.mkdir(parents=True)
        torch.save(dict(state), temporary / STATE)
        _write(temporary, networks, {"step": step, **about})
        if final.exists():  # from before the run was resumed at an earlier step
            final.rename(removed)  # not deleted here: a kill during the deletion would leave a damaged checkpoint
        temporary.rename(final)
        flush_to_disk(folder)
    except (OSError, RuntimeError, SafetensorError) as error:  # torch and safetensors raise their own for a full disk
        if worker_death(error) or is_out_of_memory(error):
            raise
        reason = getattr(error, "strerror", None) or one_line(error)
        raise CheckpointError(f"{final}: cannot be written: {reason}; earlier checkpoints are complete") from None
    finally:
        for leftover in (temporary, removed):
            shutil.rmtree(leftover, ignore_errors=True)
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
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.mkdir(parents=True)
        _write(temporary, networks, {"step": 0, **about})
        temporary.rename(path)
        flush_to_disk(path.parent)
    except (OSError, RuntimeError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or one_line(error)
        raise CheckpointError(f"{path}: cannot be written: {reason}") from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _write(folder: Path, networks: Mapping[str, nn.Module], about: Mapping[str, Any]) -> None:
    """Write the networks and the manifest of a checkpoint, and flush all files of its folder to the disk."""
    for name, network in networks.items():
        save_weights(network, folder / weights_name(name))
    write_manifest(folder, about)
    for path in folder.iterdir():
        flush_to_disk(path)
    flush_to_disk(folder)
