"""Creates run directories and writes their records. Two runs never share a directory."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ..distributed.torchrun import launch_id
from ..errors import GankitError
from ..events import Event
from ..files import open_regular, read_failure, reason_and_remedy, whole_file, writing
from ..recipe.model import Recipe
from .checkpoint import holds_only_run
from .file_names import CHECKPOINTS, EVENTS, METRICS, RECIPE, RECORD, RESULTS, SKIPPED_FILES
from .json_lines import MAX_LINE, JsonLines, parse_object, read_log, read_object

MAX_RECORD_BYTES = 2**22
MAX_METRICS_BYTES = 2**30  # three weeks at twenty steps per second, one line every ten steps


def require_unused(directory: Path) -> None:
    """Raises: GankitError: the directory exists and is not an empty folder."""
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise GankitError(
            f"{directory}: exists already and nothing is overwritten; choose another directory, "
            f"or continue the run with gankit resume {directory}"
        )


def require_writable(wanted: Path | None) -> None:
    """Check that a run directory can be created, without creating it.

    Args:
        wanted: the directory; None for one under ``results/``.

    Raises:
        GankitError: it cannot be created, or cannot be written.
    """
    directory = wanted or Path(RESULTS)
    _require_no_dangling_link(directory)
    existing = next(path for path in (directory.absolute(), *directory.absolute().parents) if path.exists())
    try:
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        raise GankitError(f"{directory}: cannot be written: {existing}: {reason_and_remedy(error)}") from None


def _require_no_dangling_link(directory: Path) -> None:
    """Raises: GankitError: the directory or a folder that would contain it is a link to something that is missing."""
    for path in (directory, *directory.parents):
        if path.is_symlink() and not path.exists():
            target = path.readlink()
            raise GankitError(f"{directory}: cannot be created: {path} is a link to {target}, which does not exist")


def require_no_outside_links(directory: Path) -> None:
    """Check that a resumed run writes only to its own files, as its directory may come from elsewhere.

    ``checkpoints`` may be a link to another folder if that folder holds only checkpoints of this run.

    Raises:
        GankitError: a file or folder in the directory is a link that leads out of it.
    """
    for path in sorted(directory.iterdir()):
        if path.is_symlink() and not path.resolve().is_relative_to(directory.resolve()):
            if path.name == CHECKPOINTS:
                _require_own_checkpoints(path, read_record(directory).get("started_at"))
                continue
            raise GankitError(
                f"{path}: leads out of the run directory, to {path.resolve()}; a run writes only to its own directory. "
                "Replace the link by its target, or move the whole run directory and link to it"
            )


def _require_own_checkpoints(link: Path, run: Any) -> None:
    """Raises: GankitError: the target has other files than checkpoints of this run; some of them could be deleted."""
    target = link.resolve()
    if not target.is_dir():
        raise GankitError(f"{link}: leads to {target}, which does not exist; restore it")
    if not holds_only_run(target, run):
        raise GankitError(
            f"{link}: leads out of the run directory, to {target}, which must hold checkpoints of this run and nothing "
            "else; move all of its checkpoints and nothing else there, or move them back"
        )


def create_run_directory(wanted: Path | None, name: str) -> Path:
    """Create the directory of a new run.

    Args:
        wanted: the directory; None creates ``results/NAME``, or ``results/NAME-2`` if that exists, and so on.
        name: of the recipe.

    Raises:
        GankitError: ``wanted`` exists and is not empty, or the directory cannot be created.
    """
    _require_no_dangling_link(wanted or Path(RESULTS))
    try:
        if wanted is not None:
            require_unused(wanted)
            wanted.mkdir(parents=True, exist_ok=True)
            (wanted / RECIPE).touch(exist_ok=False)  # fails in all processes but one
            return wanted
        number = 0
        while True:
            number += 1
            directory = Path(RESULTS, name if number == 1 else f"{name}-{number}")
            with suppress(FileExistsError):
                directory.mkdir(parents=True)
                return directory
    except FileExistsError:
        raise GankitError(f"{wanted}: another run has just started there; choose another directory") from None
    except OSError as error:
        raise GankitError(f"{wanted or RESULTS}: cannot be created: {error.strerror or error}") from None


def completed_steps(directory: Path) -> int:
    """The last step that the records of a run show as completed. Raises: GankitError: its metrics are damaged."""
    ended = read_record(directory).get("ended")
    lines = [ended if isinstance(ended, Mapping) else {}, *read_log(directory / METRICS, MAX_METRICS_BYTES)]
    return max(step if isinstance(step := line.get("step"), int) else 0 for line in lines)


class RunRecords:
    """Writes ``recipe.yaml``, ``run.json`` and ``events.jsonl`` of a run.

    Args:
        directory: of the run.
        about: the first entries of ``run.json``: versions, plugins, device.
        events_bytes: the length of ``events.jsonl`` at the checkpoint that the run resumes from; 0 for a new run.
        step: of that checkpoint. Later events of the same step, such as the end of the run, are kept as well.

    Raises:
        GankitError: a file cannot be written.
    """

    def __init__(self, directory: Path, about: Mapping[str, Any], events_bytes: int = 0, step: int = 0) -> None:
        self.directory = directory
        try:
            before = read_object(directory / RECORD, MAX_RECORD_BYTES)
        except (FileNotFoundError, ValueError):
            before = {}
        except OSError as error:
            raise GankitError(read_failure(directory / RECORD, error)) from None
        # the recipe of a resumed run comes from its own directory: where it first came from stays
        origin = {"recipe": before["recipe"]} if "recipe" in before else {}
        self.about = {**before, **about, **origin, "ended": None}
        self.about.setdefault("started_at", _now())
        with writing(self.directory):
            self._write_record()
        events = directory / EVENTS
        self.events = JsonLines(events, keep_bytes=_length_of_events(events, events_bytes, step))

    def write_recipe(self, recipe: Recipe) -> None:
        """Write ``recipe.yaml``."""
        with writing(self.directory):
            _write(self.directory / RECIPE, recipe.to_yaml())

    def log(self, event: Event, step: int) -> None:
        """Append an event to ``events.jsonl``."""
        self.events.append({"at": _now(), "step": step, **event.record()})

    def end(self, reason: str, step: int, images: int, seconds: float) -> None:
        """Record how the run ended, and close the log.

        Args:
            reason: such as ``done``.
            step: the last one.
            images: the number of real images seen.
            seconds: of training.
        """
        figures = {"step": step, "images": images, "seconds": seconds}
        self.about["ended"] = {"reason": reason, "at": _now(), "launch": launch_id(), **figures}
        self._write_record()
        self.events.close()

    def _write_record(self) -> None:
        _write(self.directory / RECORD, json.dumps(self.about, indent=2) + "\n")


def write_skipped_files(directory: Path, skipped: Mapping[str, str]) -> None:
    """Write a line for each file of the data that is left out, with the reason. Without such files, write nothing.

    Raises:
        GankitError: the file cannot be written.
    """
    path = directory / SKIPPED_FILES
    with writing(path):
        if skipped:
            _write(path, "".join(json.dumps({"file": name, "reason": why}) + "\n" for name, why in skipped.items()))
        else:
            path.unlink(missing_ok=True)  # the data has been repaired since an earlier start


def read_record(directory: Path) -> dict[str, Any]:
    """The content of ``run.json``; empty if the file is missing or damaged."""
    try:
        return read_object(directory / RECORD, MAX_RECORD_BYTES)
    except (OSError, ValueError):
        return {}


def _length_of_events(events: Path, length: int, step: int) -> int:
    """Extend ``length`` bytes of a log by the lines that follow, up to a damaged one or one of a later step."""
    with suppress(OSError, ValueError, KeyError, TypeError), open_regular(events) as file:
        file.seek(length)
        while line := file.readline(MAX_LINE):
            if not line.endswith(b"\n") or parse_object(line)["step"] > step:
                break
            length += len(line)
    return length


def _write(path: Path, text: str) -> None:
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
