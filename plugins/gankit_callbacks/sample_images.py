"""Pictures of what G makes, always from the same latents, and of what it is to make."""

from __future__ import annotations

from pydantic import NonNegativeInt, PositiveInt

import gankit

from .cadence import Cadence

REAL = "real_samples.png"
MOST_CLASSES = 20


class SampleImages:
    """Writes ``real_samples.png`` once and ``fake_samples_epoch_000.png``, ... as training goes on.

    The fakes of an epoch are written anew every so many steps, at the first step of the run, and at the last; they
    come from the same latents each time. In a conditional run each row is a class, from the first down to the 20th.
    Images below 64 px are enlarged by a whole number; otherwise each pixel is one of the picture's.

    Args:
        every: steps between two pictures.
        count: images in a picture; in a conditional run there are as many as classes times columns.
        columns: images in a row.
        seed: of the latents.
    """

    def __init__(
        self,
        *,
        every: PositiveInt = 100,
        count: PositiveInt = 64,
        columns: PositiveInt = 8,
        seed: NonNegativeInt = 0,
    ) -> None:
        self.count = count
        self.columns = columns
        self.seed = seed
        self._cadence = Cadence(every)
        self._reals_wait = True

    def on_run_start(self, run: gankit.Run) -> None:
        self._cadence.start(run)
        self._reals_wait = True

    def on_step_end(self, run: gankit.Run) -> None:
        if self._reals_wait:
            self._reals_wait = False
            if run.state.step == 1 or not (run.directory / REAL).exists():
                count, labels = self._layout(run)
                gankit.save_grid(run.real(count, labels), run.directory / REAL, self.columns)
        if self._cadence.due(run):
            self._save_fakes(run)

    def on_run_end(self, run: gankit.Run) -> None:
        if self._cadence.missed(run):
            self._save_fakes(run)

    def _save_fakes(self, run: gankit.Run) -> None:
        count, labels = self._layout(run)
        images = run.sample(count, self.seed, labels)
        gankit.save_grid(images, run.directory / f"fake_samples_epoch_{run.epoch:03d}.png", self.columns)

    def _layout(self, run: gankit.Run) -> tuple[int, list[int] | None]:
        """How many images, and the label of each."""
        if run.classes is None:
            return self.count, None
        rows = min(len(run.classes), MOST_CLASSES)
        labels = [row for row in range(rows) for _ in range(self.columns)]
        return len(labels), labels
