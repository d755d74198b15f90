"""Step after step, with callbacks that watch; and how a run ends."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from typing import NoReturn, Protocol

from ..interfaces import Run, Scalars
from ..data.workers import dead_worker
from .failures import explain_failure
from .run_recorder import RunRecorder
from .setup import TrainingSetup
from .recovery import Recovery
from .step import StepRunner
from ..anomaly.detect import NonFiniteDetector
from .run_requests import RunRequests

TIME_LIMIT = "time limit (train.max_hours)"  # how a run ends that took as long as it may


class Playable(Run, Protocol):
    """A run as callbacks are given it, and one step of it."""

    scalars: Scalars
    ending: str | None

    @property
    def finished(self) -> bool:
        """Whether the run is as long as its recipe says."""

    def step(self) -> Scalars:
        """Play one step, and no callback."""


class TrainingLoop:
    """Plays a run to its end.

    Args:
        run: what is played, and what callbacks are given.
        parts: of the run.
        stepper: that plays the run's steps.
        keeper: of the run's directory.

    Attributes:
        watch: remembers what was NaN or infinite.
        wishes: what the run has been asked for, and has not done yet.
    """

    def __init__(self, run: Playable, parts: TrainingSetup, stepper: StepRunner, keeper: RunRecorder) -> None:
        self._run, self._state = run, parts.state
        self._game, self._loader, self._callbacks = parts.game, parts.loader, parts.callbacks
        self._processes = parts.game.engine.processes
        self._stepper, self._keeper = stepper, keeper
        self.watch = NonFiniteDetector(parts.state, parts.game.engine.device)
        self.wishes = RunRequests(self._processes)
        self._recovery = Recovery(parts, stepper, keeper, self.watch)
        self._began = 0.0  # by the clock that only goes forward

    def steps(self) -> Iterator[Scalars]:
        """Play step after step, callbacks and all. Leaving early ends the run as an interruption does."""
        if self._run.finished:
            return
        self._keeper.begin()
        try:
            self._keeper.remember()
            self._tell("on_run_start")
            self._began = time.monotonic()
            before = self._keeper.seconds
            self.wishes.agree()
            while not self._run.finished and self.wishes.ending is None:
                self._play()
                self._keeper.seconds = before + time.monotonic() - self._began
                self._show()
                if self._went_back():
                    continue
                self._save_if_wanted()
                yield self._run.scalars
        except GeneratorExit:
            self._end("left early")
            raise
        except BaseException as error:
            self._fail(error)
        self._end("done" if self._run.finished else str(self.wishes.ending))

    def _play(self) -> None:
        """One step, and a look at what it did."""
        run, state = self._run, self._state
        self.watch.weights(state.step + 1)
        run.scalars = run.step()
        self.watch.figures(run.scalars, state.step)
        if run.finished:  # what the last update broke, no further step would show
            self.watch.weights(state.step + 1)
        compiled = self._game.compiled
        while compiled is not None and compiled.findings:
            self._keeper.log({"event": "not_compiled", "reason": compiled.findings.pop(0)})

    def _show(self) -> None:
        """Callbacks see the step; then the processes agree on how to go on, which is where the others wait."""
        try:
            if self._processes.rank == 0:
                with self._processes.while_other_ranks_wait():
                    self._callbacks.call("on_step_end", self._run)
                    if self._state.images // self._loader.count > self._run.epoch:
                        self._callbacks.call("on_epoch_end", self._run)
        except Exception:
            self.wishes.agree(failed=True)
            raise
        if time.monotonic() - self._began >= 3600 * (self._run.recipe.train.max_hours or math.inf):
            self.wishes.stop(TIME_LIMIT)
        self.wishes.agree()

    def _went_back(self) -> bool:
        """Whether that was wanted, and something was broken."""
        go_on, self.wishes.recover = self.wishes.recover, None
        if go_on is None or not self._recovery.recover(go_on):
            return False
        self.wishes.save = False  # it was the broken step that was to be saved
        self._tell("on_run_start")
        return True

    def _save_if_wanted(self) -> None:
        wanted, self.wishes.save = self.wishes.save, False
        if wanted and self._keeper.save():
            self._recovery.saved()
            self._tell("on_checkpoint")

    def _tell(self, method: str) -> None:
        """Call ``method`` of the callbacks, which live in the first process alone; the others wait."""
        self._processes.first(lambda: self._callbacks.call(method, self._run))

    def _end(self, reason: str) -> None:
        self._run.ending = reason
        try:
            self._keeper.log({"event": "ended", "reason": reason})
            self._tell("on_run_end")
            if self.wishes.ending is not None:
                self.wishes.save = True
            self.wishes.agree_to_save()
            self._save_if_wanted()
            self._keeper.end(reason)
        except BaseException as error:
            self._fail(error)
        self._stepper.let_go()
        self._processes.largest()  # who is done first waits for the first process, which still wrote

    def _fail(self, error: BaseException) -> NoReturn:
        """Say what happened; what was saved before stays the newest checkpoint, for a broken step is none."""
        run, doing = self._run, f"step {self._state.step + 1:,}"
        told = explain_failure(error, run.recipe, self._game.engine, doing, run.directory)
        run.ending = ending = f"failed: {type(error).__name__}: {told}"
        event = {"event": "failed", "error": ending, "notes": list(getattr(error, "__notes__", ()))}
        raised = _raised_by(lambda: self._keeper.log(event))
        if self._processes.rank == 0:
            raised += self._callbacks.call_all("on_exception", run)
        self._stepper.let_go()
        raised += _raised_by(lambda: self._keeper.end(ending))
        for another in raised:  # where the disk is full, saying so fails as well
            if not (dead_worker(error) and dead_worker(another)):  # which torch says to whatever runs
                told.add_note(f"then {type(another).__name__}: {another}")
        if told is error:
            raise error
        raise told from error


def _raised_by(function: Callable[[], None]) -> list[Exception]:
    try:
        function()
    except Exception as error:
        return [error]
    return []
