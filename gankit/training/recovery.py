"""When a figure is not finite: go back to where all was whole, play the steps again, and find out what broke."""

from __future__ import annotations

from dataclasses import replace

from ..errors import GankitError
from ..interfaces import NotFinite
from ..anomaly.report import AnomalyReport, with_batch
from .run_recorder import RunRecorder
from ..anomaly.locate_layer import NonFiniteFoundError, probe_layers
from .setup import TrainingSetup
from ..distributed.rank_failures import OtherProcessError
from .checkpoint_state import restore_callbacks
from .step import StepRunner
from ..anomaly.detect import NonFiniteDetector

MOST_RECOVERIES = 3  # from one checkpoint: what breaks again without the batch is not the batch's fault
GO_ON = "name {name: health, on_nan: roll_back} among the recipe's callbacks"


class Recovery:
    """Takes a run back to its last checkpoint, or to its start. Several processes do so together, and find the same."""

    def __init__(self, parts: TrainingSetup, stepper: StepRunner, keeper: RunRecorder, watch: NonFiniteDetector) -> None:
        self._parts, self._state = parts, parts.state
        self._processes = parts.game.engine.processes
        self._stepper, self._keeper, self._watch = stepper, keeper, watch
        self._broken_step, self._count = 0, 0  # since a checkpoint beyond that step

    def saved(self) -> None:
        """There is a new checkpoint."""
        if self._state.step > self._broken_step:
            self._count = 0

    def recover(self, go_on: bool) -> bool:
        """Find out what broke, and go back, if there is anything broken. Returns: whether it went back.

        Raises:
            GankitError: the run is not to go on, or cannot.
        """
        seen = self._processes.first(self._watch.first)
        if seen is None:
            return False
        broken_at = self._state.step
        self._broken_step = max(self._broken_step, broken_at)
        fault = self._investigate(seen)
        self._stepper.let_go()
        saved = self._keeper.rewind()
        self._watch.forget()
        self._count += 1
        self._keeper.log(fault.event(fatal=not go_on or self._count > MOST_RECOVERIES))
        leads = self._processes.rank == 0
        told = GankitError if leads else OtherProcessError
        if not go_on:
            raise told(f"{fault}. For a run that goes back and on by itself, {GO_ON}")
        if self._count > MOST_RECOVERIES:
            raise told(f"{fault}. It went back to step {self._state.step:,} {MOST_RECOVERIES} times already")
        left_out: tuple[int, ...] = ()
        if fault.spot is not None and fault.batch is not None:
            self._state.skipped.append(fault.batch)
            left_out = fault.indices
        self._keeper.log({"event": "rolled_back", "from_step": broken_at, "without": list(left_out)})
        if leads:
            restore_callbacks(self._parts, saved, self._keeper.checkpoint)
        return True

    def _investigate(self, seen: NotFinite) -> AnomalyReport:
        """Play again what led to ``seen``, from the last state that was whole; the run stays where that ends."""
        state, step = self._state, self._stepper.step
        self._stepper.let_go()
        self._keeper.rewind()
        since = state.step
        if since >= seen.step:
            return AnomalyReport(seen, since, seen.step, None)
        while state.step < seen.step - 2:  # a weight may have broken in the step before the one that showed it
            step()
        fault = AnomalyReport(seen, since, seen.step, None)
        try:
            with probe_layers(self._parts.game, state) as see:
                while state.step < seen.step:
                    see(step())
        except NonFiniteFoundError as found:
            fault = replace(fault, step=state.step + 1, spot=found.spot)
        batch = self._stepper.drawn
        if batch is None:
            return fault
        return with_batch(
            fault, self._parts.loader, batch, self._keeper.directory if self._processes.rank == 0 else None
        )
