"""AdaptiveProbability discriminator augmentation, as published (arXiv 2006.06676)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, PositiveInt
from torch import Tensor

import gankit

from .adaptive_probability import AdaptiveProbability, Probability, Target
from .ada_corruptions import cutout, noise
from .ada_filter import FrequencyFilter
from .ada_geometry import GeometricTransform
from .ada_color import ColorTransform

Policy = Literal["blit", "geom", "color", "filter", "noise", "cutout"]


class ADA(AdaptiveProbability):
    """AdaptiveProbability discriminator augmentation (arXiv 2006.06676, appendix B): each operation with probability p.

    p rises while D tells the reals apart too surely and falls otherwise: every ``interval`` of D's turns, r_t =
    E[sign(D(real))] over them moves p by the images shown since, divided by ``speed``, up where r_t is above ``target``
    and down where it is not. p travels in checkpoints, and is reported as ``ada_p``.

    It differs from the authors' code in two things: p ends at 1, where more would change nothing but the way back; and
    where nothing but blits is drawn for an image, its pixels are copied, not resampled.

    Args:
        image: what the images are like.
        policy: which operations: ``blit`` (flip, quarter turns, whole pixels), ``geom`` (scale, rotation, stretch,
            translation), ``color`` (brightness, contrast, inverted luma, hue, saturation), ``filter`` (four frequency
            bands), ``noise``, ``cutout``. They are applied in this order. The default is the paper's best for CIFAR-10.
        p: the probability to begin with; with ``target: null``, the probability.
        target: of r_t; null keeps p as it is given, a number or a schedule.
        speed: images that it takes p to go from 0 to 1.
        interval: turns of D from one adjustment to the next.
        share: a policy's own probability is p times its share, 1 where it is not named.

    Raises:
        ValueError: a policy is given twice, a share is of a policy that is not given, or ``color`` is to be applied
            to images that have neither one channel nor three.
    """

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
        self.placement = GeometricTransform(image) if {"blit", "geom"} & set(policy) else None
        self.recoloring = ColorTransform(image.channels) if "color" in policy else None
        self.bands = FrequencyFilter(image) if "filter" in policy else None

    def forward(self, images: Tensor) -> Tensor:
        """Images [n c h w] to the same shape."""
        p = {policy: self.probability() * self.share.get(policy, 1.0) for policy in self.policy}
        if self.placement is not None:
            images = self.placement(images, p.get("blit"), p.get("geom"))
        if self.recoloring is not None:
            images = self.recoloring(images, p["color"])
        if self.bands is not None:
            images = self.bands(images, p["filter"])
        if "noise" in p:
            images = noise(images, p["noise"])
        if "cutout" in p:
            images = cutout(images, p["cutout"])
        return images

    def after(self, turn: gankit.Turn) -> gankit.Scalars:
        """Adjust p; it is reported as ``ada_p``."""
        if turn.player != "discriminator":
            return {}
        self.follow(turn)
        return {"ada_p": self.probability()}

    def extra_repr(self) -> str:
        aim = "fixed" if self.target is None else f"target {self.target}"
        return f"{', '.join(self.policy)}; {aim}"


def _check(image: gankit.ImageSpec, policy: tuple[Policy, ...], share: Mapping[Policy, float]) -> None:
    known = "blit, geom, color, filter, noise, cutout"
    if len(set(policy)) < len(policy):
        raise ValueError(f"policy {list(policy)} names one twice; give each of {known} once")
    if stray := [name for name in share if name not in policy]:
        raise ValueError(f"share is given for '{stray[0]}', which policy {list(policy)} lacks; add it there")
    if "color" in policy and image.channels not in (1, 3):
        raise ValueError(
            f"ada's policy 'color' is made for 1 or 3 channels, and the images have {image.channels}; leave it out"
        )
