"""The names of the files in the directory of a search."""

from __future__ import annotations

from pathlib import Path

BASE = "base.yaml"  # the complete recipe that the trials change; not recipe.yaml, which marks a run directory
SPACE = "space.yaml"
BEST = "best.yaml"
DATABASE = "search.db"


def trial_directory(directory: Path, number: int) -> Path:
    """The run directory of a trial."""
    return directory / f"trial-{number:04d}"


def process_log(directory: Path, index: int) -> Path:
    """The output of a process that runs trials."""
    return directory / f"process-{index}.log"


def is_search(directory: Path) -> bool:
    """Whether a folder is that of a search."""
    return (directory / BASE).is_file() and (directory / SPACE).is_file()
