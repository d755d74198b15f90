"""Processes that run trials at the same time, one trial each.

A process of its own is the simplest isolation of a trial: memory that it leaks or that a device runs out of, a crash of
a library, and random generators end with it, and several trials train at the same time, which trainers in the threads
of one process cannot.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from ..errors import GankitError
from ..messages import truncate
from .file_names import process_log
from .plan import Plan
from .study import host_name

MAX_FAILURES = 3  # in a row, after which starting another process is pointless
MAX_TAIL = 4096  # bytes of a process's output


class TrialProcesses:
    """Running processes.

    Args:
        plan: of the search.

    Attributes:
        running: the processes by the file of their output.
    """

    def __init__(self, plan: Plan) -> None:
        self.running: dict[Path, subprocess.Popen[str]] = {}
        self._plan = plan
        self._failures = 0

    def __len__(self) -> int:
        return len(self.running)

    @property
    def numbers(self) -> list[list[str | int]]:
        """Host and number of each process, as trials record them."""
        host = host_name()
        return [[host, process.pid] for process in self.running.values()]

    def start(self, number: int) -> None:
        """Start a process. ``number`` makes the draws of its sampler differ from those of the others."""
        paths = (process_log(Path(self._plan.directory), index) for index in range(len(self.running) + 1))
        log = next(path for path in paths if path not in self.running)
        with log.open("w") as output:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "gankit.search.trial_process"],
                env=os.environ | {"PYTHONPATH": os.pathsep.join(path or str(Path.cwd()) for path in sys.path)},
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                text=True,
                start_new_session=True,  # Ctrl-C is for the process of the search, which closes standard input
            )
        assert process.stdin is not None
        with suppress(BrokenPipeError):  # it has ended, which `collect` reports
            process.stdin.write(json.dumps(self._plan.for_trial(number).as_dict()) + "\n")
            process.stdin.flush()
        self.running[log] = process

    def collect(self) -> None:
        """Forget the processes that have ended.

        Raises:
            GankitError: several in a row were killed, or failed before their trial.
        """
        for log, process in [*self.running.items()]:
            if (code := process.poll()) is None:
                continue
            _close(process)
            del self.running[log]
            self._failures = self._failures + 1 if code else 0
            if self._failures == MAX_FAILURES:
                ending = f"was killed by signal {-code}" if code < 0 else f"failed with exit code {code}"
                raise GankitError(
                    f"{MAX_FAILURES} processes in a row ended without a result; the last one {ending}"
                    f"{_last_line(log)}; its output is in {log}"
                )

    def stop(self) -> None:
        """Ask all processes to stop after their step, and wait for them."""
        for process in self.running.values():
            _close(process)
        for process in self.running.values():
            process.wait()

    def kill(self) -> None:
        """End all processes at once."""
        for process in self.running.values():
            process.kill()
        self.stop()


def _close(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    with suppress(BrokenPipeError):
        process.stdin.close()


def _last_line(log: Path) -> str:
    """``: TEXT``, the last line of the output; empty if there is none."""
    with suppress(OSError):
        lines = log.read_bytes()[-MAX_TAIL:].decode(errors="replace").strip().splitlines()
        if lines:
            return f": {truncate(lines[-1], 300)}"
    return ""
