"""Opens checkpoints with their hashes verified. Loading one never executes code.

A checkpoint is a folder such as ``step-00007800/``. It holds the networks as safetensors, ``state.pt`` (plain data and
tensors) and ``manifest.json``, which lists the SHA-256 of each file and describes the generator for sampling.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from ..errors import CheckpointError
from ..files import read_failure
from .file_names import (
    CHECKPOINTS,
    MANIFEST,
    RECIPE,
    STATE,
    UNFINISHED_CHECKPOINTS,
    checkpoint_name,
    checkpoint_step,
    checkpoints,
    is_checkpoint_name,
    weights_name,
)
from .manifest import DamagedCheckpointError, read_manifest, sha256_of_file
from .plain_data import load_plain_data
from .weights import MisfitError, load_weights, read_weights


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
                digest = sha256_of_file(path / name)
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
        opened = cls(path, manifest)
        in_run = path.parent.name == CHECKPOINTS and is_checkpoint_name(path.name)
        if in_run and checkpoint_step(path) != opened.step:
            own = checkpoint_name(opened.step)
            raise DamagedCheckpointError(f"{path}: is the checkpoint of step {opened.step:,}; rename it to {own}")
        return opened

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
