"""Shared by ``run`` and ``resume``: training until the end, signals, printed events and exit codes."""

from __future__ import annotations

import gc
import os
import shlex
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import typer

from ..data.workers import STOP_SIGNALS
from ..distributed.torchrun import launch_id, rank, world_size
from ..errors import DataError, GankitError
from ..events import (
    ChangesAccepted,
    Evaluated,
    Event,
    Finding,
    FrozenParameters,
    Initialized,
    NotCompiled,
    Notice,
    NotSaved,
    OtherVersions,
    Overridden,
    Recovered,
    RolledBack,
)
from .console import output_console, print_message
from .progress import make_progress
from .task_progress import TaskProgress

if TYPE_CHECKING:
    from ..runtime import Runtime
    from ..training.trainer import Trainer

MIN_SECONDS_BETWEEN_INTERRUPTS = 0.5  # a launcher may forward at once the Ctrl-C that the terminal has already sent
TIME_LIMIT_CODE = 75  # EX_TEMPFAIL of sysexits.h: try again


def train(trainer: Trainer, plugins: Sequence[str] | None, repeated: Sequence[str] = ()) -> None:
    """Train until the end and print how to continue if the run is not finished.

    Args:
        trainer: of the run.
        plugins: values of ``--plugin``, for the command to continue.
        repeated: arguments of ``gankit resume`` that this command repeats until there is a new checkpoint.

    Raises:
        typer.Exit: with code 1 if the run fails, 75 at its time limit, 128 + n after signal n.
    """
    from ..distributed.rank_failures import LostProcessError, OtherProcessError

    before = trainer.checkpoint

    def command() -> str:
        return _resume_command(trainer, plugins, repeated if trainer.checkpoint == before else ())

    trainer.callbacks.add("progress", make_progress())
    trainer.listeners.append(lambda event: _print_event(event, trainer.state.step))
    try:
        with _stop_on_signals(trainer):
            trainer.fit()
    except OtherProcessError:  # the other process prints the error
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        print_message("interrupted twice: the current step was not finished and nothing was saved")
        code: int | None = 130
    except GankitError as error:
        if trainer.state.step == 0 and trainer.last_batch is None:
            raise
        # rank 0 prints how to continue, unless it is the process that was lost
        lost = rank() and isinstance(error, LostProcessError)
        hint = f". To continue: {command()}" if lost else ""
        print_message(f"{error}{_notes(error)}{hint}")
        code = 1
    except Exception as error:
        description = f"{type(error).__name__}: {error}".strip() + _notes(error)
        print_message(f"the run failed: {description}; it is recorded in events.jsonl; the traceback follows:")
        _print_how_to_resume(trainer, command)
        raise
    else:
        if trainer.segment_ended:
            output_console().print(f"step {trainer.state.step:,}: end of a segment of the recipe")
            return
        trainer.processes.close()
        console = output_console()
        if trainer.ending in (None, "done"):
            console.print(f"done: step {trainer.state.step:,}, {trainer.images:,} images; see {trainer.directory}/")
            return
        console.print(f"stopped after step {trainer.state.step:,}: {trainer.ending}")
        code = _exit_code(trainer.ending)
    _print_how_to_resume(trainer, command)
    if code is not None:
        raise typer.Exit(code)


def train_segments(
    runtime: Runtime, start: Callable[[], Trainer], plugins: Sequence[str] | None, repeated: Sequence[str] = ()
) -> None:
    """The same as `train`, for each segment of the recipe in turn.

    Args:
        runtime: opens the run again for the next segment.
        start: makes the first trainer, which is freed before the next one is made: memory holds one at a time.
        plugins: as in `train`.
        repeated: as in `train`, for the first segment.
    """
    trainer = start()
    train(trainer, plugins, repeated)
    while trainer.segment_ended:
        directory = trainer.directory
        del trainer
        gc.collect()  # a trainer and its callbacks refer to each other
        trainer = open_run(runtime, directory)
        train(trainer, plugins)


def open_run(
    runtime: Runtime,
    directory: Path,
    overrides: Sequence[str] = (),
    accept_changes: bool = False,
    restart: bool = False,
) -> Trainer:
    """The same as `Runtime.resume`, with the progress of preparing the data. A `DataError` names the run."""
    try:
        with TaskProgress() as progress:
            return runtime.resume(
                directory, overrides, accept_changes=accept_changes, restart=restart, report=progress.report
            )
    except DataError as error:
        raise DataError(f"{directory}: {error}") from None


def print_data(trainer: Trainer) -> None:
    """Print what the dataset of a run found."""
    data = trainer.setup.data
    if data is None:
        return
    output_console().print(f"data: {data.summary}")
    for sentence in data.warnings:
        print_message(sentence, "warning")


