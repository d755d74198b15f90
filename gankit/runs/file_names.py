"""The names of the files and folders in a run directory."""

from __future__ import annotations

import re
from pathlib import Path

from ..errors import CheckpointError
from ..files import read_failure

RESULTS = "results"  # the parent folder of run directories that are not named by the user
RECIPE = "recipe.yaml"
RECORD = "run.json"
LOCK = ".lock"  # held by the process that trains the run
EVENTS = "events.jsonl"
METRICS = "metrics.jsonl"
SKIPPED_FILES = "skipped_files.jsonl"
INPUTS = "inputs.safetensors"  # fields of real items that samples are generated for
FROZEN = "frozen.safetensors"  # the frozen networks that sampling needs
EVALUATIONS = "evaluations.jsonl"
REPORT = "report.html"
REPORT_PICTURES = "report"  # a folder: the pictures that the report shows
NOT_FINITE = "not_finite"  # a folder: batches and reports of steps with NaN or infinity
CHECKPOINTS = "checkpoints"
MANIFEST = "manifest.json"
STATE = "state.pt"
WEIGHTS_SUFFIX = ".safetensors"
UNFINISHED_CHECKPOINTS = ".step-*"  # a pattern: left by a process that was killed while it wrote or replaced one

_CHECKPOINT = re.compile(r"step-\d{8,}")


def checkpoint_name(step: int) -> str:
    """The folder name of the checkpoint of a step: ``step-00007800``."""
    return f"step-{step:08d}"


def is_checkpoint_name(name: str) -> bool:
    """Whether a folder name is that of a checkpoint."""
    return _CHECKPOINT.fullmatch(name) is not None


def checkpoints(run_directory: Path) -> list[Path]:
    """The checkpoints of a run, oldest first.

    Raises:
        CheckpointError: their folder cannot be read. If it is missing, there are none.
    """
    folder = run_directory / CHECKPOINTS
    try:
        named = [path for path in folder.iterdir() if is_checkpoint_name(path.name)]
        folders = [path for path in named if path.is_dir() and not path.is_symlink()]
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise CheckpointError(read_failure(folder, error)) from None
    return sorted(folders, key=checkpoint_step)


def checkpoint_step(checkpoint: Path) -> int:
    """The step of a checkpoint, from the name of its folder."""
    return int(checkpoint.name.removeprefix("step-"))


def weights_name(network: str) -> str:
    """The file name of a network's weights: ``generator.safetensors``."""
    return f"{network}{WEIGHTS_SUFFIX}"
