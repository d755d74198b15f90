"""``gankit doctor``: diagnose a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..messages import format_duration
from .console import RunDirectory, output_console

if TYPE_CHECKING:
    from ..reports.diagnosis import Diagnosis


def doctor(run: RunDirectory) -> None:
    """Diagnose a run: its status, problems of the training, its history, and how to continue it.

    The run may be finished, stopped, killed or still running.

    Examples:

      gankit doctor results/dcgan_cifar10
    """
    from ..reports.diagnosis import diagnose

    console = output_console()
    for line in format_diagnosis(diagnose(run)):
        console.print(line)


def format_diagnosis(diagnosis: Diagnosis) -> list[str]:
    """The lines to print."""
    summary = diagnosis.summary
    rate = summary.images_per_second
    speed = "" if rate is None else f"; {format_duration(summary.seconds)} of training, {rate:,.0f} images/s"
    lines = [f"{summary.directory}: {diagnosis.status}{speed}", ""]
    for problem in diagnosis.problems:
        end = "to the end" if problem.end_step is None else f"to step {problem.end_step:,}"
        cause = f", probably a consequence of {problem.cause}" if problem.cause else ""
        lines += [f"{problem.kind}, from step {problem.first_step:,} {end}{cause}:", f"  {problem.message}", ""]
    if diagnosis.advice:
        lines += [f"Advice:  {diagnosis.advice}", ""]
    if not diagnosis.problems:
        lines += ["No problems of the training were found (docs/health.md lists the checks).", ""]
    if diagnosis.history:
        lines += ["History:", *(f"  {line}" for line in diagnosis.history), ""]
    if diagnosis.next_step:
        lines += [f"To continue:  {diagnosis.next_step}"]
    return lines
