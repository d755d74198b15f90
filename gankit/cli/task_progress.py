"""Show the progress of tasks before training, such as checking images."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.progress import Progress

from ..interfaces import Report
from .console import output_console, print_message

if TYPE_CHECKING:
    from ..training.trainer import Trainer

FIRST_LINE_SECONDS = 2.0
LINE_SECONDS = 10.0


@contextmanager
def task_progress() -> Iterator[Report]:
    """A function that shows progress: as bars on a terminal, otherwise in lines if a task takes more than 2 seconds."""
    console = output_console()
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bars:
        tasks = {}
        next_line = 0.0

        def report(task: str, done: int, total: int) -> None:
            nonlocal next_line
            if task not in tasks:
                next_line = time.monotonic() + FIRST_LINE_SECONDS
                tasks[task] = bars.add_task(task, total=total)
            bars.update(tasks[task], completed=done)
            if not console.is_terminal and time.monotonic() >= next_line:
                console.print(f"{task}: {done:,} of {total:,}")
                next_line = time.monotonic() + LINE_SECONDS

        yield report


def print_data(trainer: Trainer) -> None:
    """Print what the dataset of a run found."""
    data = trainer.setup.data
    if data is None:
        return
    output_console().print(f"data: {data.summary}")
    for sentence in data.warnings:
        print_message(sentence, "warning")
