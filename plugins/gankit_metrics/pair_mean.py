"""The mean over images of a value of each pair. Shapes: ``n`` images, ``c`` channels, ``h`` height, ``w`` width."""

from __future__ import annotations

from torch import Tensor


class PairMean:
    """Base of metrics of pairs: ``compute`` returns the mean of what ``compare`` returns, under the name `score`.

    Attributes:
        score: the name.
    """

    pairs = True
    score: str

    def __init__(self) -> None:
        self._sum, self._count = 0.0, 0

    def compare(self, generated: Tensor, real: Tensor) -> Tensor:
        """A value [n] of each pair of images uint8 [n c h w]."""
        raise NotImplementedError

    def update(self, generated: Tensor, real: Tensor) -> None:
        """Add pairs of images uint8 [n c h w]."""
        values = self.compare(generated, real)
        self._sum += float(values.cpu().double().sum())
        self._count += len(values)

    def compute(self) -> dict[str, float]:
        """The mean. Raises: ValueError: there are no images."""
        if self._count == 0:
            raise ValueError("at least one image is needed")
        return {self.score: self._sum / self._count}
