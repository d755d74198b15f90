"""The interfaces of feature extractors and metrics."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from torch import Tensor


class Features(Protocol):
    """A feature extractor for metrics. Built as ``factory(**params)``. Shapes: ``f`` features, ``k`` classes.

    If it is an `nn.Module`, gankit moves it to the device and sets eval mode.

    Optional:

    - ``logits(features)`` maps features [n f] to class logits [n k]. Metrics that use logits require it.
    - ``established`` maps scores to their usual names, such as ``{"fd": "FID"}``. Other scores are named after metric
      and extractor, such as ``fd_<extractor>``.
    """

    hash: str
    """SHA-256 of the weights, in hexadecimal."""

    resizer: str
    """A description of how images are resized for the network. It is recorded with the scores."""

    def __call__(self, images: Tensor) -> Tensor:
        """Compute features fp32 [n f] of images uint8 [n c h w]. Raises: ValueError: it does not support the images."""


class Metric:
    """A score of generated images. Built anew for each evaluation as ``factory(**params)``.

    It must have ``uses``, ``update`` and ``compute``; the rest is optional. The methods are declared only for type
    checkers.
    """

    uses: Literal["features", "logits"]
    """The values passed to `update`."""

    needs_real: bool
    """False if the metric does not use real images."""

    better: Mapping[str, Literal["lower", "higher"]]
    """Which values of each score are better. A score that is missing here does not rank runs. Without the attribute,
    lower is better for all scores."""

    if TYPE_CHECKING:

        def update(self, values: Tensor, real: bool, /) -> None:
            """Add a batch.

            Args:
                values: features [n f] or class logits [n k], fp32 on the CPU. Real images come first.
                real: whether the images are real.
            """

        def compute(self) -> Mapping[str, float]:
            """The scores by name. Raises: ValueError: there are too few images."""

        def require(self, real: int, generated: int, /) -> None:
            """Called with the numbers of images before any is processed. Raises: ValueError: they are too few."""

        def caution(self) -> str | None:
            """Called after `compute`. Returns: a sentence if the scores are less reliable than usual, which is printed
            and recorded."""
