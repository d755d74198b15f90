"""A run directory: claimed once, its records written whole."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ..distributed.rendezvous import launch_id
from ..errors import GankitError
from ..events import Event
from ..files import open_regular, whole_file
from ..recipe.model import Recipe
from .checkpoint import holds_only_run
from .file_names import CHECKPOINTS, EVENTS, RECIPE, RECORD
from .json_lines import MAX_LINE, JsonLines, parse_object, read_object

MAX_RECORD_BYTES = 2**22


def require_free(wanted: Path) -> None:
    """Raises: GankitError: ``wanted`` exists and is not an empty folder."""
    if wanted.exists() and (not wanted.is_dir() or any(wanted.iterdir())):
        raise GankitError(
            f"{wanted}: exists already and nothing is overwritten; name another directory, "
            f"or go on with it: gankit resume {wanted}"
        )


def require_within(directory: Path) -> None:
    """Its checkpoints may lie elsewhere, where all there are this run's.

    Raises:
        GankitError: something else in it is a link that leads out of it, and would be written to.
    """
    for path in sorted(directory.iterdir()):
        if path.is_symlink() and not path.resolve().is_relative_to(directory.resolve()):
            if path.name == CHECKPOINTS:
                _require_own(path, read_record(directory).get("started_at"))
                continue
            raise GankitError(
                f"{path}: leads out of the run directory, to {path.resolve()}; a run writes nowhere else. "
                "Put what is meant in its place, or move the whole run directory and link that"
            )


def _require_own(link: Path, run: Any) -> None:
    """Raises: GankitError: it leads to what are not this run's checkpoints alone, of which some would be deleted."""
    target = link.resolve()
    if not target.is_dir():
        raise GankitError(f"{link}: leads to {target}, which is not there; bring it back")
    if not isinstance(run, str) or not holds_only_run(target, run):
        raise GankitError(
            f"{link}: leads out of the run directory, to {target}, and what is there is not this run's checkpoints "
            "alone; a run writes nowhere else. Move all of its checkpoints there and nothing more, or put them back"
        )


def claim_directory(wanted: Path | None, name: str) -> Path:
    """Make the directory of a new run: ``wanted`` itself, or ``results/NAME``, ``results/NAME-2``, ...

    Raises:
        GankitError: ``wanted`` exists and is not empty, or cannot be made.
    """
    try:
        if wanted is not None:
            require_free(wanted)
            wanted.mkdir(parents=True, exist_ok=True)
            (wanted / RECIPE).touch(exist_ok=False)  # of two processes that came this far, one gets it
            return wanted
        number = 1
        while True:
            directory = Path("results", name if number == 1 else f"{name}-{number}")
            try:
                directory.mkdir(parents=True)
            except FileExistsError:
                number += 1
            else:
                return directory
    except FileExistsError:
        raise GankitError(f"{wanted}: another run has just taken it; name another directory") from None
    except OSError as error:
        raise GankitError(f"{wanted or 'results'}: cannot be made: {error.strerror or error}") from None


class RunRecords:
    """``recipe.yaml``, ``run.json`` and ``events.jsonl`` of a run.

    Args:
        directory: of the run.
        recipe: resolved.
        about: what ``run.json`` says from the start: versions, plugins, device.
        events_bytes: where the checkpoint resumed from left ``events.jsonl``; 0 for a new run.
        step: of that checkpoint. Later events of this step stay too, such as how the run ended: they happen once.

    Raises:
        GankitError: they cannot be written.
    """

    def __init__(
        self, directory: Path, recipe: Recipe, about: Mapping[str, Any], events_bytes: int = 0, step: int = 0
    ) -> None:
        self.directory = directory
        self.about = {**read_record(directory), **about, "ended": None}
        self.about.setdefault("started_at", _now())
        try:
            _write(directory / RECIPE, recipe.to_yaml())
            self._write_record()
        except OSError as error:
            raise GankitError(f"{directory}: cannot be written: {error.strerror or error}") from error
        events = directory / EVENTS
        self.events = JsonLines(events, keep_bytes=_length_up_to(step, events, events_bytes))

    def log(self, event: Event, step: int) -> None:
        """Append to ``events.jsonl``."""
        self.events.append({"at": _now(), "step": step, **event.record()})

    def end(self, reason: str, step: int, images: int, seconds: float) -> None:
        """Write how the run ended."""
        figures = {"step": step, "images": images, "seconds": seconds}
        self.about["ended"] = {"reason": reason, "at": _now(), "launch": launch_id(), **figures}
        self._write_record()
        self.events.close()

    def _write_record(self) -> None:
        _write(self.directory / RECORD, json.dumps(self.about, indent=2) + "\n")


class NoRunRecords:
    """What keeps the records of a run in a process that writes none."""

    def log(self, event: Event, step: int) -> None: ...

    def end(self, reason: str, step: int, images: int, seconds: float) -> None: ...


def read_record(directory: Path) -> dict[str, Any]:
    """What ``run.json`` says; empty where it is missing or unreadable."""
    try:
        return read_object(directory / RECORD, MAX_RECORD_BYTES)
    except (OSError, ValueError):
        return {}


def _length_up_to(step: int, events: Path, known: int) -> int:
    """Bytes of the first ``known`` ones, and of the lines after these up to the first of a later step, or damaged."""
    try:
        with open_regular(events) as file:
            file.seek(known)
            while line := file.readline(MAX_LINE):
                if not line.endswith(b"\n") or parse_object(line)["step"] > step:
                    break
                known += len(line)
    except (OSError, ValueError, KeyError, TypeError):
        pass
    return known


def _write(path: Path, text: str) -> None:
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
