"""The training loop: steps, callbacks, checkpoints, and how a run ends."""

from __future__ import annotations

import math
import time
from collections.abc import Generator
from typing import NoReturn

from ..anomaly.detect import NonFiniteDetector
from ..data.workers import worker_death
from ..errors import GankitError
from ..events import Ended, Failed, NotCompiled
from ..interfaces import Run, Scalars
from .callbacks import errors_of, raise_first
from .failures import explain_failure
from .interrupts import DeferredInterrupts
from .progress import Progress
from .recovery import Recovery
from .run_recorder import RunRecorder
from .run_requests import RunRequests
from .setup import TrainingSetup
from .step import StepRunner

TIME_LIMIT = "time limit (train.max_hours)"  # the ending of a run that reached it
DONE = "done"
SEGMENT_END = "end of a segment"  # the run continues with the settings of the next one


class TrainingLoop:
    """Trains a run to its end.

    Args:
        setup: of the run.
        progress: of the run.
        steps: runs its steps.
        recorder: of its directory.

    Attributes:
        scalars: of the last step.
        ending: why the run ended; None before the end.
        detector: records NaN and infinity.
        requests: to stop, save or recover after the current step.
    """

    def __init__(self, setup: TrainingSetup, progress: Progress, steps: StepRunner, recorder: RunRecorder) -> None:
        self.scalars: Scalars = {}
        self.ending: str | None = None
        self.detector = NonFiniteDetector(setup.state, setup.engine.device)
        self.requests = RunRequests(setup.processes)
        self._setup, self._progress, self._steps, self._recorder = setup, progress, steps, recorder
        self._state, self._callbacks, self._processes = setup.state, setup.callbacks, setup.processes
        self._recovery = Recovery(setup, steps, recorder, self.detector)
        self._started = 0.0  # monotonic time
        self._between_steps = True  # all callbacks have seen the last step

    def train(self, run: Run) -> Generator[Scalars, None, None]:
        """Run step after step with callbacks, which receive ``run``. Leaving the iterator early interrupts the run."""
        if self._progress.finished:
            return
        self._recorder.start()
        self._between_steps = False
        interrupts = DeferredInterrupts(self.requests.stop)
        try:
            self._recorder.keep_initial_state()
            self._call("on_run_start", run)
            self._started = time.monotonic()
            seconds_before = self._recorder.seconds
            self.requests.synchronize()
            while not (self._progress.finished or self._progress.segment_reached) and self.requests.stop_reason is None:
                with interrupts.deferred():
                    self._step()
                    self._recorder.save_recipe()
                    self._recorder.seconds = seconds_before + time.monotonic() - self._started
                    self._after_step(run)
                    if self._recovered(run):
                        continue
                    self._save_if_requested(run)
                self._between_steps = True
                yield self.scalars
                self._between_steps = False
        except GeneratorExit:
            with interrupts.deferred():
                self._end(run, "left early")
            raise
        except BaseException as error:
            self._fail(run, error)
        with interrupts.deferred():
            self._end(run, DONE if self._progress.finished else self.requests.stop_reason or SEGMENT_END)
        if interrupts.received:
            raise KeyboardInterrupt

    def save(self, run: Run) -> None:
        """Write a checkpoint: now, or while callbacks are called, once all of them have seen the step."""
        self._recorder.start()
        if not self._steps.state_is_whole:
            raise GankitError("the last step failed in the middle of its updates: return to a checkpoint before saving")
        self.requests.save = True
        if self._between_steps:
            self._recorder.save_recipe()
            self._save_if_requested(run)

    def _step(self) -> None:
        """Run one step and check it for NaN and infinity."""
        state, compiled = self._state, self._setup.context.compiled
        self.detector.check_weights(state.step + 1)
        self.scalars = self._steps.step()
        self.detector.check_scalars(self.scalars, state.step)
        self.detector.check_scalers(state.step)
        if self._progress.finished or self._progress.segment_reached:  # no further step would check the last update
            self.detector.check_weights(state.step + 1)
        while compiled is not None and compiled.warnings:
            self._recorder.log(NotCompiled(compiled.warnings.pop(0)))

    def _after_step(self, run: Run) -> None:
        """Call the callbacks on rank 0, then synchronize requests, which is where the other ranks wait."""
        try:
            if self._processes.rank == 0:
                with self._processes.while_other_ranks_wait():
                    errors = self._callbacks.call("on_step_end", run)
                    if self._progress.epoch_ended:
                        errors += self._callbacks.call("on_epoch_end", run)
                    raise_first(errors)
        except Exception:
            self.requests.synchronize(failed=True)
            raise
        if time.monotonic() - self._started >= 3600 * (self._setup.recipe.train.max_hours or math.inf):
            self.requests.stop(TIME_LIMIT)
        self.requests.synchronize()

    def _recovered(self, run: Run) -> bool:
        """Recover if that is requested. Returns: whether the run returned to a checkpoint."""
        go_on, self.requests.recover = self.requests.recover, None
        if go_on is None or not self._recovery.recover(go_on):
            return False
        self.requests.save = False  # the request was for the step that failed
        self._call("on_run_start", run)
        return True

    def _save_if_requested(self, run: Run) -> None:
        requested, self.requests.save = self.requests.save, False
        if requested and self._recorder.save():
            self._recovery.checkpoint_saved()
            self._call("on_checkpoint", run)

    def _call(self, method: str, run: Run) -> None:
        """Call a method of all callbacks on rank 0; the other ranks wait."""
        self._processes.on_rank_zero(lambda: raise_first(self._callbacks.call(method, run)))

    def _end(self, run: Run, reason: str) -> None:
        self.ending, self._between_steps = reason, False
        try:
            self._recorder.log(Ended(reason))
            self._call("on_run_end", run)
            self.requests.save |= self._setup.recipe.train.final_checkpoint or self._progress.segment_reached
            self.requests.synchronize_save()
            self._save_if_requested(run)
            if reason == SEGMENT_END and not self._recorder.has_saved_step:
                raise GankitError(
                    f"a segment ends at step {self._state.step:,}, but the next one has no checkpoint to start from: "
                    "weights or BatchNorm statistics are NaN or infinite, see the last event in events.jsonl"
                )
            self._recorder.end(reason)
        except BaseException as error:
            self._fail(run, error)
        self._steps.drop_prefetched()
        self._processes.max_over_ranks()  # wait for rank 0, which may still be writing

    def _fail(self, run: Run, error: BaseException) -> NoReturn:
        """Save the last step if the state still is that of a whole one, record the error, and raise it."""
        self._between_steps = False
        activity = f"step {self._state.step + 1:,}"
        explained = explain_failure(error, self._setup.recipe, self._setup.engine, activity, self._recorder.directory)
        self.ending = f"failed: {type(error).__name__}: {explained}"
        event = Failed(self.ending, list(getattr(error, "__notes__", ())))
        further = errors_of(self._recorder.log, event)
        if self._processes.rank == 0:
            if not isinstance(error, KeyboardInterrupt):  # the user asks not to wait
                further += errors_of(self._save_whole_state, run)
            further += self._callbacks.call("on_exception", run)
        self._steps.drop_prefetched()
        further += errors_of(self._recorder.end, self.ending)
        for another in further:  # with a full disk, recording the error fails as well
            if str(another) != str(explained) and not (worker_death(error) and worker_death(another)):
                explained.add_note(f"then {type(another).__name__}: {another}")
        if explained is error:
            raise error
        raise explained from error

    def _save_whole_state(self, run: Run) -> None:
        """Save the last step after an error, if its update is complete and finite. The other ranks may have ended."""
        wanted = self._setup.recipe.train.final_checkpoint and self._state.step > 0
        if not (wanted and self._steps.state_is_whole and self.detector.first() is None):
            return
        if self._recorder.save(all_ranks=False):
            raise_first(self._callbacks.call("on_checkpoint", run))
