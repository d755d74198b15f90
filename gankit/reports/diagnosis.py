"""Diagnosis of a run from its files, also of a run that was killed."""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..events import ChangesAccepted, Ended, Failed, Finding, Overridden, Recovered, Resumed, RolledBack, Started
from ..messages import truncate
from ..runs.file_names import EVENTS, METRICS, NOT_FINITE, RECIPE, checkpoint_step, checkpoints
from ..runs.json_lines import read_log
from ..runs.run_directory import completed_steps
from .run_summary import MAX_TEXT_LENGTH, RunSummary, parse_count, read_run

CAUSES = (
    "discriminator_too_fast", "generator_too_fast", "frozen_discriminator", "frozen_generator", "batch_norm_of_one",
    "exploding_discriminator_gradient", "exploding_generator_gradient", "discriminator_saturated",
)  # fmt: skip
"""Problems of settings and balance, which other problems follow from."""

CONSEQUENCES = (
    "mode_collapse", "missing_modes", "ignores_latent", "ignores_labels", "vanishing_gradient", "gradient_imbalance",
    "discriminator_saturated", "exploding_discriminator_gradient", "exploding_generator_gradient", "range_saturated",
    "range_overflow", "images_not_finite", NOT_FINITE,
)  # fmt: skip
AFTER_EFFECT = 1000  # steps
MAX_HISTORY_LENGTH = 120  # characters of a message in the history; the status has more of it
ACTIVE_SECONDS = 120.0  # a run that wrote a file within this time may still be running


@dataclass(frozen=True)
class TrainingProblem:
    """A problem of the training, found by the run itself or in its log.

    Attributes:
        kind: name of the finding, such as ``mode_collapse``.
        message: its newest message.
        first_step: step of the first report.
        end_step: step at which it ended; None if it did not end.
        reports: number of reports.
        cause: kind of the earlier problem that it probably follows from; None if there is none.
    """

    kind: str
    message: str
    first_step: int
    end_step: int | None = None
    reports: int = 1
    cause: str | None = None


@dataclass(frozen=True)
class Diagnosis:
    """The diagnosis of a run.

    Attributes:
        summary: of its files.
        status: one line: whether it is done, stopped, running or killed, and at which step.
        history: starts, interruptions, rollbacks and failures, oldest first.
        problems: ordered by their first step, so that a cause stands before its consequences.
        advice: whether to restart or to resume after the problems; None if there are none.
        next_step: a command to continue the run, with an explanation; None if it is done or running.
    """

    summary: RunSummary
    status: str
    history: Sequence[str]
    problems: Sequence[TrainingProblem]
    advice: str | None
    next_step: str | None


def diagnose(directory: Path, ending: str | None = None) -> Diagnosis:
    """Read a run directory.

    Args:
        directory: of the run.
        ending: why the run ends, if its files do not say so yet.

    Raises:
        GankitError: it does not exist, or one of its files is damaged.
    """
    summary = read_run(directory)
    if ending is not None:
        summary = replace(summary, ending=ending)
    events = list(read_log(directory / EVENTS))
    problems = list(_reported_problems(events))
    if summary.non_finite and not any(problem.kind == NOT_FINITE for problem in problems):
        problems.append(_non_finite_metrics(*summary.non_finite))
    problems = with_causes(sorted(problems, key=lambda problem: (problem.first_step, problem.kind not in CAUSES)))
    return Diagnosis(
        summary=summary,
        status=_status(summary, directory),
        history=[line for event in events if (line := _history_line(event))],
        problems=problems,
        advice=_advice(problems, directory),
        next_step=_next_step(summary, directory),
    )


def _reported_problems(events: Iterable[Mapping[str, Any]]) -> Iterator[TrainingProblem]:
    """Join repeated reports of a finding until it ends."""
    ongoing: dict[str, TrainingProblem] = {}
    for event in events:
        kind, step = truncate(str(event.get("finding"))), parse_count(event.get("step", 0))
        if event.get("event") == Finding.kind:
            known = ongoing.get(kind, TrainingProblem(kind, "", step, reports=0))
            message = truncate(str(event.get("message", kind)), MAX_TEXT_LENGTH)
            ongoing[kind] = replace(known, message=message, reports=known.reports + 1)
        elif event.get("event") == Recovered.kind and kind in ongoing:
            yield replace(ongoing.pop(kind), end_step=step)
        elif event.get("event") == RolledBack.kind and NOT_FINITE in ongoing:
            yield replace(ongoing.pop(NOT_FINITE), end_step=parse_count(event.get("from_step", step)))
    yield from ongoing.values()


def with_causes(problems: Sequence[TrainingProblem]) -> list[TrainingProblem]:
    """The problems, each with the earlier one that it probably follows from.

    A wrong setting causes what is found later, until the setting's own finding has been over for `AFTER_EFFECT` steps.

    Args:
        problems: in the order of time.
    """
    explained: list[TrainingProblem] = []
    for problem in problems:
        causes = [
            earlier.kind
            for earlier in explained
            if earlier.kind in CAUSES
            and earlier.cause is None
            and (earlier.end_step is None or problem.first_step <= earlier.end_step + AFTER_EFFECT)
        ]
        follows = problem.kind in CONSEQUENCES and problem.kind not in causes
        explained.append(replace(problem, cause=causes[0] if causes and follows else None))
    return explained


