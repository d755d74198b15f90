"""Checkpoints: a folder that is whole or absent, and in which nothing can run code.

``step-00007800/`` holds the networks as safetensors, ``state.pt`` (plain data and tensors) and ``manifest.json``,
which names the SHA-256 of each file and all that sampling needs.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from ..errors import CheckpointError
from ..files import open_regular
from ..jsonl import read_object
from .failure import dead_worker, is_out_of_memory

FORMAT = 1
FOLDER = "checkpoints"
NAME = re.compile(r"step-\d{8,}")
MANIFEST = "manifest.json"
STATE = "state.pt"
TIED = "tied:"  # in a weight file's metadata: this name shares the tensor of that one
MAX_MANIFEST_BYTES = 10_000_000
MAX_VALUES = 2_000_000  # in a state


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
    _require_plain(state, "state")
    folder = run_directory / FOLDER
    final = folder / f"step-{step:08d}"
    temporary, removed = folder / f".{final.name}.{os.getpid()}", folder / f".{final.name}.removed"
    try:
        for leftover in folder.glob(".step-*"):  # of a run that was killed
            shutil.rmtree(leftover, ignore_errors=True)
        temporary.mkdir(parents=True)
        for name, network in networks.items():
            _save_network(network, temporary / f"{name}.safetensors")
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
        if dead_worker(error) or is_out_of_memory(error):
            raise
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())
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
        try:
            with safe_open(file, framework="pt") as weights:
                tensors = {key: weights.get_tensor(key) for key in weights.keys()}  # noqa: SIM118  # no mapping
                metadata = weights.metadata() or {}
            for tied, kept in metadata.items():
                if tied.startswith(TIED):
                    tensors[tied.removeprefix(TIED)] = tensors[kept]
            network.load_state_dict(tensors)
        except (SafetensorError, RuntimeError, ValueError, TypeError, KeyError, OSError) as error:
            reason = " ".join(str(error).split())
            raise CheckpointError(f"{file}: does not fit this network: {reason[:400]}") from None

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
        try:
            _require_uncompressed(file)
            state = torch.load(file, map_location="cpu", weights_only=True)
            _require_held(state)
        except Exception as error:  # unpickling a hostile file may raise nearly anything
            reason = str(error).split("\n", 1)[0] or type(error).__name__
            raise CheckpointError(f"{file}: cannot be read as plain data and tensors: {reason[:400]}") from None
        if not isinstance(state, dict):
            raise CheckpointError(f"{file}: holds no state")
        return state


def checkpoints(run_directory: Path) -> list[Path]:
    """The checkpoints of a run, oldest first."""
    folder = run_directory / FOLDER
    found = [
        path for path in folder.glob("step-*") if NAME.fullmatch(path.name) and path.is_dir() and not path.is_symlink()
    ]
    return sorted(found, key=lambda path: int(path.name[5:]))


def find_checkpoint(path: Path) -> Path:
    """``path`` if it is a checkpoint, or the newest one of the run directory that it is. Raises: CheckpointError."""
    if (path / MANIFEST).is_file():
        return path
    if found := checkpoints(path):
        return found[-1]
    if not path.exists():
        raise CheckpointError(f"{path}: no such run or checkpoint")
    if (path / FOLDER).is_dir() or (path / "recipe.yaml").is_file():
        raise CheckpointError(f"{path}: this run has no checkpoint yet")
    raise CheckpointError(f"{path}: is no run directory and no checkpoint")


def all_of_run(folder: Path, run: str | None) -> bool:
    """Whether a folder holds checkpoints of this run, as their manifests tell, and nothing else."""
    inside = [path for path in folder.iterdir() if not path.name.startswith(".step-")]  # what a kill left
    if not inside or run is None:
        return False
    try:
        return all(NAME.fullmatch(path.name) and _read_manifest(path / MANIFEST).get("run") == run for path in inside)
    except CheckpointError:
        return False


def _require_inside(checkpoint: Path, name: str) -> None:
    """Raises: CheckpointError: it is a link to elsewhere than other checkpoints."""
    file = checkpoint / name
    if file.is_symlink() and not file.resolve().is_relative_to(checkpoint.resolve().parent):
        raise CheckpointError(f"{file}: is a link to {file.resolve()}; put the file itself in its place")


def _save_network(network: nn.Module, file: Path) -> None:
    """The state dict as safetensors, tied tensors once; other layouts than contiguous have no place in the format."""
    tensors: dict[str, Tensor] = {}
    tied: dict[str, str] = {}
    first: dict[tuple[Any, ...], str] = {}
    for name, tensor in network.state_dict().items():
        if not isinstance(tensor, Tensor):
            raise CheckpointError(f"{file.stem}: '{name}' in its state dict is a {type(tensor).__name__}, not a tensor")
        storage = (tensor.data_ptr(), tensor.shape, tensor.stride(), tensor.dtype) if tensor.numel() else name
        kept = first.setdefault((storage,), name)
        if kept == name:
            # copied, since tensors that share memory in part have no place in the format either
            tensors[name] = tensor.detach().to("cpu", memory_format=torch.contiguous_format, copy=True)
        else:
            tied[TIED + name] = kept
    save_file(tensors, file, metadata=tied)


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


def _require_plain(value: Any, where: str) -> None:
    """What ``weights_only`` will read again: of just these types, for a subclass of one is code."""
    kind = type(value)
    if kind in (dict, OrderedDict):
        for key, item in value.items():
            _require_plain(key, f"{where}, the key {key!r}")
            _require_plain(item, f"{where}.{key}")
    elif kind in (list, tuple):
        for index, item in enumerate(value):
            _require_plain(item, f"{where}.{index}")
    elif value is not None and kind not in (Tensor, nn.Parameter, bool, int, float, str, bytes):
        raise CheckpointError(f"{where}: a {kind.__name__} cannot be saved; use plain data and tensors")


def _require_uncompressed(file: Path) -> None:
    """Raises: ValueError: it is no archive as torch writes it, whose contents are no larger than it is."""
    with zipfile.ZipFile(file) as archive:
        entries = archive.infolist()
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
        raise ValueError("it is compressed, which torch never does")
    if sum(entry.file_size for entry in entries) > file.stat().st_size:
        raise ValueError("it claims to hold more than it does")


def _require_held(state: Any) -> None:
    """Raises: ValueError: more values than any state has, through references, or a tensor larger than its memory."""
    waiting, count = [state], 0
    while waiting:
        value = waiting.pop()
        count += 1
        if count > MAX_VALUES:
            raise ValueError(f"it grows beyond {MAX_VALUES:,} values")
        if isinstance(value, Mapping):
            waiting += [*value.keys(), *value.values()]
        elif isinstance(value, (list, tuple)):
            waiting += value
        elif isinstance(value, Tensor) and (
            value.layout != torch.strided
            or value.device.type != "cpu"
            or value.numel() * value.element_size() > value.untyped_storage().nbytes()
        ):
            raise ValueError(f"a tensor {list(value.shape)} is larger than what is stored of it")


def _sha256(path: Path) -> str:
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _to_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
