"""The newest score and the newest finding of a run, from its events."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from ..errors import GankitError
from ..events import Evaluated, Event, Finding, Recovered, RolledBack
from ..interfaces import Run
from ..reports.run_summary import MAX_TEXT_LENGTH, parse_count, parse_float
from ..runs.file_names import EVENTS, NOT_FINITE
from ..runs.json_lines import read_log


class LatestEvents:
    """Follows the events of a run, including those that it logged before.

    Attributes:
        score: the newest score and the best one, on one line; empty before the first.
        finding: the newest finding that still holds, or how the last one ended, on one line; empty without any.
        has_problem: whether ``finding`` still holds.
    """

    def __init__(self, run: Run) -> None:
        self.score = self.finding = ""
        self._standing: dict[str, tuple[int, str]] = {}  # steps and messages by name, oldest first
        with suppress(GankitError):  # of a damaged log, which does not keep the run from training
            for record in read_log(run.directory / EVENTS):
                self.add(record)
        run.listeners.append(lambda event: self._listen(event, run))

    @property
    def has_problem(self) -> bool:
        return bool(self._standing)

    def add(self, record: Mapping[str, Any]) -> None:
        """Take in a line of ``events.jsonl``."""
        name, step = _one_line(record.get("finding")), parse_count(record.get("step"))
        match record.get("event"):
            case Evaluated.kind:
                self.score = _score(record, step) or self.score
            case Finding.kind:
                self._standing.pop(name, None)
                self._standing[name] = (step, _one_line(record.get("message")))
                self._show_standing()
            case Recovered.kind if name in self._standing:
                self._end(name, f"recovered at step {step:,}")
            case RolledBack.kind if NOT_FINITE in self._standing:
                self._end(NOT_FINITE, f"returned from step {parse_count(record.get('from_step')):,} to step {step:,}")

    def _listen(self, event: Event, run: Run) -> None:
        self.add({"step": run.state.step, **event.record()})

    def _end(self, name: str, how: str) -> None:
        del self._standing[name]
        self.finding = f"{name.replace('_', ' ')}: {how}"
        self._show_standing()

    def _show_standing(self) -> None:
        if self._standing:
            step, message = next(reversed(self._standing.values()))
            more = f" (and {len(self._standing) - 1} more)" if len(self._standing) > 1 else ""
            self.finding = f"step {step:,}{more}: {message}"


def _score(record: Mapping[str, Any], step: int) -> str:
    """The score that selects the best checkpoint, or else the first; empty if the record has none."""
    scores = record.get("scores")
    if not isinstance(scores, Mapping) or not scores:
        return ""
    chosen = record.get("score")
    name = chosen if isinstance(chosen, str) and chosen in scores else next(iter(scores))
    text = f"{_one_line(name)} {parse_float(scores[name]):.5g} at step {step:,}"
    if "best_step" not in record:
        return text
    best_step = parse_count(record["best_step"])
    best = f"{parse_float(record.get('best')):.5g} at step {best_step:,}"
    return f"{text} (best)" if best_step == step else f"{text}, best {best}"


def _one_line(value: Any) -> str:
    return " ".join(str(value).split())[:MAX_TEXT_LENGTH]
