"""Which images a grid of samples shows, and in which order."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from ..interfaces import ImageSpec, Run

MAX_SIDE = 1100  # pixels of a grid of moderate size
MAX_COLUMNS, MAX_ROWS, MAX_CLASSES = 8, 4, 10


@dataclass(frozen=True)
class SampleGrid:
    """A grid of generated images from fixed latents, or of real ones.

    A conditional run has a row for each class instead. If the generator asks for images of the data, such as a source
    image, these appear before each generated image, and the real image after it if the data are pairs.

    Attributes:
        count: images.
        columns: images per row.
        seed: of the latents.
        max_classes: rows of a conditional run, at most.
    """

    count: int
    columns: int
    seed: int = 0
    max_classes: int = 20

    @classmethod
    def of_moderate_size(cls, image: ImageSpec, seed: int = 0) -> SampleGrid:
        """A grid of as many images as fit into a picture of moderate size.

        Args:
            image: of the run.
            seed: of the latents.
        """
        columns = max(2, min(MAX_COLUMNS, MAX_SIDE // image.width))
        rows = max(1, min(MAX_ROWS, MAX_SIDE // image.height))
        return cls(columns * rows, columns, seed, MAX_CLASSES)

    def generated(self, run: Run) -> tuple[Tensor, int]:
        """Images of one size, uint8 [n c h w], and the number of images per row."""
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

    def real(self, run: Run) -> Tensor:
        """Real images uint8 [n c h w], of the same classes as the generated ones."""
        return run.real(*self._layout(run))

    def _layout(self, run: Run) -> tuple[int, list[int] | None]:
        """The number of images, and their labels."""
        if run.classes is None:
            return self.count, None
        rows = min(len(run.classes), self.max_classes)
        labels = [row for row in range(rows) for _ in range(self.columns)]
        return len(labels), labels


def _cell(images: Tensor, like: ImageSpec, colors: int, has_alpha: bool) -> Tensor:
    """Images uint8 [n c h w] in the size of the run's images, with 1 or 3 colors and perhaps an alpha channel."""
    sized = F.interpolate(images.float(), (like.height, like.width), mode="nearest-exact").byte()
    count = 3 if images.shape[1] >= 3 else 1
    color = sized[:, :count].expand(-1, colors, -1, -1)
    alpha = sized[:, count:] if images.shape[1] > count else torch.full_like(color[:, :1], 255)
    return torch.cat([color, alpha], dim=1) if has_alpha else color
