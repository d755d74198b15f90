"""The interfaces of feature extractors and metrics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol

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

    It must have ``update`` and ``compute``, and ``uses`` or ``pairs``; the rest is optional. The methods are declared
    only for type checkers.
    """

    uses: Literal["features", "logits"]
    """The values passed to `update`. Metrics of pairs have none."""

    pairs: bool
    """True if the metric compares each generated image with its real partner, and not two sets of images.

    Each image is then generated from the fields and the label of a real item, whose image is its partner."""

    hash: str
    """SHA-256 of the weights of a metric of pairs that uses a network. Scores are comparable only if it is the same.
    It is read after `compute`."""

    needs_real: bool
    """False if the metric does not use real images. Metrics of pairs always do."""

    needs_all_real: bool
    """True if the scores have their meaning only if all images of the dataset are given. Otherwise, gankit prints and
    records a caution."""

    better: Mapping[str, Literal["lower", "higher"]]
    """Which values of each score are better. A score that is missing here does not rank runs. Without the attribute,
    lower is better for all scores."""

    if TYPE_CHECKING:

        def update(self, values: Tensor, real: Any, /) -> None:
            """Add a batch.

            Args:
                values: features [n f] or class logits [n k], fp32 on the CPU. Real images come first. For metrics of
                    pairs, generated images uint8 [n c h w] on the device of the evaluation.
                real: whether the images are real. For metrics of pairs, the partner of each image, uint8 [n c h w].
            """

        def compute(self) -> Mapping[str, float]:
            """The scores by name. Raises: ValueError: there are too few images."""

        def require(self, real: int, generated: int, /) -> None:
            """Called with the numbers of images before any is processed. Raises: ValueError: they are too few."""

        def caution(self) -> str | None:
            """Called after `compute`. Returns: a sentence if the scores are less reliable than usual, which is printed
            and recorded."""

        def details(self) -> Sequence[str]:
            """Called after `compute`. Returns: lines about single images, which are printed and recorded."""
