"""The callback ``sample_images``: grids of generated images from fixed latents, and of real images."""

from __future__ import annotations

import torch
from pydantic import NonNegativeInt, PositiveInt
from torch import Tensor
from torch.nn import functional as F

import gankit

from .step_interval import PeriodicImage, StepInterval

REAL = "real_samples.png"
MAX_CLASSES = 20


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
        self.count, self.columns, self.seed = count, columns, seed
        super().__init__(StepInterval(every))
        self._reals_pending = True

    def on_run_start(self, run: gankit.Run) -> None:
        super().on_run_start(run)
        self._reals_pending = True

    def on_step_end(self, run: gankit.Run) -> None:
        if self._reals_pending:
            self._reals_pending = False
            if run.state.step == 1 or not (run.directory / REAL).exists():
                count, labels = self._layout(run)
                images = run.real(count, labels)
                self._draw(run, REAL, lambda path: gankit.save_grid(images, path, self.columns))
        super().on_step_end(run)

    def _write(self, run: gankit.Run) -> None:
        images, columns = self._generate(run)
        name = f"fake_samples_epoch_{run.epoch:03d}.png"
        self._draw(run, name, lambda path: gankit.save_grid(images, path, columns))

    def _generate(self, run: gankit.Run) -> tuple[Tensor, int]:
        """Images of one size [n c h w], and how many stand in a row."""
        items = {name: images for name, images in run.inputs(self.count, self.seed).items() if images.dim() == 4}
        sources = [images for name, images in items.items() if name != "image"]
        if not sources:
            count, labels = self._layout(run)
            return run.sample(count, self.seed, labels), self.columns
        targets = [items["image"]] if "image" in items else []
        width = len(sources) + 1 + len(targets)
        count = max(1, self.count // width)
        row = [*sources, run.sample(count, self.seed), *targets]
        colors = 3 if any(images.shape[1] >= 3 for images in row) else 1
        has_alpha = any(images.shape[1] in (2, 4) for images in row)
        cells = [_cell(images[:count], run.image, colors, has_alpha) for images in row]
        return torch.stack(cells, dim=1).flatten(0, 1), max(1, self.columns // width) * width

    def _layout(self, run: gankit.Run) -> tuple[int, list[int] | None]:
        """The number of images, and their labels."""
        if run.classes is None:
            return self.count, None
        rows = min(len(run.classes), MAX_CLASSES)
        labels = [row for row in range(rows) for _ in range(self.columns)]
        return len(labels), labels


def _cell(images: Tensor, like: gankit.ImageSpec, colors: int, has_alpha: bool) -> Tensor:
    """Images uint8 [n c h w] in the size of the run's images, with 1 or 3 colors and perhaps an alpha channel."""
    sized = F.interpolate(images.float(), (like.height, like.width), mode="nearest-exact").byte()
    count = 3 if images.shape[1] >= 3 else 1
    color = sized[:, :count].expand(-1, colors, -1, -1)
    alpha = sized[:, count:] if images.shape[1] > count else torch.full_like(color[:, :1], 255)
    return torch.cat([color, alpha], dim=1) if has_alpha else color
