"""The trainer: a run as its user and its callbacks know it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..data.resize import to_uint8
from ..interfaces import Dataset, NotFinite, Scalars
from ..registry import Registries
from ..runs.checkpoint import Checkpoint, checkpoints
from .run_recorder import RunRecorder
from .loop import TrainingLoop
from .setup import TrainingSetup
from ..device.seeding import AUGMENT, seeded
from ..sampling.samples import generate_images
from .step import StepRunner


class Trainer:
    """A run, ready to go: `fit` it, iterate over it, or `step` by hand.

    Args:
        parts: from `gankit.Runtime.assemble`.
        run_dir: the run's directory; None takes the next free one under ``results/``.
    """

    def __init__(self, parts: TrainingSetup, run_dir: Path | None = None) -> None:
        self.parts = parts
        self.recipe, self.state = parts.recipe, parts.state
        self.classes = parts.classes
        self.callbacks = parts.callbacks
        self.processes = parts.game.engine.processes
        self.processes.host = self
        self.scalars: Scalars = {}
        self.ending: str | None = None
        self.kept: dict[str, Any] = {}  # what work for all processes needs again, by whom it is for
        self._stepper = StepRunner(parts)
        self._keeper = RunRecorder(parts, run_dir)
        self._loop = TrainingLoop(self, parts, self._stepper, self._keeper)

    @property
    def directory(self) -> Path:
        """The run directory. Raises: GankitError: the run has not begun and was given none."""
        return self._keeper.directory

    @property
    def checkpoint(self) -> Path | None:
        """The newest checkpoint of this run."""
        return self._keeper.checkpoint

    @property
    def checkpoints(self) -> list[Path]:
        """The run's checkpoints, oldest first."""
        return checkpoints(self.directory)

    @property
    def listeners(self) -> list[Callable[[Mapping[str, Any]], None]]:
        """Told of each event."""
        return self._keeper.listeners

    @property
    def world_size(self) -> int:
        """Processes that train this run together."""
        return self.processes.world_size

    @property
    def images(self) -> int:
        """Real images shown to D so far."""
        return self.state.images

    @property
    def drawn(self) -> tuple[int, int] | None:
        """Position in the data's order and length of the last batch; None before there was one."""
        return self._stepper.drawn

    @property
    def epoch(self) -> int:
        """The epoch, from 0, in which the last step began."""
        return max(0, self.state.images - self._stepper.images_a_step) // self.parts.loader.count

    @property
    def total_steps(self) -> int:
        """The step at which the run is done, at as many images a step as the last one took."""
        train = self.recipe.train
        if train.steps is not None:
            return train.steps
        images = train.images if train.images is not None else (train.epochs or 0) * self.parts.loader.count
        return self.state.step + max(0, math.ceil((images - self.state.images) / self._stepper.images_a_step))

    @property
    def finished(self) -> bool:
        """Whether the run is as long as its recipe says."""
        return self.state.step >= self.total_steps

    @property
    def dataset(self) -> Dataset:
        """The real images, prepared."""
        return self.parts.loader.dataset

    @property
    def registries(self) -> Registries:
        """The components that the run could choose from, by kind and name."""
        return self.parts.registries

    def restore(self, checkpoint: Checkpoint | None) -> None:
        """Go on in the directory of an earlier run: from its checkpoint, or from the start where it has none.

        Raises:
            CheckpointError: the checkpoint is another recipe's.
        """
        self._keeper.restore(checkpoint)
        self._stepper.let_go()

    def step(self) -> Scalars:
        """Play one step, and no callback."""
        return self._stepper.step()

    def fit(self) -> None:
        """Train to the end, callbacks and all. A finished run stays as it is."""
        for _ in self:
            pass

    def __iter__(self) -> Iterator[Scalars]:
        """Train step by step, callbacks and all, yielding each step's scalars.

        Leaving the loop early ends the run as an interruption does: callbacks are told, and save.
        """
        return self._loop.steps()

    def stop(self, reason: str) -> None:
        """End the run after the step that is being played, with a checkpoint to go on from.

        Of several processes, any one may say so.
        """
        self._loop.wishes.stop(reason)

    def save(self) -> None:
        """Write a checkpoint once every callback has seen this step."""
        self._loop.wishes.save = True

    def recover(self, go_on: bool) -> None:
        """Once every callback has seen this step: replay from the last checkpoint, and find out what broke.

        The finding is logged. Then the run goes on from that checkpoint without the batch that broke it, or it ends.
        """
        self._loop.wishes.recover = go_on

    def log(self, event: Mapping[str, Any]) -> None:
        """Append a finding to ``events.jsonl``."""
        self._keeper.log(event)

    def not_finite(self) -> NotFinite | None:
        """What was NaN or infinite first in this run, if anything; waits for the device."""
        return self._loop.watch.first()

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
