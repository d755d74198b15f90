"""Adaptive discriminator augmentation (ADA, arXiv 2006.06676)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, PositiveInt
from torch import Tensor

import gankit

from .ada_color import ColorTransform
from .ada_corruptions import cutout, noise
from .ada_filter import FrequencyFilter
from .ada_geometry import GeometricTransform
from .adaptive_probability import AdaptiveProbability, Probability, Target

Policy = Literal["blit", "geom", "color", "filter", "noise", "cutout"]


class ADA(AdaptiveProbability):
    """Adaptive discriminator augmentation (arXiv 2006.06676, appendix B): applies each operation with probability p.

    p is adapted to D's overfitting. Every ``interval`` of D's turns, it moves by the number of images shown since the
    last adjustment, divided by ``speed``: up if r_t = E[sign(D(real))] over these turns is above ``target``, down if it
    is below. p is stored in checkpoints and reported as ``ada_p``.

    It differs from the authors' code in two points. p is at most 1, since larger values have no further effect and
    only delay a later decrease. Where only blits are drawn for an image, its pixels are copied, not resampled.

    Args:
        image: size and channels of the images.
        policy: the operations: ``blit`` (flip, quarter turns, whole-pixel shifts), ``geom`` (scale, rotation, stretch,
            translation), ``color`` (brightness, contrast, inverted luma, hue, saturation), ``filter`` (four frequency
            bands), ``noise``, ``cutout``; applied in this order. The default is the paper's best for CIFAR-10.
        p: initial probability; with ``target: null``, the probability.
        target: of r_t; null keeps p as given, a number or a schedule.
        speed: number of images in which p goes from 0 to 1.
        interval: turns of D between adjustments.
        share: factors on p by operation; 1 for operations without one.

    Raises:
        ValueError: ``policy`` has duplicates, ``share`` names an operation that ``policy`` lacks, or ``color`` is used
            with images of neither one nor three channels.
    """

    reported_as = "ada_p"

    def __init__(
        self,
        image: gankit.ImageSpec,
        *,
        policy: Annotated[tuple[Policy, ...], Field(min_length=1)] = ("blit", "geom", "color"),
        p: Probability = 0.0,
        target: Target = 0.6,
        speed: PositiveInt = 500_000,
        interval: PositiveInt = 4,
        share: Mapping[Policy, Annotated[float, Field(ge=0, le=1)]] = {},
    ) -> None:
        super().__init__(p, target, speed, interval)
        _check(image, policy, share)
        self.policy, self.share = policy, dict(share)
        self.geometry = GeometricTransform(image) if {"blit", "geom"} & set(policy) else None
        self.color = ColorTransform(image.channels) if "color" in policy else None
        self.filter = FrequencyFilter(image) if "filter" in policy else None

    def forward(self, images: Tensor) -> Tensor:
        """Images [n c h w] to the same shape."""
        p = {policy: self.probability() * self.share.get(policy, 1.0) for policy in self.policy}
        if self.geometry is not None:
            images = self.geometry(images, p.get("blit"), p.get("geom"))
        if self.color is not None:
            images = self.color(images, p["color"])
        if self.filter is not None:
            images = self.filter(images, p["filter"])
        if "noise" in p:
            images = noise(images, p["noise"])
        if "cutout" in p:
            images = cutout(images, p["cutout"])
        return images

    def extra_repr(self) -> str:
        aim = "fixed" if self.target is None else f"target {self.target}"
        return f"{', '.join(self.policy)}; {aim}"


def _check(image: gankit.ImageSpec, policy: tuple[Policy, ...], share: Mapping[Policy, float]) -> None:
    known = "blit, geom, color, filter, noise, cutout"
    if len(set(policy)) < len(policy):
        raise ValueError(f"policy {list(policy)} has duplicates; give each of {known} at most once")
    if stray := [name for name in share if name not in policy]:
        raise ValueError(f"share names '{stray[0]}', which policy {list(policy)} lacks; add it to policy")
    if "color" in policy and image.channels not in (1, 3):
        raise ValueError(
            f"ada's policy 'color' needs 1 or 3 channels, but the images have {image.channels}; remove it from policy"
        )
