"""The best checkpoint, kept in the folder ``best/``."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import gankit

FOLDER = "best"
NAME = re.compile(r"step-\d{8,}")


def keep_best(checkpoint: Path, run_directory: Path) -> None:
    """Store a checkpoint as the best one and remove the previous best.

    Files are hard-linked if the file system allows it, so they take no extra space while the original exists. The
    previous best is removed only after the new one is in place, so a whole checkpoint exists at any time.

    Raises:
        gankit.GankitError: the checkpoint cannot be written.
    """
    folder = run_directory / FOLDER
    final = folder / checkpoint.name
    try:
        folder.mkdir(exist_ok=True)
        for leftover in folder.glob(".step-*"):  # from a killed run
            shutil.rmtree(leftover, ignore_errors=True)
        with gankit.whole_folder(final) as new:
            for file in checkpoint.iterdir():
                _link(file, new / file.name)
        for other in folder.iterdir():
            if other != final and NAME.fullmatch(other.name):
                removed = other.rename(folder / f".{other.name}.removed")
                shutil.rmtree(removed, ignore_errors=True)
    except OSError as error:
        raise gankit.GankitError(f"{final}: cannot be written: {error.strerror or error}; see {checkpoint}") from None


def _link(file: Path, name: Path) -> None:
    try:
        name.hardlink_to(file)
    except OSError:  # the file system has no hard links
        shutil.copyfile(file, name)