def _advice(problems: Sequence[TrainingProblem], directory: Path) -> str | None:
    """Whether to restart or to resume."""
    lasting = [problem for problem in problems if problem.end_step is None]
    first = min((problem.first_step for problem in lasting if problem.kind != NOT_FINITE), default=None)
    if not problems:
        return None
    if not lasting:
        return "all problems are over; resume the run, or keep it"
    found = checkpoints(directory)
    if first is None and found:
        return "resume: the run returns to its last checkpoint, whose weights are finite"
    before = [path for path in found if first is not None and checkpoint_step(path) < first]
    start, recipe = "from the beginning", shlex.quote(str(directory / RECIPE))
    if before:
        start = f"from its last healthy weights, with initialize={shlex.quote(str(before[-1]))}"
    return (
        f"restart with the settings changed as advised above, {start}: gankit run {recipe} KEY=VALUE; "
        "resuming keeps the weights and the settings that the problems come from"
    )


def _non_finite_metrics(line: Mapping[str, Any], names: Sequence[str]) -> TrainingProblem:
    """The first logged NaN or infinity, for a run that was killed before it could trace it."""
    step = parse_count(line.get("step", 0))
    message = (
        f"NaN or infinity in the log from step {step:,} on ({_shorten(', '.join(names))}), and the run ended before it "
        "found the cause. Resume it: it then finds the layer and the batch."
    )
    return TrainingProblem(NOT_FINITE, message, step)


def _history_line(event: Mapping[str, Any]) -> str | None:
    """An event as a line of the run's history; None for events that are not part of it."""
    step, at = parse_count(event.get("step", 0)), truncate(str(event.get("at", "")))
    kind = event.get("event")
    if kind == Started.kind:
        text = "started"
    elif kind == Resumed.kind:
        text = f"resumed after step {step:,}"
    elif kind == Ended.kind:
        text = f"ended at step {step:,}: {_shorten(str(event.get('reason')))}"
    elif kind == Failed.kind:
        text = f"failed after step {step:,}: {_shorten(str(event.get('error')).removeprefix('failed: '))}"
    elif kind == Overridden.kind and isinstance(settings := event.get("settings"), Mapping):
        previous = event.get("previous")
        overridden = Overridden(settings, previous if isinstance(previous, Mapping) else {})
        text = f"changed settings at step {step:,}: {_shorten(str(overridden))}"
    elif kind == ChangesAccepted.kind and isinstance(changes := event.get("changes"), list):
        text = f"accepted changes at step {step:,}: {_shorten('; '.join(map(str, changes)))}"
    elif kind == RolledBack.kind:
        text = f"returned from step {parse_count(event.get('from_step', step)):,} to step {step:,}"
        if isinstance(skipped := event.get("without"), list) and skipped:
            text += f", skipping a batch of {len(skipped)} images"
    elif kind not in (Finding.kind, Recovered.kind) and (message := event.get("message", event.get("reason"))):
        text = f"{truncate(str(kind)).replace('_', ' ')} at step {step:,}: {_shorten(str(message))}"
    else:
        return None
    return f"{at}  {text}"


def _shorten(text: str) -> str:
    return text if len(text) <= MAX_HISTORY_LENGTH else f"{text[:MAX_HISTORY_LENGTH]} ..."


def _status(summary: RunSummary, directory: Path) -> str:
    position = f"at step {summary.steps:,}, after {summary.images:,} images"
    ending = summary.ending
    if ending == "done":
        return f"done {position}"
    if ending is not None:
        return f"{ending} ({position})" if ending.startswith("failed") else f"stopped {position}: {ending}"
    if summary.lock.holder is not None:
        return f"running {position}: {summary.lock.holder}"
    changes = [path.stat().st_mtime for path in (directory / METRICS, directory / EVENTS) if path.exists()]
    idle = time.time() - max(changes, default=(directory / RECIPE).stat().st_mtime)
    if idle < ACTIVE_SECONDS and not summary.lock.known:
        return f"probably running {position}: its log changed {idle:.0f} seconds ago"
    return f"killed {position}: its log has no ending and last changed {_format_age(idle)} ago"


def _format_age(seconds: float) -> str:
    for unit, size in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} seconds"


def _next_step(summary: RunSummary, directory: Path) -> str | None:
    if summary.ending == "done" or summary.lock.holder is not None:
        return None
    found, quoted = checkpoints(directory), shlex.quote(str(directory))
    if found:
        return f"gankit resume {quoted}    continues from {found[-1].name}"
    restart = " --restart" if completed_steps(directory) else ""
    return f"gankit resume {quoted}{restart}    starts again, because the run has no checkpoint"
