"""What happened to a run, from what it left behind: for one that ended, and for one that was killed."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..events import Ended, Failed, Finding, Recovered, Resumed, RolledBack, Started
from ..messages import truncate
from ..runs.file_names import EVENTS, METRICS, checkpoints
from ..runs.json_lines import read_log
from .run_summary import LONGEST as LONGEST_MESSAGE
from .run_summary import RunSummary, read_metrics, read_run, whole

NOT_FINITE = "not_finite"
LONGEST = 120  # characters of an error in the history; the ending has all of it
ALIVE_SECONDS = 120.0  # a run that wrote this lately may be running still


@dataclass(frozen=True)
class RunProblem:
    """A finding of a run.

    Attributes:
        kind: such as ``mode_collapse``.
        message: a sentence with its figure and what to try, as it was last said.
        since: step at which it was said first.
        until: step at which it was over; None where it never was.
        times: how often it was said.
    """

    kind: str
    message: str
    since: int
    until: int | None = None
    times: int = 1


@dataclass(frozen=True)
class Diagnosis:
    """What can be said about a run.

    Attributes:
        ending: how it stands, in a sentence.
        history: how it came there: starts, interruptions, and what it did about its troubles, oldest first.
        troubles: in the order in which they began.
        next_step: a command, and what it is good for; None where there is nothing to do.
    """

    facts: RunSummary
    ending: str
    history: Sequence[str]
    troubles: Sequence[RunProblem]
    next_step: str | None


def diagnose(directory: Path) -> Diagnosis:
    """Read a run directory. Raises: GankitError: there is no run, or one of its files is damaged."""
    facts = read_run(directory)
    events = list(read_log(directory / EVENTS))
    troubles = [*_troubles(events)]
    if not any(trouble.kind == NOT_FINITE for trouble in troubles):
        troubles += _not_finite(read_metrics(directory))
    return Diagnosis(
        facts=facts,
        ending=_ending(facts, directory),
        history=[sentence for event in events if (sentence := _history_line(event))],
        troubles=sorted(troubles, key=lambda trouble: trouble.since),
        next_step=_next_step(facts, directory),
    )


def _troubles(events: Iterable[Mapping[str, Any]]) -> Iterable[RunProblem]:
    """Findings, each joined with what was said of it again, until it was over."""
    open_ones: dict[str, RunProblem] = {}
    for event in events:
        kind, step = truncate(str(event.get("finding"))), whole(event.get("step", 0))
        if event.get("event") == Finding.kind:
            known = open_ones.get(kind, RunProblem(kind, "", step, times=0))
            open_ones[kind] = replace(
                known, message=truncate(str(event.get("message", kind)), LONGEST_MESSAGE), times=known.times + 1
            )
        elif event.get("event") == Recovered.kind and kind in open_ones:
            yield replace(open_ones.pop(kind), until=step)
        elif event.get("event") == RolledBack.kind and NOT_FINITE in open_ones:
            yield replace(open_ones.pop(NOT_FINITE), until=whole(event.get("from_step", step)))
    yield from open_ones.values()


def _not_finite(lines: Iterable[Mapping[str, Any]]) -> list[RunProblem]:
    """The first logged figures that are no numbers, for a run that died before it could look into them."""
    for line in lines:
        broken = [name for name, value in line.items() if not _is_finite(value)]
        if broken:
            step = whole(line.get("step", 0))
            message = (
                f"{_shortened(', '.join(broken))} NaN or infinite in the log from step {step:,} on, and the run did "
                "not look into it. Resume it: it finds the layer and the batch by itself."
            )
            return [RunProblem(NOT_FINITE, message, step)]
    return []


def _is_finite(value: Any) -> bool:
    """Whether a logged value is no NaN and no infinity, which the log has as strings."""
    try:
        return math.isfinite(float(value))
    except (TypeError, ValueError, OverflowError):
        return True


def _history_line(event: Mapping[str, Any]) -> str | None:
    """An event as a line of the run's history; None for events that are not part of it."""
    step, at = whole(event.get("step", 0)), truncate(str(event.get("at", "")))
    kind = event.get("event")
    if kind == Started.kind:
        text = "started"
    elif kind == Resumed.kind:
        text = f"resumed after step {step:,}"
    elif kind == Ended.kind:
        text = f"ended at step {step:,}: {_shortened(str(event.get('reason')))}"
    elif kind == Failed.kind:
        text = f"failed after step {step:,}: {_shortened(str(event.get('error')).removeprefix('failed: '))}"
    elif kind == RolledBack.kind:
        text = f"returned from step {whole(event.get('from_step', step)):,} to step {step:,}"
        without = event.get("without")
        skipped = len(without) if isinstance(without, list) else 0
        text += f", skipping a batch of {skipped} images" if skipped else ""
    elif kind not in (Finding.kind, Recovered.kind) and (message := event.get("message", event.get("reason"))):
        text = f"{truncate(str(kind)).replace('_', ' ')} at step {step:,}: {_shortened(str(message))}"
    else:
        return None
    return f"{at}  {text}"


def _shortened(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[:LONGEST]} ..."


def _ending(facts: RunSummary, directory: Path) -> str:
    where = f"at step {facts.steps:,}, after {facts.images:,} images"
    if facts.ending == "done":
        return f"done {where}"
    if facts.ending is not None:
        return f"{facts.ending} ({where})" if facts.ending.startswith("failed") else f"stopped {where}: {facts.ending}"
    silent = time.time() - max(
        (path.stat().st_mtime for name in (METRICS, EVENTS) if (path := directory / name).exists()), default=0.0
    )
    if silent < ALIVE_SECONDS:
        return f"running, it seems, {where}: it wrote something {silent:.0f} seconds ago"
    return f"killed {where}: it wrote no ending, and nothing for {_ago(silent)}"


def _ago(seconds: float) -> str:
    for unit, size in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} seconds"


def _next_step(facts: RunSummary, directory: Path) -> str | None:
    if facts.ending == "done":
        return None
    found = checkpoints(directory)
    whence = f"from {found[-1].name}" if found else "from the start, since it has no checkpoint"
    return f"gankit resume {directory}    goes on {whence}"
