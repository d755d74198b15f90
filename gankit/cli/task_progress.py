"""Show the progress of tasks that process one item after another, such as checking images or computing features."""

from __future__ import annotations

import time

from rich.progress import Progress, TaskID

from ..messages import format_duration
from .console import is_terminal, output_console

LINE_SECONDS = 10.0


class TaskProgress:
    """Bars on a terminal, otherwise lines with the time left.

    Args:
        quiet_seconds: without a terminal, a task has no line before this time. At 0, a line announces each task.
    """

    def __init__(self, quiet_seconds: float = 2.0) -> None:
        self._quiet_seconds = quiet_seconds
        self._console = output_console()
        self._bars = Progress(console=self._console, transient=True, disable=not is_terminal(self._console))
        self._tasks: dict[str, TaskID] = {}
        self._started = self._next_line = 0.0

    def __enter__(self) -> TaskProgress:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        if not self._bars.disable:  # rich before version 15 prints an empty line otherwise
            self._bars.stop()

    def report(self, task: str, done: int, total: int) -> None:
        """Show that ``done`` of ``total`` items of a task are processed."""
        now = time.monotonic()
        if task not in self._tasks:
            self._tasks[task] = self._bars.add_task(task, total=total)
            self._started, self._next_line = now, now + self._quiet_seconds
        self._bars.update(self._tasks[task], completed=done)
        if self._bars.disable and now >= self._next_line and done < total:
            self._next_line = now + LINE_SECONDS
            left = (now - self._started) / done * (total - done) if done else 0.0
            self._console.print(
                f"{task}: {done:,}/{total:,}  {format_duration(left)} left" if done else f"{task}: {total:,} ..."
            )
