"""Writes checkpoints atomically and opens them with their hashes verified. Loading one never executes code.

A checkpoint is a folder such as ``step-00007800/``. It holds the networks as safetensors, ``state.pt`` (plain data and
tensors) and ``manifest.json``, which lists the SHA-256 of each file and describes the generator for sampling.
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
from torch import Tensor, nn

from ..data.workers import worker_death
from ..device.out_of_memory import is_out_of_memory
from ..errors import CheckpointError
from ..files import flush_to_disk, open_regular, read_failure
from ..messages import one_line
from .file_names import (
    CHECKPOINTS,
    MANIFEST,
    RECIPE,
    STATE,
    UNFINISHED_CHECKPOINTS,
    WEIGHTS_SUFFIX,
    checkpoint_name,
    checkpoints,
    is_checkpoint_name,
    weights_name,
)
from .json_lines import read_object
from .plain_data import load_plain_data, require_plain_data
from .weights import MisfitError, load_weights, read_weights, save_weights

FORMAT = 1
MAX_MANIFEST_BYTES = 10_000_000


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


def write_manifest(folder: Path, about: Mapping[str, Any]) -> None:
    """Write the manifest of the files in a folder, with further entries. Raises: OSError: it cannot be written."""
    files = {path.name: _sha256(path) for path in sorted(folder.iterdir())}
    manifest = {"format": FORMAT, "files": files, **about}
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")


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


class DamagedCheckpointError(CheckpointError):
    """A checkpoint whose content is known to be damaged or altered. Other errors say nothing about its content."""


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint whose files have the hashes in its manifest.

    Attributes:
        path: its folder.
        manifest: the content of ``manifest.json``.
    """

    path: Path
    manifest: Mapping[str, Any]

    @classmethod
    def open(cls, path: Path) -> Checkpoint:
        """Open a checkpoint and verify its hashes.

        Raises:
            DamagedCheckpointError: the checkpoint is damaged or altered.
            CheckpointError: it cannot be read now, or has another format.
        """
        manifest = read_manifest(path / MANIFEST)
        for name, expected in manifest["files"].items():
            try:
                digest = _sha256(path / name)
            except (FileNotFoundError, ValueError):  # ValueError: no file can have this name
                raise DamagedCheckpointError(
                    f"{path / name}: is missing; the checkpoint is damaged, use an earlier one"
                ) from None
            except OSError as error:
                raise CheckpointError(read_failure(path / name, error)) from None
            if digest != expected:
                raise DamagedCheckpointError(
                    f"{path / name}: its SHA-256 differs from the manifest: the file was damaged or altered; "
                    "use an earlier checkpoint"
                )
        return cls(path, manifest)

    def load_network(self, name: str, network: nn.Module) -> None:
        """Copy the saved weights of a network into ``network``.

        Args:
            name: under which it was saved, such as ``generator_ema``.
            network: of the same architecture.

        Raises:
            CheckpointError: the checkpoint lacks them, or they do not fit.
        """
        load_weights(network, self._weights_file(name))

    def read_network(self, name: str) -> dict[str, Tensor]:
        """The saved weights of a network by name. Raises: CheckpointError: the checkpoint lacks them."""
        return read_weights(self._weights_file(name))

    @property
    def step(self) -> int:
        """The step after which it was saved. Raises: CheckpointError: the manifest has no valid step."""
        step = self.manifest.get("step")
        if not isinstance(step, int) or step < 0:
            raise CheckpointError(f"{self.path / MANIFEST}: its step is {step!r:.80}; expected a non-negative integer")
        return step

    def bytes_of(self, name: str) -> int:
        """The file size of a network's weights in bytes; 0 if the checkpoint lacks them."""
        file = self.path / weights_name(name)
        return file.stat().st_size if file.name in self.manifest["files"] else 0

    def sha256_of(self, name: str) -> str:
        """The SHA-256 of a network's weights, in hexadecimal."""
        return str(self.manifest["files"][weights_name(name)])

    def folder_of(self, name: str) -> Path:
        """The folder of a file that sampling may need, such as ``inputs.safetensors``.

        All checkpoints of a run share the one in the run directory. One that was published has a file of its own, which
        its manifest lists.
        """
        return self.path if name in self.manifest["files"] else self.path.absolute().parent.parent

    def _weights_file(self, name: str) -> Path:
        """The file of a network's weights. Raises: MisfitError: the checkpoint lacks it."""
        file = self.path / weights_name(name)
        if file.name not in self.manifest["files"]:
            raise MisfitError(f"{self.path}: lacks {file.name}")
        return file

    def load_state(self) -> dict[str, Any]:
        """The ``state`` that was saved. Raises: CheckpointError: it is missing or damaged."""
        file = self.path / STATE
        if STATE not in self.manifest["files"]:
            raise CheckpointError(f"{self.path}: lacks {STATE}; it can be sampled from, but not resumed")
        state = load_plain_data(file)
        if not isinstance(state, dict):
            raise CheckpointError(f"{file}: holds a {type(state).__name__}; expected a dict")
        return state


