"""A trained generator from a checkpoint: no recipe, no data set, no discriminator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from ..data.resize import to_uint8
from ..interfaces import ImageSpec, Latent
from ..recipe.validation import validate
from ..registry import Params, signature_schema
from .interpolation import walk
from .samples import draw, images_of, sample_images

MAX_ELEMENTS = 2**31  # of the images drawn at once, which are 8 GiB until they are quantised


class TrainedGenerator:
    """A generator with all that sampling from it needs.

    Attributes:
        module: the network, in eval mode.
        image: what it makes.
        classes: names of its labels; None where it is unconditional.
        checkpoint: where it comes from.
        ema: whether its weights are the average.
    """

    def __init__(
        self,
        module: nn.Module,
        latent: Latent,
        image: ImageSpec,
        classes: tuple[str, ...] | None,
        frequencies: list[float] | None,
        checkpoint: Path,
        ema: bool,
    ) -> None:
        self.module, self.image, self.classes, self.checkpoint = module, image, classes, checkpoint
        self.ema = ema
        self._latent, self._frequencies = latent, frequencies

    @property
    def options(self) -> type[Params]:
        """The schema of its sampling options: the keyword-only parameters of ``forward``, such as ``truncation``."""
        return signature_schema(self.module.forward, ("z", "labels"), f"{type(self.module).__name__}.forward")

    def sample(self, count: int, seed: int = 0, labels: Sequence[int] | None = None, **options: Any) -> Tensor:
        """Generated images, uint8 [count c h w]: the same for the same seed.

        Args:
            count: how many, from 1 on.
            seed: of the latents, which are drawn on the CPU; from 0 on.
            labels: a class for each image; None follows the data's class frequencies.
            options: the network's sampling options.

        Raises:
            ValueError: a number, labels or options that it does not take.
        """
        self._require(count, 1, seed, labels)
        checked = self._check(options)
        return sample_images(self.module, self._latent, self.image, count, seed, labels, self._frequencies, checked)

    def interpolate(
        self, count: int, steps: int, seed: int = 0, labels: Sequence[int] | None = None, **options: Any
    ) -> Tensor:
        """A closed walk over the latents of ``count`` images, uint8 [count steps c h w]: the same for the same seed.

        Row i goes from image i of `sample` in equal steps towards image i + 1, and the last row back to the first.
        What lies between two latents, the latent distribution says (`gankit.Latent`).

        Args:
            count: how many latents to walk over, from 2 on.
            steps: images from one of them to the next, from 1 on.
            seed: as in `sample`.
            labels: a class for each row; None follows the data's class frequencies.
            options: the network's sampling options.

        Raises:
            ValueError: a number, labels or options that it does not take.
        """
        if count < 2 or steps < 1:
            raise ValueError(f"a walk is over 2 latents or more, 1 step or more each; got {count!r}, {steps!r} steps")
        self._require(count, steps, seed, labels)
        checked = self._check(options)
        z, chosen = draw(self._latent, self.image, count, seed, labels, self._frequencies)
        rows = None if chosen is None else chosen.repeat_interleave(steps)
        images = to_uint8(images_of(self.module, walk(self._latent, z, steps).flatten(0, 1), rows, seed, checked))
        walked: Tensor = images.unflatten(0, (count, steps))
        return walked

    def _require(self, count: int, steps: int, seed: int, labels: Sequence[int] | None) -> None:
        if count < 1 or not 0 <= seed < 2**63:
            raise ValueError(f"count is 1 or more and seed 0 to 2^63 - 1; got count {count!r}, seed {seed!r}")
        elements = count * steps * self.image.channels * self.image.height * self.image.width
        if elements > MAX_ELEMENTS:
            raise ValueError(
                f"{count * steps} images are {elements:,} numbers, beyond {MAX_ELEMENTS:,}; draw fewer at a time"
            )
        if labels is not None and not (
            isinstance(labels, Sequence) and all(isinstance(label, int) and label is not True for label in labels)
        ):
            raise ValueError(f"labels are a list of whole numbers, one an image; got {labels!r}")

    def _check(self, options: Mapping[str, Any]) -> dict[str, Any]:
        if not options:
            return {}
        params, problems = validate(self.options, options)
        if params is None:
            raise ValueError("; ".join(f"sampling option '{problem.path}': {problem.message}" for problem in problems))
        return params.at(0)
