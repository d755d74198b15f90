"""Writes a run to its directory: records, events and checkpoints; and restores the run from its checkpoints."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..anomaly.detect import not_finite_in
from ..errors import CheckpointError, GankitError
from ..events import Event, Notice, NotSaved, Resumed, Started
from ..recipe.model import Recipe
from ..runs.checkpoint import Checkpoint
from ..runs.file_names import checkpoints
from ..runs.frozen_weights import save_frozen
from ..runs.plain_data import require_plain_data
from ..runs.run_directory import RunRecords, create_run_directory, write_skipped_files
from ..runs.run_lock import RunLock
from ..runs.sampling_items import save_items
from ..runs.save_checkpoint import save_checkpoint
from .checkpoint_state import InitialState, collect_state, missing_states, restore_callbacks, restore_state
from .setup import TrainingSetup


class RunRecorder:
    """The run directory of a run. Only rank 0 writes.

    Args:
        setup: of the run.
        directory: None uses the next free one under ``results/``.

    Attributes:
        checkpoint: the newest checkpoint of this run.
        seconds: the duration of training so far.
        listeners: called with each event.
    """

    def __init__(self, setup: TrainingSetup, directory: Path | None) -> None:
        self.checkpoint: Path | None = None
        self.seconds = 0.0
        self.listeners: list[Callable[[Event], None]] = []
        self._setup, self._state, self._processes = setup, setup.state, setup.processes
        self._directory = directory
        self._records: RunRecords | None = None  # of rank 0
        self._lock: RunLock | None = None  # of rank 0
        self._started = self._ended = self._resumed = False
        self._first_events: Sequence[Event] = ()
        self._missing_states: list[str] = []
        self._unsaved_recipe: Recipe | None = None
        self._events_bytes = 0
        self._saved_step: int | None = None
        self._initial_state: InitialState | None = None  # to roll back to, until there is a checkpoint

    @property
    def directory(self) -> Path:
        """The run directory. Raises: GankitError: the run has not started and was given no directory."""
        if self._directory is None:
            raise GankitError("the run has not started: it has no directory yet")
        return self._directory

    def restore(
        self, checkpoint: Checkpoint | None, events: Sequence[Event] = (), recipe: Recipe | None = None
    ) -> None:
        """Continue an earlier run: from its checkpoint, or from the start if it has none.

        Args:
            checkpoint: of the run.
            events: logged when the run starts.
            recipe: written to ``recipe.yaml`` after the first step; None leaves the file as it is.

        Raises:
            CheckpointError: the checkpoint does not fit the recipe.
        """
        self._resumed, self._first_events = True, tuple(events)
        self._unsaved_recipe = recipe
        if checkpoint is None:
            return
        saved = restore_state(self._setup, checkpoint)
        restore_callbacks(self._setup, saved, checkpoint.path)
        self._missing_states = [*missing_states(self._setup, saved)]
        try:
            self._events_bytes = int(saved.get("events_bytes", 0))
            self.seconds = float(saved.get("seconds", 0.0))
        except (TypeError, ValueError, OverflowError) as error:
            raise CheckpointError(f"{checkpoint.path}: its state does not fit: {error}") from None
        self.checkpoint, self._saved_step = checkpoint.path, self._state.step

    def start(self) -> None:
        """Create or reopen the directory, and open its records, unless that is done.

        Raises:
            GankitError: the run has ended, the records cannot be opened, or processes have resumed from
                different steps.
        """
        if self._ended:
            raise GankitError("this trainer has run already; resume its directory with a new one")
        if self._started:
            return
        steps = self._processes.all_gather_object(self._state.step)
        if len(set(steps)) > 1:
            raise GankitError(
                f"the processes found checkpoints of different steps ({', '.join(map(str, steps))}, by rank): "
                "a run directory must be on a file system that all machines share"
            )
        if not self._resumed:
            name = self._setup.recipe.name
            self._directory = self._processes.on_rank_zero(lambda: create_run_directory(self._directory, name))
        self._processes.on_rank_zero(self._open)
        self._started = True
        self.log(Resumed(self._missing_states or None) if self._resumed else Started())
        for event in (*self._first_events, *self._setup.notices):
            self.log(event)
        if self._lock is not None and self._lock.fault is not None:
            message = (
                f"{self.directory}: cannot be locked ({self._lock.fault}): do not train it in two processes at once"
            )
            self.log(Notice("not_locked", message))

    def save_recipe(self) -> None:
        """Save the recipe of a resumed run. Called after a step, which has shown that its new settings work."""
        if self._records is not None and self._unsaved_recipe is not None:
            self._records.write_recipe(self._unsaved_recipe)
            self._unsaved_recipe = None

    def keep_initial_state(self) -> None:
        """Keep the current state in memory if the run has no checkpoint to roll back to."""
        if self.checkpoint is None:
            state = collect_state(self._setup)
            require_plain_data(state, "state")  # now, not when the run is saved for the first time
            self._initial_state = InitialState(self._state.networks(), state)

    def log(self, event: Event) -> None:
        """Append to ``events.jsonl``. Raises: GankitError: the run has not started."""
        if not self._started:
            raise GankitError("the run has not started: it has no events yet")
        if self._records is not None:
            self._records.log(event, self._state.step)
        for listener in self.listeners:
            listener(event)

    @property
    def has_saved_step(self) -> bool:
        """Whether there is a checkpoint of the current step."""
        return self._saved_step == self._state.step

    def save(self, all_ranks: bool = True) -> bool:
        """Write a checkpoint, unless this step has one or holds NaN or infinity. Returns: whether it was written.

        Args:
            all_ranks: whether every rank calls this; otherwise rank 0 does so alone.
        """
        if self.has_saved_step:
            return False
        path = self._processes.on_rank_zero(self._save) if all_ranks else self._save()
        if path is None:
            return False
        self.checkpoint, self._saved_step, self._initial_state = path, self._state.step, None
        return True

    def roll_back(self) -> Mapping[str, Any]:
        """Restore the newest checkpoint, or the initial state if there is none; callbacks stay as they are.

        Returns:
            Everything that was saved except for the networks.

        Raises:
            CheckpointError: the checkpoint is damaged or missing.
        """
        source = self._initial_state if self.checkpoint is None else Checkpoint.open(self.checkpoint)
        if source is None:
            raise CheckpointError("the run has not started: there is no state to return to")
        skipped = self._state.skipped  # batches skipped since then must stay skipped
        saved = restore_state(self._setup, source)
        self._state.skipped = skipped
        return saved

    def end(self, reason: str) -> None:
        """Record how the run ended, and close the records."""
        self._ended = True
        try:
            if self._records is not None:
                self._records.end(reason, self._state.step, self._state.images, self.seconds)
        finally:
            if self._lock is not None:
                self._lock.release()

    def _open(self) -> None:
        """Lock the directory and open the records. The other ranks do neither."""
        self._lock = RunLock(self.directory)
        try:
            self._open_records()
        except BaseException:
            self._lock.release()
            raise

    def _open_records(self) -> None:
        if self._resumed and self.checkpoint != next(iter(checkpoints(self.directory)[-1:]), None):
            raise GankitError(f"{self.directory}: the run has been continued since it was opened; resume it again")
        about, step = self._setup.about, self._state.step
        self._records = RunRecords(self.directory, about, self._events_bytes, step)
        if self._setup.data is not None:
            write_skipped_files(self.directory, self._setup.data.skipped)
        if self._setup.sampling.items:
            save_items(self.directory, self._setup.sampling.items)
        if self._setup.kept:
            save_frozen(self.directory, self._setup.kept)
        if not self._resumed:
            self._records.write_recipe(self._setup.recipe)

    def _save(self) -> Path | None:
        """The path of a new checkpoint, or None if a weight is NaN or infinite."""
        networks = self._state.networks()
        if (weight := not_finite_in(networks | self._state.modules())) is not None:
            self.log(NotSaved(f"{weight} is NaN or infinite: the last checkpoint stays the newest"))
            return None
        assert self._records is not None  # on rank 0, while the run lasts
        events_bytes = self._records.events.sync()
        state = {**collect_state(self._setup), "events_bytes": events_bytes, "seconds": self.seconds}
        about = {**self._setup.manifest, "run": self._records.about["started_at"], "images": self._state.images}
        return save_checkpoint(self.directory, self._state.step, networks, state, about)
