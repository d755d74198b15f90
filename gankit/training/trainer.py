"""The trainer: plays step after step, lets callbacks watch, and saves what resuming needs."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import torch
from torch import Tensor

from ..data.resize import to_uint8
from ..errors import CheckpointError, GankitError
from ..interfaces import Batch, Dataset, NotFinite, Scalars
from ..registry import Registries
from ..schedule import at_images
from .checkpoint import Checkpoint, checkpoints, save_checkpoint
from .directory import NoRecords, Records, claim
from .ema import kept_share
from .failure import dead_worker, explained
from .parts import Parts
from .processes import OtherProcessError
from .randomness import AUGMENT, seeded
from .recovery import Beginning, investigate, not_finite_in
from .sampling import generate_images
from .schedule import OptimizerSchedule
from .watch import Watch

MOST_RECOVERIES = 3  # from one checkpoint: what breaks again without the batch is not the batch's fault
TIME_LIMIT = "time limit (train.max_hours)"  # how a run ends that took as long as it may
GO_ON = "name {name: health, on_nan: roll_back} among the recipe's callbacks"


class Trainer:
    """A run, ready to go: `fit` it, iterate over it, or `step` by hand.

    Args:
        parts: from `gankit.Runtime.assemble`.
        run_dir: the run's directory; None takes the next free one under ``results/``.
    """

    def __init__(self, parts: Parts, run_dir: Path | None = None) -> None:
        self.parts = parts
        self.recipe, self.state = parts.recipe, parts.state
        self.callbacks = parts.callbacks
        self.processes = parts.game.engine.processes
        self.processes.host = self
        self._directory = run_dir
        self.scalars: Scalars = {}
        self.classes = parts.classes
        self.checkpoint: Path | None = None
        self.ending: str | None = None
        self.seconds = 0.0
        self._launched = 0.0  # by the clock that only goes forward
        self._images_a_step = parts.recipe.loader.batch_size * parts.recipe.train.discriminator_steps
        self._batches: Iterator[Batch] | None = None
        self._stop_reason: str | None = None
        self._save_wanted = False
        self._saved_step: int | None = None
        self._events_bytes = 0
        self._resumed = False
        self._begin_anew: list[str] = []
        self._records: Records | NoRecords | None = None
        self._watch = Watch(parts.state, parts.game.engine.device)
        self._beginning: Beginning | None = None  # to go back to, until there is a checkpoint
        self._recovery: bool | None = None  # whether to go on, where one is wanted
        self._recoveries, self._broken_step = 0, 0  # since a checkpoint beyond that step
        self._agreed: str | None = None  # why several processes end
        self.drawn: tuple[int, int] | None = None  # position and length of the last batch
        self.kept: dict[str, Any] = {}  # what work for all processes needs again, by whom it is for
        self.listeners: list[Callable[[Mapping[str, Any]], None]] = []  # told of each event

    @property
    def directory(self) -> Path:
        """The run directory. Raises: GankitError: the run has not begun and was given none."""
        if self._directory is None:
            raise GankitError("the run has not begun: it has no directory yet")
        return self._directory

    @property
    def leads(self) -> bool:
        """Whether this is the first process of the run, or its only one: it alone calls callbacks and writes."""
        return self.processes.rank == 0

    @property
    def world_size(self) -> int:
        """Processes that train this run together."""
        return self.processes.world_size

    @property
    def images(self) -> int:
        """Real images shown to D so far."""
        return self.state.images

    @property
    def epoch(self) -> int:
        """The epoch, from 0, in which the last step began."""
        return max(0, self.state.images - self._images_a_step) // self.parts.loader.count

    @property
    def dataset(self) -> Dataset:
        """The real images, prepared."""
        return self.parts.loader.dataset

    @property
    def registries(self) -> Registries:
        """The components that the run could choose from, by kind and name."""
        return self.parts.registries

    @property
    def finished(self) -> bool:
        """Whether the run is as long as its recipe says."""
        return self.state.step >= self.total_steps

    @property
    def total_steps(self) -> int:
        """The step at which the run is done, at as many images a step as the last one took."""
        train = self.recipe.train
        if train.steps is not None:
            return train.steps
        images = train.images if train.images is not None else (train.epochs or 0) * self.parts.loader.count
        return self.state.step + max(0, math.ceil((images - self.state.images) / self._images_a_step))

    @property
    def checkpoints(self) -> list[Path]:
        """The run's checkpoints, oldest first."""
        return checkpoints(self.directory)

    def step(self) -> Scalars:
        """Play one step, and no callback."""
        state, game = self.state, self.parts.game
        for schedule in self.parts.schedules:
            schedule.advance(state.images)
        drawn, position = 0, state.position

        def batches() -> Iterator[Batch]:
            nonlocal drawn, position
            while True:
                if self._batches is None:
                    self._batches = self.parts.loader.stream(position)
                batch = next(self._batches)
                size = len(batch.images) * self.processes.world_size
                self.drawn = position, size
                position += size
                if state.skips(*self.drawn):
                    continue
                drawn += size
                yield batch

        try:
            with game.step_scope(self.recipe.seed, state.step):
                scalars = self.parts.rules.step(game, batches(), state)
        except BaseException:
            self._batches = None  # the step may be played again, on the same images
            raise
        self.processes.align((state.generator, state.discriminator))
        state.step += 1
        state.images += drawn
        state.position = position
        self._images_a_step = drawn or self._images_a_step
        if state.ema is not None and self.recipe.ema is not None:
            half_life = at_images(self.recipe.ema.half_life_images, state.images)
            state.ema.kept = kept_share(drawn, state.images, half_life, self.recipe.ema.ramp_up)
            state.ema.update_parameters(state.generator)
        return scalars

    def fit(self) -> None:
        """Train to the end, callbacks and all. A finished run stays as it is."""
        for _ in self:
            pass

    def __iter__(self) -> Iterator[Scalars]:
        """Train step by step, callbacks and all, yielding each step's scalars.

        Leaving the loop early ends the run as an interruption does: callbacks are told, and save.
        """
        if self.finished:
            return
        self._claim()
        try:
            if self.checkpoint is None:
                self._beginning = Beginning(self.state.networks(), self._saved_state())
            self._tell("on_run_start")
            self._launched = time.monotonic()
            since = self._launched - self.seconds
            self._agree()
            while not self.finished and self._over is None:
                self._watch.weights(self.state.step + 1)
                self.scalars = self.step()
                self._watch.figures(self.scalars, self.state.step)
                if self.finished:  # what the last update broke, no further step would show
                    self._watch.weights(self.state.step + 1)
                self._log_findings()
                self.seconds = time.monotonic() - since
                self._show_step()
                if self._recovery is not None and self._recover(go_on=self._recovery):
                    continue
                self._save_if_wanted()
                yield self.scalars
        except GeneratorExit:
            self._end("left early")
            raise
        except BaseException as error:
            self._fail(error)
        self._end("done" if self.finished else str(self._over))

    @property
    def _over(self) -> str | None:
        """Why the run ends before its time; several processes end after the same step, for they agree on it."""
        return self._stop_reason if self.processes.world_size == 1 else self._agreed

    def stop(self, reason: str) -> None:
        """End the run after the step that is being played, with a checkpoint to go on from.

        Of several processes, any one may say so.
        """
        self._stop_reason = self._stop_reason or reason

    def save(self) -> None:
        """Write a checkpoint once every callback has seen this step."""
        self._save_wanted = True

    def log(self, event: Mapping[str, Any]) -> None:
        """Append a finding to ``events.jsonl``."""
        if self._records is None:
            raise GankitError("the run has not begun: it has no events yet")
        self._records.log(event, self.state.step)
        for listener in self.listeners:
            listener(event)

    def not_finite(self) -> NotFinite | None:
        """What was NaN or infinite first in this run, if anything; waits for the device."""
        return self._watch.first()

    def recover(self, go_on: bool) -> None:
        """Once every callback has seen this step: replay from the last checkpoint, and find out what broke.

        The finding is logged. Then the run goes on from that checkpoint without the batch that broke it, or it ends.
        """
        self._recovery = go_on

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
        skipped = self.state.skipped  # what broke the run since then would break it again
        saved = self._take_up(source)
        self.state.skipped = skipped
        return saved

    def sample(self, count: int, seed: int = 0, labels: Sequence[int] | None = None, **options: Any) -> Tensor:
        """Generated images, uint8 [count c h w]: the same for the same seed, from the EMA where there is one."""
        return to_uint8(self.generate(count, seed, labels, **options))

    def generate(self, count: int, seed: int = 0, labels: Sequence[int] | None = None, **options: Any) -> Tensor:
        """What `sample` quantises: the images as G made them, fp32 [count c h w] on the CPU, not cut to [-1, 1]."""
        parts = self.parts
        latent, image = parts.game.latent, parts.image
        return generate_images(self.state.sampler, latent, image, count, seed, labels, parts.frequencies, options)

    @torch.no_grad()
    def augment(self, images: Tensor, seed: int = 0) -> Tensor:
        """What D would see now of ``images`` [n c h w] in [-1, 1]: through the run's augmentations, fp32 on the CPU."""
        engine = self.parts.game.engine
        with seeded(np.random.SeedSequence(seed, spawn_key=(AUGMENT,)), engine.device):
            return self.parts.game.augment(images.to(engine.device, engine.dtype)).float().cpu()

    def real(self, count: int, labels: Sequence[int] | None = None) -> Tensor:
        """The first real images of the run, uint8 [count c h w]; of these classes where given."""
        return self.parts.loader.real(count, labels)

    def restore(self, checkpoint: Checkpoint | None) -> None:
        """Go on in the directory of an earlier run: from its checkpoint, or from the start where it has none.

        Raises:
            CheckpointError: the checkpoint is another recipe's.
        """
        self._resumed = True
        if checkpoint is None:
            return
        saved = self._take_up(checkpoint)
        self._load_states(self.callbacks.stateful(), saved.get("callbacks", {}), checkpoint.path)
        try:
            self._events_bytes = int(saved.get("events_bytes", 0))
            self.seconds = float(saved.get("seconds", 0.0))
        except (TypeError, ValueError, OverflowError) as error:
            raise CheckpointError(f"{checkpoint.path}: its state does not fit: {error}") from None
        self.checkpoint, self._saved_step = checkpoint.path, self.state.step

    def _take_up(self, source: Checkpoint | Beginning) -> Mapping[str, Any]:
        """Networks, counters and components as they were saved."""
        for name, network in self.state.networks().items():
            source.load_network(name, network)
        saved = source.load_state()
        self.state.load_counters(saved.get("training", {}))
        self._load_states(self._stateful(), saved.get("components", {}), source.path)
        self._batches = None
        for schedule in self.parts.schedules:
            if isinstance(schedule, OptimizerSchedule):
                schedule.started = False  # the optimizers have the saved settings now, and the recipe may have others
        return saved

    def _load_states(self, holders: Mapping[str, Any], saved: Mapping[str, Any], path: Path | None) -> None:
        if not isinstance(saved, Mapping):
            raise CheckpointError(f"{path}: its states are a {type(saved).__name__}, and not by name")
        for name, holder in holders.items():
            if name not in saved:
                self._begin_anew.append(name)
                continue
            try:
                holder.load_state_dict(saved[name])
            except Exception as error:  # what is saved is a stranger's data
                reason = f"{type(error).__name__}: {error}"
                raise CheckpointError(f"{path}: the state of '{name}' does not fit: {reason}") from None

    def _stateful(self) -> dict[str, Any]:
        """The components that have something to remember."""
        return {name: part for name, part in self.parts.components.items() if hasattr(part, "state_dict")}

    def _claim(self) -> None:
        if self._records is not None:
            raise GankitError("this trainer has run already; resume its directory with a new one")
        self._require_one_place()
        if not self._resumed:
            self._directory = self.processes.first(lambda: claim(self._directory, self.recipe.name))
        self._records = NoRecords()
        self.processes.first(self._open_records)
        anew = {"without_state": self._begin_anew} if self._begin_anew else {}
        self.log({"event": "resumed" if self._resumed else "started", **anew})

    def _open_records(self) -> None:
        self._records = Records(self.directory, self.recipe, self.parts.about, self._events_bytes, self.state.step)

    def _require_one_place(self) -> None:
        """Raises: GankitError: processes have resumed from different steps."""
        steps = self.processes.everyones(self.state.step)
        if len(set(steps)) > 1:
            raise GankitError(
                f"the processes have found checkpoints of different steps ({', '.join(map(str, steps))}, by rank): "
                "a run directory must lie on a file system that all machines share"
            )

    def _tell(self, method: str) -> None:
        """Call ``method`` of the callbacks, which live in the first process alone; the others wait."""
        self.processes.first(lambda: self.callbacks.call(method, self))

    def _show_step(self) -> None:
        """Callbacks see the step; then the processes agree on how to go on, which is where the others wait."""
        try:
            if self.leads:
                with self.processes.others_wait():
                    self.callbacks.call("on_step_end", self)
                    if self.state.images // self.parts.loader.count > self.epoch:
                        self.callbacks.call("on_epoch_end", self)
        except Exception:
            self._agree(failed=True)
            raise
        if time.monotonic() - self._launched >= 3600 * (self.recipe.train.max_hours or math.inf):
            self.stop(TIME_LIMIT)
        self._agree()

    def _agree(self, failed: bool = False) -> None:
        """The processes end, go back, save or fail together. Raises: OtherProcessError."""
        if self.processes.world_size == 1:
            return
        stops, recovery = self._stop_reason is not None, 0 if self._recovery is None else 1 + self._recovery
        failure, stop, recovery, save = self.processes.largest(failed, stops, recovery, self._save_wanted)
        if failure:
            if failed:
                return
            raise OtherProcessError("a callback failed in the first process, and so this one ends too")
        if stop:
            self._agreed = next(reason for reason in self.processes.everyones(self._stop_reason) if reason)
        self._recovery = None if recovery == 0 else recovery == 2
        self._save_wanted = bool(save)

    def _log_findings(self) -> None:
        """What compiling has shown about the networks."""
        compiled = self.parts.game.compiled
        while compiled is not None and compiled.findings:
            self.log({"event": "not_compiled", "reason": compiled.findings.pop(0)})

    def _save_if_wanted(self) -> None:
        if not self._save_wanted:
            return
        self._save_wanted = False
        if self._saved_step == self.state.step or (written := self.processes.first(self._save)) is None:
            return
        self.checkpoint, self._saved_step, self._beginning = written, self.state.step, None
        if self.state.step > self._broken_step:
            self._recoveries = 0
        self._tell("on_checkpoint")

    def _save(self) -> Path | None:
        """A checkpoint, or None where what would be in it is broken."""
        if (broken := not_finite_in(self.state.networks())) is not None:
            self.log(
                {"event": "not_saved", "reason": f"{broken} is NaN or infinite: the last checkpoint stays the newest"}
            )
            return None
        assert isinstance(self._records, Records)
        state = {**self._saved_state(), "events_bytes": self._records.events.sync(), "seconds": self.seconds}
        run = self._records.about["started_at"]
        about = {**self.parts.passport, "run": run, "images": self.state.images}
        self.checkpoint = save_checkpoint(self.directory, self.state.step, self.state.networks(), state, about)
        return self.checkpoint

    def _saved_state(self) -> dict[str, Any]:
        """All of a checkpoint that neither the networks nor the trainer's own records have."""
        return {
            "training": self.state.counters(),
            "components": {name: dict(part.state_dict()) for name, part in self._stateful().items()},
            "callbacks": {name: callback.state_dict() for name, callback in self.callbacks.stateful().items()},
        }

    def _recover(self, go_on: bool) -> bool:
        """Find out what broke, and go back, if there is anything broken. Returns: whether it went back.

        Raises:
            GankitError: the run is not to go on, or cannot.
        """
        self._recovery = None
        seen = self.processes.first(self.not_finite)
        if seen is None:
            return False
        broken_at = self.state.step
        self._broken_step, self._save_wanted = max(self._broken_step, broken_at), False
        fault = investigate(self, seen)
        saved = self.rewind()
        self._watch.forget()
        self._recoveries += 1
        self.log(fault.event(fatal=not go_on or self._recoveries > MOST_RECOVERIES))
        told = GankitError if self.leads else OtherProcessError
        if not go_on:
            raise told(f"{fault}. For a run that goes back and on by itself, {GO_ON}")
        if self._recoveries > MOST_RECOVERIES:
            raise told(f"{fault}. It went back to step {self.state.step:,} {MOST_RECOVERIES} times already")
        left_out: tuple[int, ...] = ()
        if fault.spot is not None and fault.batch is not None:
            self.state.skipped.append(fault.batch)
            left_out = fault.indices
        self.log({"event": "rolled_back", "from_step": broken_at, "without": list(left_out)})
        if self.leads:
            self._load_states(self.callbacks.stateful(), saved.get("callbacks", {}), self.checkpoint)
        self._tell("on_run_start")
        return True

    def _end(self, reason: str) -> None:
        assert self._records is not None
        self.ending = reason
        try:
            self.log({"event": "ended", "reason": reason})
            self._tell("on_run_end")
            if self._over is not None:
                self.save()
            (self._save_wanted,) = map(bool, self.processes.largest(self._save_wanted))
            self._save_if_wanted()
            self._records.end(reason, self.state.step, self.state.images, self.seconds)
        except BaseException as error:
            self._fail(error)
        self._batches = None
        self.processes.largest()  # who is done first waits for the first process, which still wrote

    def _fail(self, error: BaseException) -> NoReturn:
        """Say what happened; what was saved before stays the newest checkpoint, for a broken step is none."""
        assert self._records is not None
        doing = f"step {self.state.step + 1:,}"
        told = explained(error, self.recipe, self.parts.game.engine, doing, self.directory)
        self.ending = f"failed: {type(error).__name__}: {told}"
        raised: list[Exception] = []
        try:
            self.log({"event": "failed", "error": self.ending, "notes": list(getattr(error, "__notes__", ()))})
        except Exception as other:
            raised.append(other)
        raised += self.callbacks.call_all("on_exception", self) if self.leads else []
        self._batches = None
        try:
            self._records.end(self.ending, self.state.step, self.state.images, self.seconds)
        except Exception as other:
            raised.append(other)
        for another in raised:  # where the disk is full, saying so fails as well
            if not (dead_worker(error) and dead_worker(another)):  # which torch says to whatever runs
                told.add_note(f"then {type(another).__name__}: {another}")
        if told is error:
            raise error
        raise told from error
