"""The progress of a run, and its length."""

from __future__ import annotations

import math

from ..recipe.model import Recipe
from .train_state import TrainState


class Progress:
    """The position of a run relative to its length.

    Args:
        recipe: whose ``train`` section sets the length.
        images_per_epoch: the size of the dataset.
        state: the counters of the run.

    Attributes:
        train: the ``train`` section.
        images_per_step: real images that the last step used; an estimate before the first step.
    """

    def __init__(self, recipe: Recipe, images_per_epoch: int, state: TrainState) -> None:
        self.train = recipe.train
        self.images_per_step = recipe.loader.batch_size * recipe.train.discriminator_steps
        self._images_per_epoch, self._state = images_per_epoch, state
        self._segment_end = recipe.segments[0].step if recipe.segments else None

    @property
    def epoch(self) -> int:
        """The epoch, from 0, in which the last step began."""
        return max(0, self._state.images - self.images_per_step) // self._images_per_epoch

    @property
    def epoch_ended(self) -> bool:
        """Whether the last step was the last one that began in its epoch."""
        return self._state.images // self._images_per_epoch > self.epoch

    @property
    def total_steps(self) -> int:
        """The step at which the run ends, assuming that further steps use as many images as the last one."""
        length, state = self.train, self._state
        if length.steps is not None:
            return length.steps
        images = length.images if length.images is not None else (length.epochs or 0) * self._images_per_epoch
        return state.step + max(0, math.ceil((images - state.images) / self.images_per_step))

    @property
    def segment_reached(self) -> bool:
        """Whether the run has reached the next segment of its recipe, whose settings differ."""
        return self._segment_end is not None and self._state.step >= self._segment_end

    @property
    def finished(self) -> bool:
        """Whether the run has reached its length."""
        return self._state.step >= self.total_steps
