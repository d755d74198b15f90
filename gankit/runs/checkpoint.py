"""Checkpoints: a folder that is whole or absent, and in which nothing can run code.

``step-00007800/`` holds the networks as safetensors, ``state.pt`` (plain data and tensors) and ``manifest.json``,
which names the SHA-256 of each file and all that sampling needs.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import nn

from ..data.workers import worker_death
from ..device.out_of_memory import is_out_of_memory
from ..errors import CheckpointError
from ..files import open_regular
from ..messages import one_line
from .file_names import CHECKPOINTS, MANIFEST, RECIPE, STATE, checkpoint_name, checkpoints, is_checkpoint_name
from .json_lines import read_object
from .plain_data import load_plain_data, require_plain_data
from .weights import load_weights, save_weights

FORMAT = 1
MAX_MANIFEST_BYTES = 10_000_000


def save_checkpoint(
    run_directory: Path,
    step: int,
    networks: Mapping[str, nn.Module],
    state: Mapping[str, Any],
    about: Mapping[str, Any],
) -> Path:
    """Write a checkpoint under a temporary name, put it on the disk, and rename it.

    Raises:
        CheckpointError: it could not be written, or ``state`` holds more than plain data and tensors.
    """
    require_plain_data(state, "state")
    folder = run_directory / CHECKPOINTS
    final = folder / checkpoint_name(step)
    temporary, removed = folder / f".{final.name}.{os.getpid()}", folder / f".{final.name}.removed"
    try:
        for leftover in folder.glob(".step-*"):  # of a run that was killed
            shutil.rmtree(leftover, ignore_errors=True)
        temporary.mkdir(parents=True)
        for name, network in networks.items():
            save_weights(network, temporary / f"{name}.safetensors")
        torch.save(dict(state), temporary / STATE)
        files = {path.name: _sha256(path) for path in sorted(temporary.iterdir())}
        manifest = {"format": FORMAT, "files": files, "step": step, **about}
        (temporary / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
        for path in temporary.iterdir():
            _to_disk(path)
        _to_disk(temporary)
        if final.exists():  # left by a run that was cut back to an earlier step
            final.rename(removed)  # at once, for a kill in the midst of deleting it would leave a damaged one
        temporary.rename(final)
        _to_disk(folder)
    except (OSError, RuntimeError, SafetensorError) as error:  # a full disk, as torch and safetensors report it too
        if worker_death(error) or is_out_of_memory(error):
            raise
        reason = getattr(error, "strerror", None) or one_line(error)
        raise CheckpointError(f"{final}: cannot be written: {reason}; earlier ones are whole") from None
    finally:
        for leftover in (temporary, removed):
            shutil.rmtree(leftover, ignore_errors=True)
    return final


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint whose files are what its manifest says."""

    path: Path
    manifest: Mapping[str, Any]

    @classmethod
    def open(cls, path: Path) -> Checkpoint:
        """The checkpoint in folder ``path``. Raises: CheckpointError: damaged, altered, or of another format."""
        _require_inside(path, MANIFEST)
        manifest = _read_manifest(path / MANIFEST)
        files = manifest.get("files")
        if not isinstance(files, dict) or not files:
            raise CheckpointError(f"{path / MANIFEST}: names no files; the checkpoint is damaged")
        for name, expected in files.items():
            if name != STATE and (Path(name).name != name or not name.endswith(".safetensors")):
                raise CheckpointError(f"{path / MANIFEST}: {name!r} is no file of a checkpoint; do not trust it")
            _require_inside(path, name)
            if not (path / name).is_file():
                raise CheckpointError(f"{path / name}: is missing; the checkpoint is damaged, use an earlier one")
            if _sha256(path / name) != expected:
                raise CheckpointError(
                    f"{path / name}: its SHA-256 is not the manifest's: the file was damaged or altered; "
                    "use an earlier checkpoint"
                )
        return cls(path, manifest)

    def load_network(self, name: str, network: nn.Module) -> None:
        """Copy the weights in file ``name``.safetensors into ``network``. Raises: CheckpointError."""
        file = self.path / f"{name}.safetensors"
        if file.name not in self.manifest["files"]:
            raise CheckpointError(f"{self.path}: holds no {file.name}")
        load_weights(network, file)

    @property
    def step(self) -> int:
        """The step that the manifest tells. Raises: CheckpointError."""
        step = self.manifest.get("step")
        if not isinstance(step, int) or step < 0:
            raise CheckpointError(f"{self.path / MANIFEST}: its step is {step!r:.80}, no number of steps")
        return step

    def bytes_of(self, name: str) -> int:
        """The size of file ``name``.safetensors; 0 where there is none."""
        file = self.path / f"{name}.safetensors"
        return file.stat().st_size if file.name in self.manifest["files"] else 0

    def load_state(self) -> dict[str, Any]:
        """What was given as ``state``. Raises: CheckpointError."""
        file = self.path / STATE
        if STATE not in self.manifest["files"]:
            raise CheckpointError(f"{self.path}: holds no {STATE}; without it there is no going on, only sampling")
        state = load_plain_data(file)
        if not isinstance(state, dict):
            raise CheckpointError(f"{file}: holds no state")
        return state


def find_checkpoint(path: Path) -> Path:
    """``path`` if it is a checkpoint, or the newest one of the run directory that it is. Raises: CheckpointError."""
    if (path / MANIFEST).is_file():
        return path
    if found := checkpoints(path):
        return found[-1]
    if not path.exists():
        raise CheckpointError(f"{path}: no such run or checkpoint")
    if (path / CHECKPOINTS).is_dir() or (path / RECIPE).is_file():
        raise CheckpointError(f"{path}: this run has no checkpoint yet")
    raise CheckpointError(f"{path}: is no run directory and no checkpoint")


def holds_only_run(folder: Path, run: str | None) -> bool:
    """Whether a folder holds checkpoints of this run, as their manifests tell, and nothing else."""
    inside = [path for path in folder.iterdir() if not path.name.startswith(".step-")]  # what a kill left
    if not inside or run is None:
        return False
    try:
        return all(
            is_checkpoint_name(path.name) and _read_manifest(path / MANIFEST).get("run") == run for path in inside
        )
    except CheckpointError:
        return False


def _require_inside(checkpoint: Path, name: str) -> None:
    """Raises: CheckpointError: it is a link to elsewhere than other checkpoints."""
    file = checkpoint / name
    if file.is_symlink() and not file.resolve().is_relative_to(checkpoint.resolve().parent):
        raise CheckpointError(f"{file}: is a link to {file.resolve()}; put the file itself in its place")


def _read_manifest(path: Path) -> dict[str, Any]:
    try:
        manifest = read_object(path, MAX_MANIFEST_BYTES)
    except FileNotFoundError:
        raise CheckpointError(f"{path}: is missing; the checkpoint is damaged, use an earlier one") from None
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path}: cannot be read ({error}); the checkpoint is damaged") from None
    if (given := manifest.get("format")) != FORMAT:
        raise CheckpointError(f"{path}: format {given!r:.80}; this version of gankit reads format {FORMAT}")
    return manifest


def _sha256(path: Path) -> str:
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _to_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
