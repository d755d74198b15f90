"""Plays a step: its schedules, its batches, its random numbers, and the average of G that follows it."""

from __future__ import annotations

from collections.abc import Iterator

from ..interfaces import Batch, Scalars
from ..schedule import at_images
from .ema import ema_decay
from .setup import TrainingSetup


class StepRunner:
    """Plays one step after another, and knows of no callback and no file.

    Attributes:
        drawn: position and length of the last batch; None before there was one.
        images_a_step: real images that the last step showed to D; before the first, that one is to.
    """

    def __init__(self, parts: TrainingSetup) -> None:
        self.drawn: tuple[int, int] | None = None
        self.images_a_step = parts.recipe.loader.batch_size * parts.recipe.train.discriminator_steps
        self._parts = parts
        self._stream: Iterator[Batch] | None = None

    def step(self) -> Scalars:
        """Play one step. One that fails leaves the counters as they were."""
        parts, state = self._parts, self._parts.state
        processes = parts.game.engine.processes
        for schedule in parts.schedules:
            schedule.advance(state.images)
        images, position = 0, state.position

        def batches() -> Iterator[Batch]:
            nonlocal images, position
            while True:
                if self._stream is None:
                    self._stream = parts.loader.stream(position)
                batch = next(self._stream)
                size = len(batch.images) * processes.world_size
                self.drawn = position, size
                position += size
                if state.skips(*self.drawn):
                    continue
                images += size
                yield batch

        try:
            with parts.game.step_scope(parts.recipe.seed, state.step):
                scalars = parts.rules.step(parts.game, batches(), state)
        except BaseException:
            self.let_go()  # the step may be played again, on the same images
            raise
        processes.align((state.generator, state.discriminator))
        state.step += 1
        state.images += images
        state.position = position
        self.images_a_step = images or self.images_a_step
        self._average(images)
        return scalars

    def let_go(self) -> None:
        """Of the batches that are being read ahead; the next step reads them from where the state then is."""
        self._stream = None

    def _average(self, images: int) -> None:
        """G has moved on by a step of so many images, and its average follows."""
        state, settings = self._parts.state, self._parts.recipe.ema
        if state.ema is not None and settings is not None:
            half_life = at_images(settings.half_life_images, state.images)
            state.ema.kept = ema_decay(images, state.images, half_life, settings.ramp_up)
            state.ema.update_parameters(state.generator)
