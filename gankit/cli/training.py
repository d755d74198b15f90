"""What ``run`` and ``resume`` share: signals, progress, how a run ends, and the exit code that says so."""

from __future__ import annotations

import os
import shlex
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import typer

from ..errors import GankitError
from ..events import Evaluated, Event, Finding, Notice, NotSaved, Recovered, RolledBack
from .console import complain, out, rank
from .progress import make_progress

if TYPE_CHECKING:
    from ..training.trainer import Trainer

# SIGUSR1 is what SLURM can send some time before a job's end (sbatch --signal)
SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGUSR1") if hasattr(signal, name))
SECONDS_APART = 0.5  # of two presses of Ctrl-C; launchers pass on in no time what the terminal has sent already
TIME_LIMIT_CODE = 75  # EX_TEMPFAIL of sysexits.h: try again


def train(trainer: Trainer, plugins: Sequence[str] | None) -> None:
    """Train to the end. Raises: typer.Exit with 1 where the run fails, 75 at its time limit, 128+n after signal n."""
    from ..distributed.rank_failures import LostProcessError, OtherProcessError

    trainer.callbacks.add("progress", make_progress())
    trainer.listeners.append(lambda event: _print_event(event, trainer.state.step))
    try:
        with _stopping(trainer):
            trainer.fit()
    except OtherProcessError:  # which has told
        raise typer.Exit(1) from None
    except GankitError as error:
        if trainer.state.step == 0 and trainer.last_batch is None:
            raise
        # the first process says how to go on, unless it is the one that has ended
        rest = (
            f". To go on: {_command_to_resume(trainer, plugins)}"
            if rank() and isinstance(error, LostProcessError)
            else ""
        )
        complain(f"{error}{_notes(error)}{rest}")
        _say_how_to_resume(trainer, plugins)
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        complain("interrupted twice: the step was not finished and nothing was saved")
        _say_how_to_resume(trainer, plugins)
        raise typer.Exit(130) from None
    except Exception as error:
        said = f"{type(error).__name__}: {error}".strip()
        complain(f"the run failed: {said}{_notes(error)}; events.jsonl has the error, and this is where it happened:")
        _say_how_to_resume(trainer, plugins)
        raise
    trainer.processes.close()
    console = out()
    if trainer.ending in (None, "done"):
        console.print(f"done: step {trainer.state.step:,}, {trainer.images:,} images; see {trainer.directory}/")
        return
    console.print(f"stopped after step {trainer.state.step:,}: {trainer.ending}")
    _say_how_to_resume(trainer, plugins)
    if (code := _code(trainer.ending)) is not None:
        raise typer.Exit(code)


def restarted() -> bool:
    """Whether torchrun has started this process in place of one that had ended."""
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT") or 0) > 0


def stay_stopped(directory: Path) -> None:
    """See that torchrun, to which every exit code but 0 is a failure, starts no run again that was told to stop.

    A run that was told so in an earlier start has failed in this one before it began, and is to be started again.

    Raises: typer.Exit: with the code that it ended with.
    """
    from ..distributed.rendezvous import launch_id
    from ..runs.run_directory import read_record

    ended = read_record(directory).get("ended")
    reason = ended.get("reason") if isinstance(ended, Mapping) and ended.get("launch") == launch_id() else None
    if (code := _code(reason)) is not None:
        out().print(
            f"{directory}: was told to stop ({reason}), and is not started again: gankit resume goes on with it"
        )
        raise typer.Exit(code)


def _code(reason: Any) -> int | None:
    """The exit code of a run that ended for this reason; None where it was not told to stop."""
    from ..training.loop import TIME_LIMIT

    codes = {number.name: 128 + int(number) for number in SIGNALS} | {TIME_LIMIT: TIME_LIMIT_CODE}
    return codes.get(reason) if isinstance(reason, str) else None


def _notes(error: Exception) -> str:
    """What was added to an error on its way: which callback raised it, and what failed after it."""
    return "".join(f"; {note}" for note in getattr(error, "__notes__", ()))


def _print_event(event: Event, step: int) -> None:
    """Print an event that the user should see."""
    if isinstance(event, Finding) and not event.fatal:
        complain(event.message, "finding")
    elif isinstance(event, Recovered):
        complain(event.message, "over")
    elif isinstance(event, RolledBack):
        complain(f"returned from step {event.from_step:,} to step {step:,}", "warning")
    elif isinstance(event, Evaluated):
        scores = "  ".join(f"{name} {value:.5g}" for name, value in event.scores.items())
        out().print(f"step {step:,}  {scores}")
    elif isinstance(event, NotSaved):
        complain(f"no checkpoint of this step: {event.reason}", "warning")
    elif isinstance(event, Notice):
        complain(event.message, "warning")


@contextmanager
def _stopping(trainer: Trainer) -> Iterator[None]:
    """A signal ends the run after its step; a second Ctrl-C at once, but no other: schedulers send several."""

    def handler(number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if stopping and number == signal.SIGINT and now - stopping[0] > SECONDS_APART:
            raise KeyboardInterrupt
        if stopping:
            return
        stopping.append(now)
        name = signal.Signals(number).name
        trainer.stop(name)
        complain(
            f"{name}: ending after this step and saving; Ctrl-C{' again' * (name == 'SIGINT')} stops at once", "warning"
        )

    stopping: list[float] = []
    before = {number: signal.signal(number, handler) for number in SIGNALS}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)


def _launcher() -> list[str]:
    """What started this process, in words to do it again."""
    environment = os.environ
    if int(environment.get("WORLD_SIZE") or 1) == 1:
        return []
    machines, processes = environment.get("GROUP_WORLD_SIZE", "1"), environment.get("LOCAL_WORLD_SIZE", "1")
    several = ["--nnodes", machines] if machines != "1" else []
    return ["torchrun", *several, "--nproc-per-node", processes, "-m"]


def _command_to_resume(trainer: Trainer, plugins: Sequence[str] | None) -> str:
    words = [*_launcher(), "gankit", "resume", str(trainer.directory)]
    for plugin in plugins or ():
        words += ["--plugin", plugin]
    return shlex.join(words)


def _say_how_to_resume(trainer: Trainer, plugins: Sequence[str] | None) -> None:
    command = _command_to_resume(trainer, plugins)
    if trainer.checkpoint is None:
        out().print(f"there is no checkpoint (has the recipe a checkpoint callback?); from the start: {command}")
    else:
        out().print(f"to go on from {trainer.checkpoint}:\n  {command}")
