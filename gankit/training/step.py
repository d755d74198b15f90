"""One training step: schedules, batches, random state, the game, and the EMA of G."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from ..device.seeding import process_wide_state
from ..errors import GankitError
from ..game.game import play_step
from ..game.returned_values import require_scalars
from ..interfaces import Batch, Scalars
from ..schedule import at_images
from .callbacks import CALLBACKS
from .ema import ema_decay
from .progress import Progress
from .scalar_reader import COUNTERS
from .scheduled_parameters import ComponentSchedule
from .setup import TrainingSetup

DATA, EMA, OTHER = "data", "EMA", "other"


class StepRunner:
    """Runs one step after another. The loop calls callbacks and writes files.

    Attributes:
        state_is_whole: whether the state is that of a whole step: no update has begun since, or been lost midway.
        last_batch: position in the data order and length of the last batch; None before the first.
    """

    def __init__(self, setup: TrainingSetup, progress: Progress) -> None:
        self.state_is_whole = True
        self.last_batch: tuple[int, int] | None = None
        self._setup, self._progress = setup, progress
        self._stream: Iterator[Batch] | None = None
        self._read: deque[Batch] = deque()  # batches that the next step will probably take
        self._batches_per_step = setup.recipe.train.discriminator_steps

    def step(self) -> Scalars:
        """Run one step. A step whose updates fail leaves the counters unchanged, and `state_is_whole` false.

        Steps of several trainers in threads of one process take turns.
        """
        with process_wide_state:
            return self._step()

    def _step(self) -> Scalars:
        setup, state = self._setup, self._setup.state
        end_phase = setup.context.end_phase
        end_phase(CALLBACKS)
        images, position, taken = 0, state.position, 0

        def batches() -> Iterator[Batch]:
            nonlocal images, position, taken
            while True:
                end_phase(OTHER)
                batch = self._read.popleft() if self._read else self._next_batch(position)
                end_phase(DATA)
                taken += 1
                size = len(batch.images) * setup.processes.world_size
                self.last_batch = position, size
                position += size
                if not state.skips(*self.last_batch):
                    images += size
                    yield batch

        try:
            with setup.context.step_scope(setup.recipe.seed, state.step):
                # before the first update, so that a step whose images cannot be read leaves the state whole
                end_phase(OTHER)
                while len(self._read) < self._batches_per_step:
                    self._read.append(self._next_batch(position))
                end_phase(DATA)
                for schedule in setup.schedules:
                    schedule.advance(state.images)
                self.state_is_whole = False
                game = setup.context.game
                source = f"{type(game).__name__}.step"
                scalars = require_scalars(play_step(game, batches()), source, setup.engine.device)
                if taken_names := sorted(scalars.keys() & {*COUNTERS}):
                    raise GankitError(
                        f"{source}: a scalar is called {taken_names[0]!r}, as a counter in metrics.jsonl; rename it"
                    )
        except BaseException:
            self.drop_prefetched()  # the step may run again, on the same images
            raise
        setup.processes.average_buffers(state.modules().values())
        state.step += 1
        state.images += images
        state.position = position
        self._progress.images_per_step = images or self._progress.images_per_step
        end_phase(OTHER)
        self._update_ema(images)
        for schedule in setup.schedules:
            if isinstance(schedule, ComponentSchedule):  # samples between steps depend on them
                schedule.advance(state.images)
        self._batches_per_step = taken
        self.state_is_whole = True
        return scalars

    def drop_prefetched(self) -> None:
        """Discard batches that were read ahead; the next step reads from the state's position."""
        self._stream = None
        self._read.clear()

    def _next_batch(self, position: int) -> Batch:
        """The next batch of the stream, which begins at ``position`` unless it has begun."""
        if self._stream is None:
            self._stream = self._setup.loader.stream(position)
        return next(self._stream)

    def _update_ema(self, images: int) -> None:
        """Update the EMA after a step of ``images`` real images."""
        state, settings = self._setup.state, self._setup.recipe.ema
        if state.ema is not None and settings is not None:
            ramp_up = None if state.ema.is_loaded else settings.ramp_up
            half_life = at_images(settings.half_life_images, state.images)
            state.ema.update(state.generator, ema_decay(images, state.images, half_life, ramp_up))
            self._setup.context.end_phase(EMA)