def find_checkpoint(path: Path) -> Path:
    """``path`` itself if it is a checkpoint, or the newest checkpoint of a run directory.

    Raises:
        CheckpointError: ``path`` has no checkpoint.
    """
    if (path / MANIFEST).is_file():
        return path
    if found := checkpoints(path):
        return found[-1]
    if not path.exists():
        raise CheckpointError(f"{path}: no such run or checkpoint")
    if (path / CHECKPOINTS).is_dir() or (path / RECIPE).is_file():
        raise CheckpointError(f"{path}: this run has no checkpoint yet")
    raise CheckpointError(f"{path}: is neither a run directory nor a checkpoint")


def holds_only_run(folder: Path, run: Any) -> bool:
    """Whether a folder holds only checkpoints whose manifests name this run, and at least one.

    Args:
        folder: of checkpoints.
        run: the time at which the run started; a folder holds nothing of a run whose time is not a string.
    """
    inside = [path for path in folder.iterdir() if not path.match(UNFINISHED_CHECKPOINTS)]
    fits = (is_checkpoint_name(path.name) and read_manifest(path / MANIFEST).get("run") == run for path in inside)
    try:
        return isinstance(run, str) and bool(inside) and all(fits)
    except CheckpointError:
        return False


def read_manifest(path: Path) -> dict[str, Any]:
    """The content of ``manifest.json``, in which ``files`` has the SHA-256 of each file of the checkpoint by name.

    The file may be a link to any file. Error messages contain nothing of the text of a file of another format.

    Raises:
        DamagedCheckpointError: the checkpoint is damaged or altered.
        CheckpointError: it cannot be read now, has another format, or lists other files than those of a checkpoint.
    """
    try:
        manifest = read_object(path, MAX_MANIFEST_BYTES)
    except FileNotFoundError:
        raise DamagedCheckpointError(f"{path}: is missing; the checkpoint is damaged, use an earlier one") from None
    except OSError as error:
        raise CheckpointError(read_failure(path, error)) from None
    except ValueError as error:
        raise DamagedCheckpointError(f"{path}: cannot be read ({error}); the checkpoint is damaged") from None
    if (given := manifest.get("format")) != FORMAT:
        newer = isinstance(given, int) and given > FORMAT
        remedy = "; a newer version wrote the checkpoint: update gankit" if newer else ""
        found = f"format {given!r:.80}" if isinstance(given, int) else "lists no format of checkpoints"
        raise CheckpointError(f"{path}: {found}; this version of gankit reads format {FORMAT}{remedy}")
    files = manifest.get("files")
    if not isinstance(files, dict) or not files:
        raise DamagedCheckpointError(f"{path}: lists no files; the checkpoint is damaged")
    for name in files:
        if name != STATE and (Path(name).name != name or not name.endswith(WEIGHTS_SUFFIX)):
            raise CheckpointError(f"{path}: {name!r} is not a file of a checkpoint; do not trust this checkpoint")
    return manifest


def _sha256(path: Path) -> str:
    """The SHA-256 of a file, which may be a link. Raises: OSError: it cannot be read, or is a pipe or device."""
    with open_regular(path) as file:
        if not os.fstat(file.fileno()).st_size:  # as of the files in /proc, some of which have no end
            return hashlib.sha256().hexdigest()
        return hashlib.file_digest(file, "sha256").hexdigest()
