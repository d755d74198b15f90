"""Keeps a run on the disk, and brings it back to what was kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ..errors import CheckpointError, GankitError
from ..runs.checkpoint import Checkpoint, save_checkpoint
from ..runs.run_directory import NoRecords, Records, claim
from .setup import TrainingSetup
from .checkpoint_state import InitialState, collect_state, restore_state, restore_callbacks, missing_states
from ..anomaly.detect import not_finite_in


class RunRecorder:
    """A run's directory: its records, events and checkpoints. Of several processes, the first alone writes.

    Args:
        parts: of the run.
        directory: None takes the next free one under ``results/``.

    Attributes:
        checkpoint: the newest one of this run.
        seconds: that training has taken.
        listeners: told of each event.
    """

    def __init__(self, parts: TrainingSetup, directory: Path | None) -> None:
        self.checkpoint: Path | None = None
        self.seconds = 0.0
        self.listeners: list[Callable[[Mapping[str, Any]], None]] = []
        self._parts, self._state = parts, parts.state
        self._processes = parts.game.engine.processes
        self._directory = directory
        self._written: Records | NoRecords | None = None
        self._resumed = False
        self._without_state: list[str] = []
        self._events_bytes = 0
        self._saved_step: int | None = None
        self._beginning: InitialState | None = None  # to go back to, until there is a checkpoint

    @property
    def directory(self) -> Path:
        """The run directory. Raises: GankitError: the run has not begun and was given none."""
        if self._directory is None:
            raise GankitError("the run has not begun: it has no directory yet")
        return self._directory

    def restore(self, checkpoint: Checkpoint | None) -> None:
        """Go on in the directory of an earlier run: from its checkpoint, or from the start where it has none.

        Raises:
            CheckpointError: the checkpoint is another recipe's.
        """
        self._resumed = True
        if checkpoint is None:
            return
        saved = restore_state(self._parts, checkpoint)
        restore_callbacks(self._parts, saved, checkpoint.path)
        self._without_state = [*missing_states(self._parts, saved)]
        try:
            self._events_bytes = int(saved.get("events_bytes", 0))
            self.seconds = float(saved.get("seconds", 0.0))
        except (TypeError, ValueError, OverflowError) as error:
            raise CheckpointError(f"{checkpoint.path}: its state does not fit: {error}") from None
        self.checkpoint, self._saved_step = checkpoint.path, self._state.step

    def begin(self) -> None:
        """Make the directory or take it up again, and open its records.

        Raises:
            GankitError: they were open before, cannot be, or processes have resumed from different steps.
        """
        if self._written is not None:
            raise GankitError("this trainer has run already; resume its directory with a new one")
        self._require_one_place()
        if not self._resumed:
            self._directory = self._processes.first(lambda: claim(self._directory, self._parts.recipe.name))
        self._written = NoRecords()
        self._processes.first(self._open_records)
        anew = {"without_state": self._without_state} if self._without_state else {}
        self.log({"event": "resumed" if self._resumed else "started", **anew})

    def remember(self) -> None:
        """Where there is no checkpoint to go back to, keep in memory what is now."""
        if self.checkpoint is None:
            self._beginning = InitialState(self._state.networks(), collect_state(self._parts))

    def log(self, event: Mapping[str, Any]) -> None:
        """Append to ``events.jsonl``. Raises: GankitError: the run has not begun."""
        self._records.log(event, self._state.step)
        for listener in self.listeners:
            listener(event)

    def save(self) -> bool:
        """Write a checkpoint, unless this step has one or is broken. Returns: whether there is a new one."""
        if self._saved_step == self._state.step or (written := self._processes.first(self._save)) is None:
            return False
        self.checkpoint, self._saved_step, self._beginning = written, self._state.step, None
        return True

    def rewind(self) -> Mapping[str, Any]:
        """Be again as at the newest checkpoint, or at the start where there is none; callbacks stay as they are.

        Returns:
            All that was saved beside the networks.

        Raises:
            CheckpointError: the checkpoint is damaged or gone.
        """
        source = self._beginning if self.checkpoint is None else Checkpoint.open(self.checkpoint)
        if source is None:
            raise CheckpointError("the run has not begun: there is nothing to go back to")
        skipped = self._state.skipped  # what broke the run since then would break it again
        saved = restore_state(self._parts, source)
        self._state.skipped = skipped
        return saved

    def end(self, reason: str) -> None:
        """Write how the run ended, and close its records."""
        self._records.end(reason, self._state.step, self._state.images, self.seconds)

    @property
    def _records(self) -> Records | NoRecords:
        if self._written is None:
            raise GankitError("the run has not begun: it has no events yet")
        return self._written

    def _open_records(self) -> None:
        about, step = self._parts.about, self._state.step
        self._written = Records(self.directory, self._parts.recipe, about, self._events_bytes, step)

    def _require_one_place(self) -> None:
        """Raises: GankitError: processes have resumed from different steps."""
        steps = self._processes.all_gather_object(self._state.step)
        if len(set(steps)) > 1:
            raise GankitError(
                f"the processes have found checkpoints of different steps ({', '.join(map(str, steps))}, by rank): "
                "a run directory must lie on a file system that all machines share"
            )

    def _save(self) -> Path | None:
        """A checkpoint, or None where what would be in it is broken."""
        networks = self._state.networks()
        if (broken := not_finite_in(networks)) is not None:
            self.log(
                {"event": "not_saved", "reason": f"{broken} is NaN or infinite: the last checkpoint stays the newest"}
            )
            return None
        assert isinstance(self._written, Records)
        state = {**collect_state(self._parts), "events_bytes": self._written.events.sync(), "seconds": self.seconds}
        about = {**self._parts.passport, "run": self._written.about["started_at"], "images": self._state.images}
        self.checkpoint = save_checkpoint(self.directory, self._state.step, networks, state, about)
        return self.checkpoint
