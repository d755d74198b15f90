"""The callback ``sample_images``: grids of generated images from fixed latents, and of real images."""

from __future__ import annotations

from pydantic import NonNegativeInt, PositiveInt

import gankit

from .periodic_image import PeriodicImage

REAL = "real_samples.png"


class SampleImages(PeriodicImage):
    """Writes ``real_samples.png`` once and ``fake_samples_epoch_000.png``, ... during training.

    The file of an epoch is overwritten every ``every`` steps, at the first step of the run, and at the last, always
    from the same latents. In a conditional run each row shows one class, for the first 20 classes. Images below 64 px
    are enlarged by an integer factor; larger ones keep their size.

    If the generator asks for images of the data, such as a source image, these stand before each generated image, and
    the real image after it if the data are pairs. The items are held out from training if the dataset supports it.

    Args:
        every: steps between grids.
        count: images in a grid; a conditional run has ``columns`` images per class instead.
        columns: images per row.
        seed: of the latents.
    """

    def __init__(
        self, *, every: PositiveInt = 100, count: PositiveInt = 64, columns: PositiveInt = 8, seed: NonNegativeInt = 0
    ) -> None:
        self._grid = gankit.SampleGrid(count, columns, seed)
        super().__init__(gankit.StepInterval(every))
        self._reals_pending = True

    def on_run_start(self, run: gankit.Run) -> None:
        super().on_run_start(run)
        self._reals_pending = True

    def on_step_end(self, run: gankit.Run) -> None:
        if self._reals_pending:
            self._reals_pending = False
            if run.state.step == 1 or not (run.directory / REAL).exists():
                images = self._grid.real(run)
                self._draw(run, REAL, lambda path: gankit.save_grid(images, path, self._grid.columns))
        super().on_step_end(run)

    def _write(self, run: gankit.Run) -> None:
        images, columns = self._grid.generated(run)
        name = f"fake_samples_epoch_{run.epoch:03d}.png"
        self._draw(run, name, lambda path: gankit.save_grid(images, path, columns))
