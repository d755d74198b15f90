"""``evaluations.jsonl``: the evaluations of a run, oldest first."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ..errors import GankitError
from ..runs.json_lines import JsonLines
from ..messages import truncate
from .record import Evaluation

EVALUATIONS = "evaluations.jsonl"
MAX_BYTES = 2**27
MAX_EVALUATIONS_BYTES = 2**24


def append_evaluation(path: Path, evaluation: Evaluation) -> None:
    """Write one more line. Raises: GankitError: it cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        log = JsonLines(path, keep_bytes=_whole_bytes(path))
        try:
            log.append(evaluation.model_dump(mode="json"))
            log.sync()
        finally:
            log.close()
    except OSError as error:
        raise GankitError(f"{path}: cannot be written: {error.strerror or error}") from None


def read_evaluations(path: Path) -> list[Evaluation]:
    """All that a file holds; none where there is no file. Raises: GankitError: it is damaged."""
    try:
        return [Evaluation.model_validate(record) for record in read_log(path, MAX_EVALUATIONS_BYTES)]
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        where = truncate(".".join(map(str, fault["loc"])))
        raise GankitError(f"{path}: a line is no evaluation: {where}: {truncate(fault['msg'], 200)}; delete it") from None


def read_log(path: Path, most: int = MAX_BYTES) -> Iterator[dict[str, Any]]:
    """The objects of a log, one by one.

    Raises:
        GankitError: a line is no JSON, or the file cannot be read or is larger than ``most`` bytes.
    """
    try:
        if path.exists() and path.stat().st_size > most:
            raise GankitError(f"{path}: is larger than {most:,} bytes; shorten it")
        yield from JsonLines.read(path)
    except (OSError, ValueError) as error:
        raise GankitError(f"{path}: cannot be read: {error}; delete the damaged line") from None


def _whole_bytes(path: Path) -> int | None:
    """The length up to the last whole line: a crash may have left a part of one."""
    return path.read_bytes().rfind(b"\n") + 1 if path.exists() else None
