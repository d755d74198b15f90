"""The trainer: a run as its user and its callbacks see it."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from ..data.resize import to_uint8
from ..device.seeding import AUGMENT, seeded
from ..errors import GankitError
from ..events import Event, as_event
from ..interfaces import NotFinite, Scalars
from ..recipe.model import Recipe
from ..runs.checkpoint import Checkpoint
from ..runs.file_names import checkpoints
from ..sampling.sample_arguments import Labels, read_labels
from .generator_copy import GeneratorCopy
from .loop import SEGMENT_END, TrainingLoop
from .progress import Progress
from .run_recorder import RunRecorder
from .setup import TrainingSetup
from .step import StepRunner

T = TypeVar("T")


class Trainer:
    """A run that is ready to train: call `fit`, iterate over it, or call `step` yourself.

    Args:
        setup: from `gankit.Runtime.assemble`.
        run_dir: the run directory; None uses the next free one under ``results/``.

    Attributes:
        setup: the parts of the run.
        state: networks, optimizers and counters.
        context: the networks and components that a step works with.
        recipe: with every default filled in.
        dataset: the real images, prepared.
        image: size, channels and classes of the run's images.
        classes: class names of a conditional run, else None.
        device: of this process.
        world_size: the number of processes that train this run.
        registries: all registered components.
        callbacks: of the run, called in order.
        listeners: functions that are called with each event.
        per_rank: objects that work on all ranks keeps on this rank.
        progress: of the run, relative to its length.
    """

    def __init__(self, setup: TrainingSetup, run_dir: Path | None = None) -> None:
        self.setup, self.state, self.callbacks, self.context = setup, setup.state, setup.callbacks, setup.context
        self.recipe, self.registries, self.dataset = setup.recipe, setup.registries, setup.loader.dataset
        self.image, self.classes, self.device = setup.image, setup.classes, setup.engine.device
        self.processes, self.world_size = setup.processes, setup.processes.world_size
        self.processes.host = self
        self.per_rank: dict[str, Any] = {}
        self.progress = Progress(setup.recipe, setup.loader.count, setup.state)
        self._steps = StepRunner(setup, self.progress)
        self._recorder = RunRecorder(setup, run_dir)
        self._loop = TrainingLoop(setup, self.progress, self._steps, self._recorder)
        self.listeners = self._recorder.listeners

    @property
    def directory(self) -> Path:
        """The run directory. Raises: GankitError: the run has not started and was given no directory."""
        return self._recorder.directory

    @property
    def checkpoint(self) -> Path | None:
        """The newest checkpoint of this run."""
        return self._recorder.checkpoint

    @property
    def checkpoints(self) -> list[Path]:
        """The run's checkpoints, oldest first."""
        return checkpoints(self.directory)

    @property
    def images(self) -> int:
        """Real images used for training so far."""
        return self.state.images

    @property
    def scalars(self) -> Scalars:
        """The scalars of the last step; reading one waits for the device."""
        return self._loop.scalars

    @property
    def ending(self) -> str | None:
        """Why the run ended: ``done``, the reason of `stop`, or the error; None before the end."""
        return self._loop.ending

    @property
    def last_batch(self) -> tuple[int, int] | None:
        """Position in the data order and length of the last batch; None before the first."""
        return self._steps.last_batch

    @property
    def epoch(self) -> int:
        """The epoch, from 0, in which the last step began."""
        return self.progress.epoch

    @property
    def total_steps(self) -> int:
        """The step at which the run ends, assuming that further steps use as many images as the last one."""
        return self.progress.total_steps

    @property
    def segment_ended(self) -> bool:
        """Whether the run goes on with the next segment of its recipe: resume its directory."""
        return self.ending == SEGMENT_END

    @property
    def finished(self) -> bool:
        """Whether the run has reached the length that its recipe sets."""
        return self.progress.finished

    def restore(
        self, checkpoint: Checkpoint | None, events: Sequence[Event] = (), recipe: Recipe | None = None
    ) -> None:
        """Continue an earlier run in its directory: from its checkpoint, or from the start if it has none.

        Args:
            checkpoint: of the run.
            events: logged when the run starts.
            recipe: written to ``recipe.yaml`` after the first step; None leaves the file as it is.

        Raises:
            CheckpointError: the checkpoint does not fit the recipe.
        """
        self._recorder.restore(checkpoint, events, recipe)
        self._steps.drop_prefetched()

    def step(self) -> Scalars:
        """Run one step without callbacks.

        Raises:
            GankitError: the run, or the segment of its recipe, is finished.
        """
        if self.progress.segment_reached:
            raise GankitError(
                "the segment of the recipe is finished: end it with fit(), and resume the run for the next one"
            )
        if self.finished:
            raise GankitError(
                f"the run is finished: it has {self.total_steps:,} steps; check trainer.finished before each step, "
                "or give the recipe a larger length"
            )
        return self._steps.step()

    def fit(self) -> None:
        """Train to the end, with callbacks. A finished run stays as it is.

        A recipe with ``segments`` ends at each of them: resume the run for the next one while `segment_ended` is set.

        Ctrl-C ends the run after its step, like an interruption of ``gankit run``: the run is saved, and then
        ``KeyboardInterrupt`` is raised. A second Ctrl-C raises it at once. This holds in the main thread of a program
        that does not handle SIGINT itself, and for iterating as well.
        """
        for _ in self:
            pass

    def __iter__(self) -> Generator[Scalars, None, None]:
        """Train step by step, with callbacks, and yield each step's scalars.

        Leaving the loop early ends the run like an interruption: callbacks are called, and the run is saved.
        """
        return self._loop.train(self)

    def stop(self, reason: str) -> None:
        """End the run after the current step, with a checkpoint unless ``train.final_checkpoint`` is false.

        With several processes, any of them may call it.
        """
        self._loop.requests.stop(reason)

    def save(self) -> None:
        """Write a checkpoint of the last step, unless it has one.

        A callback that calls this gets the checkpoint once every callback has seen the step. Between steps, the
        checkpoint is written at once, on all processes together, and the run directory is created if need be.

        Raises:
            GankitError: the run has ended, or the checkpoint cannot be written.
        """
        self._loop.save(self)

    def recover(self, go_on: bool) -> None:
        """Once every callback has seen this step: return to the last checkpoint, if `not_finite` has found something.

        The steps since then are replayed, and the cause of the NaN or infinity is logged.

        Args:
            go_on: continue from that checkpoint without the batch that led to the NaN; otherwise the run ends.
        """
        self._loop.requests.recover = go_on

    def log(self, event: Event | Mapping[str, Any]) -> None:
        """Append an event to ``events.jsonl``."""
        self._recorder.log(as_event(event))

    def not_finite(self) -> NotFinite | None:
        """The first NaN or infinity of this run, if there was one; waits for the device."""
        return self._loop.detector.first()

    def sample(self, count: int, seed: int = 0, labels: Labels | None = None, **options: Any) -> Tensor:
        """Generated images, uint8 [count c h w]: the same for the same seed, from the EMA if there is one."""
        return to_uint8(self.generate(count, seed, labels, **options))

    def generate(self, count: int, seed: int = 0, labels: Labels | None = None, **options: Any) -> Tensor:
        """The images of `sample` before quantisation: fp32 [count c h w] on the CPU, not clamped to [-1, 1]."""
        sampling = self.setup.sampling
        return sampling.generate(self.state.sampling_network, sampling.draw(count, seed, read_labels(labels)), options)

    def inputs(self, count: int, seed: int = 0) -> dict[str, Tensor]:
        """The inputs for the images of `sample`: images uint8 [count c h w] and vectors fp32 [count v]."""
        items = self.setup.sampling.items_of(count, seed)
        return {name: to_uint8(values) if values.dim() == 4 else values for name, values in items.items()}

    def copy_generator(self, device: torch.device, ema: bool = True) -> GeneratorCopy:
        """A copy of G on ``device``, updated by its ``update()``; of the EMA if ``ema`` is set and there is one."""
        return GeneratorCopy(self.setup, device, ema, self.directory)

    def run_on_all_ranks(self, work: Callable[..., T], *args: Any) -> list[T]:
        """Call ``work(run, rank, world_size, *args)`` on every rank, from a callback; returns the results by rank.

        Args:
            work: a module-level function.
            args: plain data.

        Raises:
            GankitError: the work failed on another rank.
        """
        return self.processes.run_on_all_ranks(work, *args)

    @torch.no_grad()
    def augment(self, images: Tensor, seed: int = 0) -> Tensor:
        """``images`` [n c h w] in [-1, 1] as D would see them now, through the augmentations: fp32 on the CPU."""
        engine, codec = self.setup.engine, self.setup.sampling.codec
        with seeded(np.random.SeedSequence(seed, spawn_key=(AUGMENT,)), engine.device):
            images = images.to(engine.device, engine.dtype)
            seen = self.setup.context.augment(images if codec is None else codec.encode(images))
            return (seen if codec is None else codec.decode(seen)).float().cpu()

    def real(self, count: int, labels: Sequence[int] | None = None) -> Tensor:
        """The first real images of the run, uint8 [count c h w] on the CPU.

        Args:
            count: the number of images.
            labels: their classes; None for any.
        """
        return self.setup.loader.first_images(count, labels).cpu()
