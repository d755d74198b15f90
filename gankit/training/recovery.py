"""Recovery from NaN or infinity: return to the last checkpoint, replay the steps, and find the cause."""

from __future__ import annotations

from dataclasses import replace

from ..anomaly.detect import OVERFLOWS, NonFiniteDetector
from ..anomaly.locate_layer import NonFiniteFoundError, checking_every_layer
from ..anomaly.report import AnomalyReport, with_batch
from ..distributed.rank_failures import OtherProcessError
from ..errors import GankitError
from ..events import RolledBack
from ..interfaces import NotFinite
from .checkpoint_state import restore_callbacks
from .run_recorder import RunRecorder
from .setup import TrainingSetup
from .step import StepRunner

MAX_RECOVERIES = 3  # from one checkpoint; if NaN returns without the batch, the batch is not the cause
CONTINUE = "add {name: health, on_nan: roll_back} to the recipe's callbacks"


class Recovery:
    """Returns a run to its last checkpoint, or to its start. Several processes do so together."""

    def __init__(
        self, setup: TrainingSetup, steps: StepRunner, recorder: RunRecorder, detector: NonFiniteDetector
    ) -> None:
        self._setup, self._state, self._processes = setup, setup.state, setup.processes
        self._steps, self._recorder, self._detector = steps, recorder, detector
        self._failed_step, self._count = 0, 0  # recoveries since a checkpoint beyond that step

    def checkpoint_saved(self) -> None:
        """Count recoveries from zero once a checkpoint is beyond the step that failed."""
        if self._state.step > self._failed_step:
            self._count = 0

    def recover(self, go_on: bool) -> bool:
        """Find the cause of a NaN or infinity, if there is one, and return to the last checkpoint.

        Args:
            go_on: whether the run continues from there.

        Returns:
            Whether the run returned to a checkpoint.

        Raises:
            GankitError: the run is not to continue, or cannot.
        """
        noticed = self._processes.on_rank_zero(self._detector.first)
        if noticed is None:
            return False
        noticed_at = self._state.step
        self._steps.state_is_whole = False  # until the callbacks are at the step of the networks again
        self._failed_step = max(self._failed_step, noticed_at)
        report = self._replay(noticed)
        self._steps.drop_prefetched()
        saved = self._recorder.roll_back()
        self._detector.reset()
        self._count += 1
        self._recorder.log(report.finding(fatal=not go_on or self._count > MAX_RECOVERIES))
        is_rank_zero = self._processes.rank == 0
        error_class = GankitError if is_rank_zero else OtherProcessError
        if not go_on:
            raise error_class(f"{report}. To let such a run return to its checkpoint and continue, {CONTINUE}")
        if self._count > MAX_RECOVERIES:
            raise error_class(f"{report}. The run has returned to step {self._state.step:,} {MAX_RECOVERIES} times")
        skipped: tuple[int, ...] = ()
        if report.value is not None and report.batch is not None:
            self._state.skipped.append(report.batch)
            skipped = report.indices
        self._recorder.log(RolledBack(from_step=noticed_at, without=list(skipped)))
        if is_rank_zero:
            restore_callbacks(self._setup, saved, self._recorder.checkpoint)
        self._steps.state_is_whole = True
        return True

    def _replay(self, noticed: NotFinite) -> AnomalyReport:
        """Replay the steps that led to ``noticed`` from the last saved state; the run stays where the replay ends."""
        state, step = self._state, self._steps.step
        self._steps.drop_prefetched()
        self._recorder.roll_back()
        start = state.step
        report = AnomalyReport(noticed, start, noticed.step, None)
        if start >= noticed.step:
            return report
        while state.step < noticed.step - 2:  # a weight may have become NaN in the step before it was noticed
            step()
        number = state.step + 1
        try:
            overflows = any(name.startswith(OVERFLOWS) for name in noticed.names)
            with checking_every_layer(self._setup.context, state, overflows) as check_scalars:
                while state.step < noticed.step:
                    number = state.step + 1
                    check_scalars(step())
        except NonFiniteFoundError as found:
            report = replace(report, step=number, value=found.value)
        if self._steps.last_batch is None:
            return report
        directory = self._recorder.directory if self._processes.rank == 0 else None
        return with_batch(report, self._setup.loader, self._steps.last_batch, directory)
