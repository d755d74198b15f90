"""The trainer: plays step after step, lets callbacks watch, and saves what resuming needs."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from ..data.loader import Loader
from ..errors import CheckpointError, GankitError
from ..interfaces import Batch, GameRules, ImageSpec, Scalars
from ..recipe import Recipe
from ..schedule import at_images
from .callback import Callbacks
from .checkpoint import Checkpoint, checkpoints, save_checkpoint
from .directory import Records, claim
from .ema import Decay, kept_share, update_average
from .game import Game
from .sampling import sample_images
from .schedule import ComponentSchedule, OptimizerSchedule
from .state import TrainState


@dataclass
class Parts:
    """What `gankit.Runtime` assembles a trainer from.

    Attributes:
        recipe: resolved: every default filled in.
        image: size, channels and classes of the run.
        classes: names of the labels; None unless conditional.
        frequencies: share of each class in the data; None unless conditional.
        rules: plays one step.
        decay: of ``state.ema``.
        components: those that may have a state of their own, by name.
        about: of the run, for ``run.json``.
        passport: all that sampling needs, for a checkpoint's manifest.
    """

    recipe: Recipe
    image: ImageSpec
    classes: tuple[str, ...] | None
    frequencies: list[float] | None
    loader: Loader
    rules: GameRules
    game: Game
    state: TrainState
    decay: Decay
    schedules: Sequence[ComponentSchedule | OptimizerSchedule]
    components: Mapping[str, Any]
    callbacks: Callbacks
    about: Mapping[str, Any] = field(default_factory=dict)
    passport: Mapping[str, Any] = field(default_factory=dict)


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
        self._directory = run_dir
        self.scalars: Scalars = {}
        self.classes = parts.classes
        self.checkpoint: Path | None = None
        self.ending: str | None = None
        self.seconds = 0.0
        self._images_a_step = parts.recipe.loader.batch_size * parts.recipe.train.discriminator_steps
        self._batches: Iterator[Batch] | None = None
        self._stop_reason: str | None = None
        self._save_wanted = False
        self._saved_step: int | None = None
        self._events_bytes = 0
        self._resumed = False
        self._begin_anew: list[str] = []
        self._records: Records | None = None

    @property
    def directory(self) -> Path:
        """The run directory. Raises: GankitError: the run has not begun and was given none."""
        if self._directory is None:
            raise GankitError("the run has not begun: it has no directory yet")
        return self._directory

    @property
    def images(self) -> int:
        """Real images shown to D so far."""
        return self.state.images

    @property
    def epoch(self) -> int:
        """The epoch, from 0, in which the last step began."""
        return max(0, self.state.images - self._images_a_step) // self.parts.loader.count

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
        drawn = 0

        def batches() -> Iterator[Batch]:
            nonlocal drawn
            while True:
                if self._batches is None:
                    self._batches = self.parts.loader.stream(state.images + drawn)
                batch = next(self._batches)
                drawn += len(batch.images)
                yield batch

        try:
            with game.step_scope(self.recipe.seed, state.step):
                scalars = self.parts.rules.step(game, batches(), state)
        except BaseException:
            self._batches = None  # the step may be played again, on the same images
            raise
        state.step += 1
        state.images += drawn
        self._images_a_step = drawn or self._images_a_step
        if state.ema is not None and self.recipe.ema is not None:
            half_life = at_images(self.recipe.ema.half_life_images, state.images)
            self.parts.decay.kept = kept_share(drawn, state.images, half_life, self.recipe.ema.ramp_up)
            update_average(state.ema, state.generator)
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
            self.callbacks.call("on_run_start", self)
            since = time.monotonic() - self.seconds
            while not self.finished and self._stop_reason is None:
                self.scalars = self.step()
                self._log_findings()
                self.seconds = time.monotonic() - since
                self.callbacks.call("on_step_end", self)
                if self.state.images // self.parts.loader.count > self.epoch:
                    self.callbacks.call("on_epoch_end", self)
                self._save_if_wanted()
                yield self.scalars
        except GeneratorExit:
            self._end("left early")
            raise
        except BaseException as error:
            self._fail(error)
            raise
        self._end("done" if self.finished else str(self._stop_reason))

    def stop(self, reason: str) -> None:
        """End the run after the step that is being played."""
        self._stop_reason = self._stop_reason or reason

    def save(self) -> None:
        """Write a checkpoint once every callback has seen this step."""
        self._save_wanted = True

    def log(self, event: Mapping[str, Any]) -> None:
        """Append a finding to ``events.jsonl``."""
        if self._records is None:
            raise GankitError("the run has not begun: it has no events yet")
        self._records.log(event, self.state.step)

    def sample(self, count: int, seed: int = 0, labels: Sequence[int] | None = None, **options: Any) -> Tensor:
        """Generated images, uint8 [count c h w]: the same for the same seed, from the EMA where there is one."""
        parts = self.parts
        latent, image = parts.game.latent, parts.image
        return sample_images(self.state.sampler, latent, image, count, seed, labels, parts.frequencies, options)

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
        for name, network in self.state.networks().items():
            checkpoint.load_network(name, network)
        saved = checkpoint.load_state()
        self.state.load_counters(saved.get("training", {}))
        for part, states in (("components", self._stateful()), ("callbacks", self.callbacks.stateful())):
            for name, component in states.items():
                if name not in saved.get(part, {}):
                    self._begin_anew.append(name)
                    continue
                try:
                    component.load_state_dict(saved[part][name])
                except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
                    reason = f"{type(error).__name__}: {error}"
                    raise CheckpointError(f"{checkpoint.path}: the state of '{name}' does not fit: {reason}") from None
        self._events_bytes = int(saved.get("events_bytes", 0))
        self.seconds = float(saved.get("seconds", 0.0))
        self.checkpoint, self._saved_step = checkpoint.path, self.state.step
        self._batches = None

    def _stateful(self) -> dict[str, Any]:
        """The components that have something to remember."""
        return {name: part for name, part in self.parts.components.items() if hasattr(part, "state_dict")}

    def _claim(self) -> None:
        if self._records is not None:
            raise GankitError("this trainer has run already; resume its directory with a new one")
        if not self._resumed:
            self._directory = claim(self._directory, self.recipe.name)
        self._records = Records(self.directory, self.recipe, self.parts.about, self._events_bytes)
        anew = {"without_state": self._begin_anew} if self._begin_anew else {}
        self.log({"event": "resumed" if self._resumed else "started", **anew})

    def _log_findings(self) -> None:
        """What compiling has shown about the networks."""
        compiled = self.parts.game.compiled
        while compiled is not None and compiled.findings:
            self.log({"event": "not_compiled", "reason": compiled.findings.pop(0)})

    def _save_if_wanted(self) -> None:
        if not self._save_wanted:
            return
        self._save_wanted = False
        if self._saved_step == self.state.step:
            return
        assert self._records is not None
        state = {
            "training": self.state.counters(),
            "components": {name: dict(part.state_dict()) for name, part in self._stateful().items()},
            "callbacks": {name: callback.state_dict() for name, callback in self.callbacks.stateful().items()},
            "events_bytes": self._records.events.sync(),
            "seconds": self.seconds,
        }
        about = {**self.parts.passport, "images": self.state.images}
        self.checkpoint = save_checkpoint(self.directory, self.state.step, self.state.networks(), state, about)
        self._saved_step = self.state.step
        self.callbacks.call("on_checkpoint", self)

    def _end(self, reason: str) -> None:
        assert self._records is not None
        self.ending = reason
        self.log({"event": "ended", "reason": reason})
        try:
            self.callbacks.call("on_run_end", self)
            self._save_if_wanted()
        except BaseException as error:
            self._fail(error)
            raise
        self._batches = None
        self._records.end(reason, self.state.step, self.state.images, self.seconds)

    def _fail(self, error: BaseException) -> None:
        """Say what happened; what was saved before stays the newest checkpoint, for a broken step is none."""
        assert self._records is not None
        self.ending = f"failed: {type(error).__name__}: {error}"
        self.log({"event": "failed", "error": self.ending})
        try:
            self.callbacks.call("on_exception", self)
        finally:
            self._batches = None
            self._records.end(self.ending, self.state.step, self.state.images, self.seconds)
