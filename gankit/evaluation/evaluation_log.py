"""``evaluations.jsonl``: the evaluations of a run, oldest first."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from pydantic import ValidationError

from ..errors import GankitError
from ..files import open_regular
from ..messages import truncate
from ..runs.json_lines import JsonLines, read_log
from .record import Evaluation

MAX_LOG_BYTES = 2**28


def append_evaluation(path: Path, evaluation: Evaluation) -> None:
    """Append one line. Raises: GankitError: the file cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        complete = None
        if path.exists():
            with open_regular(path) as file:  # reading a pipe would block
                content = file.read()
            if content and not content.endswith(b"\n"):  # a crash may leave a partial line
                complete = content.rfind(b"\n") + 1
        with closing(JsonLines(path, keep_bytes=complete)) as log:
            log.append(evaluation.model_dump(mode="json"))
            log.sync()
    except OSError as error:
        raise GankitError(f"{path}: cannot be written: {error.strerror or error}") from None


def read_evaluations(path: Path) -> list[Evaluation]:
    """All evaluations in the file; an empty list if it does not exist. Raises: GankitError: it is damaged."""
    try:
        return [Evaluation.model_validate(record) for record in read_log(path, MAX_LOG_BYTES)]
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        where, message = truncate(".".join(map(str, fault["loc"]))), truncate(fault["msg"], 200)
        raise GankitError(f"{path}: a line is not an evaluation: {where}: {message}; delete that line") from None
