"""``evaluations.jsonl``: the evaluations of a run, oldest first."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from ..errors import GankitError
from ..messages import truncate
from ..runs.json_lines import JsonLines, read_log
from .record import Evaluation

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
        raise GankitError(
            f"{path}: a line is no evaluation: {where}: {truncate(fault['msg'], 200)}; delete it"
        ) from None


def _whole_bytes(path: Path) -> int | None:
    """The length up to the last whole line: a crash may have left a part of one."""
    return path.read_bytes().rfind(b"\n") + 1 if path.exists() else None
