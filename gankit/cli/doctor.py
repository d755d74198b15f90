"""``gankit doctor``: what happened to a run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .console import out
from .duration import format_duration

if TYPE_CHECKING:
    from ..reports.diagnosis import Diagnosis


def doctor(
    run: Annotated[Path, typer.Argument(metavar="RUN_DIR", help="A run directory.", show_default=False)],
) -> None:
    """Say what happened to a run: one that ended, one that was killed, one that still runs.

    Example:

      gankit doctor results/dcgan_cifar10
    """
    from ..reports.diagnosis import diagnose

    found = diagnose(run)
    console = out()
    for line in told(found):
        console.print(line)


def told(found: Diagnosis) -> list[str]:
    """A diagnosis in lines."""
    facts = found.facts
    rate = facts.images_per_second
    speed = "" if rate is None else f"; {format_duration(facts.seconds)} of training, {rate:,.0f} images/s"
    lines = [f"{facts.directory}: {found.ending}{speed}", ""]
    if found.troubles:
        for trouble in found.troubles:
            until = "to the end" if trouble.until is None else f"to step {trouble.until:,}"
            lines += [f"{trouble.kind}, from step {trouble.since:,} {until}:", f"  {trouble.message}", ""]
    else:
        lines += ["No finding about the training itself (docs/health.md says what is looked at).", ""]
    if found.history:
        lines += ["What happened:", *(f"  {sentence}" for sentence in found.history), ""]
    if found.next_step:
        lines += [f"To go on:  {found.next_step}"]
    return lines
