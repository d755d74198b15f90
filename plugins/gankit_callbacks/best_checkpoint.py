"""``best/``: a checkpoint that nothing else removes."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import gankit

FOLDER = "best"
NAME = re.compile(r"step-\d{8,}")


def name_of(step: int) -> str:
    """What a checkpoint of this step is called."""
    return f"step-{step:08d}"


def keep_best(checkpoint: Path, run_directory: Path) -> None:
    """Keep a checkpoint as the best one, in place of the best so far.

    Its files are linked, where the file system can, and so take no more room while the original is there. At any
    moment there is a whole checkpoint: the old one goes when the new one is in place.

    Raises:
        gankit.GankitError: it cannot be written.
    """
    folder = run_directory / FOLDER
    new, final = folder / f".{checkpoint.name}.{os.getpid()}", folder / checkpoint.name
    try:
        folder.mkdir(exist_ok=True)
        for leftover in folder.glob(".step-*"):  # of a run that was killed
            shutil.rmtree(leftover, ignore_errors=True)
        new.mkdir()
        for file in checkpoint.iterdir():
            _link(file, new / file.name)
        _to_disk(new)
        if final.exists():  # of this step too, when a resumed run plays it again: the original is there meanwhile
            final.rename(folder / f".{final.name}.removed")
        new.rename(final)
        _to_disk(folder)
        for other in folder.iterdir():
            if other != final and NAME.fullmatch(other.name):
                other.rename(folder / f".{other.name}.removed")
        for removed in folder.glob(".step-*.removed"):
            shutil.rmtree(removed, ignore_errors=True)
    except OSError as error:
        raise gankit.GankitError(f"{final}: cannot be written: {error.strerror or error}; see {checkpoint}") from None
    finally:
        shutil.rmtree(new, ignore_errors=True)


def _link(file: Path, name: Path) -> None:
    try:
        name.hardlink_to(file)
    except OSError:  # not on every file system
        shutil.copyfile(file, name)
        _to_disk(name)


def _to_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