def exit_if_stopped(directory: Path) -> None:
    """Exit again if the run was stopped under the same launch of torchrun, which restarts after every exit code but 0.

    A run that was stopped under an earlier launch continues.

    Raises:
        typer.Exit: with the exit code of the stopped run.
    """
    from ..runs.run_directory import read_record

    ended = read_record(directory).get("ended")
    reason = ended.get("reason") if isinstance(ended, Mapping) and ended.get("launch") == launch_id() else None
    if (code := _exit_code(reason)) is not None:
        output_console().print(
            f"{directory}: was stopped ({reason}) and is not restarted; to continue it, use gankit resume"
        )
        raise typer.Exit(code)


def _exit_code(reason: Any) -> int | None:
    """The exit code of a run that a signal or the time limit stopped; None if it ended for another reason."""
    from ..training.loop import TIME_LIMIT

    codes = {number.name: 128 + int(number) for number in STOP_SIGNALS} | {TIME_LIMIT: TIME_LIMIT_CODE}
    return codes.get(reason) if isinstance(reason, str) else None


def _notes(error: Exception) -> str:
    """The error's notes: which callback raised it, and further errors."""
    return "".join(f"; {note}" for note in getattr(error, "__notes__", ()))


def _print_event(event: Event, step: int) -> None:
    """Print an event if it concerns the user."""
    if isinstance(event, Finding) and not event.fatal:
        print_message(event.message, "finding")
    elif isinstance(event, Recovered):
        print_message(event.message, "recovered")
    elif isinstance(event, RolledBack):
        print_message(f"returned from step {event.from_step:,} to step {step:,}", "warning")
    elif isinstance(event, Evaluated):
        scores = "  ".join(f"{name} {value:.5g}" for name, value in event.scores.items())
        output_console().print(f"step {step:,}  {scores}")
    elif isinstance(event, NotSaved):
        print_message(f"no checkpoint of this step: {event.reason}", "warning")
    elif isinstance(event, NotCompiled):
        print_message(event.reason, "warning")
    elif isinstance(event, Initialized):
        output_console().print(f"initial weights: {event}")
        if event.classes is not None:
            print_message(f"initialize: {event.classes}", "warning")
    elif isinstance(event, FrozenParameters):
        output_console().print(f"frozen: {event}")
    elif isinstance(event, Overridden):
        output_console().print(f"from step {step:,}: {event}")
    elif isinstance(event, ChangesAccepted):
        print_message(f"accepted changes since the checkpoint: {'; '.join(event.changes)}", "note")
    elif isinstance(event, OtherVersions):
        output_console().print(f"versions that differ from those of the checkpoint: {'; '.join(event.versions)}")
    elif isinstance(event, Notice):
        print_message(event.message, "warning")


@contextmanager
def _stop_on_signals(trainer: Trainer) -> Iterator[None]:
    """Stop the run after its step when a signal arrives.

    A second Ctrl-C stops it immediately. Other repeated signals do not, because schedulers send several. SIGHUP stays
    ignored if it was when the process started, as nohup does.
    """

    def handle(number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if received and number == signal.SIGINT and now - received[0] > MIN_SECONDS_BETWEEN_INTERRUPTS:
            raise KeyboardInterrupt
        if received:
            return
        received.append(now)
        name = signal.Signals(number).name
        trainer.stop(name)
        again = " again" if name == "SIGINT" else ""
        saving = "saving and " if trainer.recipe.train.final_checkpoint else ""
        print_message(f"{name}: {saving}stopping after this step; press Ctrl-C{again} to stop immediately", "warning")

    received: list[float] = []  # times
    previous = {
        number: signal.signal(number, handle)
        for number in STOP_SIGNALS
        if number.name != "SIGHUP" or signal.getsignal(number) != signal.SIG_IGN
    }
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _resume_command(trainer: Trainer, plugins: Sequence[str] | None, repeated: Sequence[str]) -> str:
    """The command that continues the run with the same plugins and number of processes, and ``repeated`` arguments."""
    words = ["gankit", "resume", str(trainer.directory), *repeated]
    words += (word for plugin in plugins or () for word in ("--plugin", plugin))
    if world_size() > 1:
        machines, processes = (os.environ.get(f"{scope}_WORLD_SIZE", "1") for scope in ("GROUP", "LOCAL"))
        several = ["--nnodes", machines] if machines != "1" else []
        words = ["torchrun", *several, "--nproc-per-node", processes, "-m", *words]
    return shlex.join(words)


def _print_how_to_resume(trainer: Trainer, make_command: Callable[[], str]) -> None:
    from ..runs.run_directory import completed_steps

    try:
        command = make_command()
        restart = " --restart" if trainer.checkpoint is None and completed_steps(trainer.directory) else ""
    except GankitError:  # the run failed before it had a directory
        return
    if trainer.checkpoint is None:
        how = f"no checkpoint was saved; to start again: {command}{restart}"
    else:
        how = f"to continue from {trainer.checkpoint}:\n  {command}"
    output_console().print(how)
