"""``evaluations.jsonl``: the evaluations of a run, oldest first."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from pydantic import ValidationError

from ..errors import GankitError
from ..files import open_regular, read_failure, writing
from ..messages import truncate
from ..runs.json_lines import MAX_LINE, JsonLines, parse_object, read_log
from .record import Evaluation

MAX_LOG_BYTES = 2**28


def append_evaluation(path: Path, evaluation: Evaluation) -> None:
    """Append one line. Raises: GankitError: the file cannot be written, or is not a log of evaluations."""
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with closing(JsonLines(path, keep_bytes=_end_of_last_line(path))) as log:
            log.append(evaluation.model_dump(mode="json"))
            log.sync()


def require_log(path: Path) -> None:
    """Raises: GankitError: the file exists, and its first line is not an evaluation."""
    try:
        if path.exists():
            with open_regular(path) as file:
                first = file.readline(MAX_LINE)
            if first.strip():
                Evaluation.model_validate(parse_object(first))
    except OSError as error:
        raise GankitError(read_failure(path, error)) from None
    except ValueError:  # also pydantic's
        raise GankitError(f"{path}: is not a log of evaluations; choose another file") from None


def _end_of_last_line(path: Path) -> int | None:
    """The length to which a log is truncated, without a partial line that a crash has left; None if it has none.

    Raises:
        OSError, GankitError: as `append_evaluation`.
    """
    if not path.exists():
        return None
    with open_regular(path) as file:  # reading a pipe would block
        content = file.read()
    if not content or content.endswith(b"\n"):
        return None
    start = content.rfind(b"\n") + 1
    try:
        Evaluation.model_validate(parse_object(content[start:]))
    except ValueError:
        if start:
            require_log(path)
        elif not content.startswith(b'{"'):  # as every record
            raise GankitError(f"{path}: is not a log of evaluations; choose another file") from None
        return start
    with path.open("ab") as file:  # an editor may leave out the last line break
        file.write(b"\n")
    return None


def read_evaluations(path: Path) -> list[Evaluation]:
    """All evaluations in the file; an empty list if it does not exist. Raises: GankitError: it is damaged."""
    try:
        return [Evaluation.model_validate(record) for record in read_log(path, MAX_LOG_BYTES)]
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        where, message = truncate(".".join(map(str, fault["loc"]))), truncate(fault["msg"], 200)
        raise GankitError(f"{path}: a line is not an evaluation: {where}: {message}; delete that line") from None
