"""Adaptive discriminator augmentation, as published (arXiv 2006.06676)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn

import gankit

from .corruption import cutout, noise
from .frequency_bands import FrequencyBands
from .placement import Placement
from .recoloring import Recoloring

Policy = Literal["blit", "geom", "color", "filter", "noise", "cutout"]
Probability = Annotated[gankit.Scheduled, Field(ge=0, le=1)]


class ADA(nn.Module):
    """Adaptive discriminator augmentation (arXiv 2006.06676, appendix B): each operation with probability p.

    p rises while D tells the reals apart too surely and falls otherwise, by the sign of D's logits on the reals: every
    ``interval`` of D's turns, r_t = E[sign(D(real))] over them moves p by the images shown since, divided by
    ``speed``, up where r_t is above ``target`` and down where it is not. p stays in [0, 1]. It is kept in checkpoints.

    Where the policies are drawn and where p lies are the same device, which is never waited for.

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

    adapted: Tensor
    signs: Tensor
    turns: Tensor
    since: Tensor

    def __init__(
        self,
        image: gankit.ImageSpec,
        *,
        policy: Annotated[tuple[Policy, ...], Field(min_length=1)] = ("blit", "geom", "color"),
        p: Probability = 0.0,
        target: Annotated[float, Field(gt=-1, lt=1)] | None = 0.6,
        speed: PositiveInt = 500_000,
        interval: PositiveInt = 4,
        share: Mapping[Policy, Annotated[float, Field(ge=0, le=1)]] = {},
    ) -> None:
        super().__init__()
        _check(image, policy, share)
        self.policy, self.share = policy, dict(share)
        self.target, self.speed, self.interval = target, speed, interval
        self._p = float(p)
        self.placement = Placement(image) if {"blit", "geom"} & set(policy) else None
        self.recoloring = Recoloring(image.channels) if "color" in policy else None
        self.bands = FrequencyBands(image) if "filter" in policy else None
        self.register_buffer("adapted", torch.tensor(self._p))
        self.register_buffer("signs", torch.zeros(()))  # summed since the last adjustment, as are the turns
        self.register_buffer("turns", torch.zeros((), dtype=torch.int64))
        self.register_buffer("since", torch.full((), -1, dtype=torch.int64))  # images shown by then; -1: none yet

    @property
    def p(self) -> float:
        """The probability as the recipe gives it: to begin with, or altogether without a target."""
        return self._p

    @p.setter
    def p(self, value: float) -> None:
        if self.target is not None and value != self._p:
            raise ValueError(f"ada adapts p to target {self.target}: give p as a number, or target: null to schedule p")
        self._p = value

    def probability(self, policy: Policy) -> Tensor:
        """With which the operations of ``policy`` are applied now, 0-d."""
        p = torch.full_like(self.adapted, self._p) if self.target is None else self.adapted
        return p * self.share.get(policy, 1.0)

    def forward(self, images: Tensor) -> Tensor:
        """Images [n c h w] to the same shape."""
        p = {policy: self.probability(policy) for policy in self.policy}
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
        """Adjust p, every ``interval`` of D's turns; it is reported as ``ada_p``."""
        if turn.player != "discriminator":
            return {}
        if self.target is None:
            return {"ada_p": torch.full_like(self.adapted, self._p)}
        # images_seen counts those of all processes, whose signs are averaged likewise: p is the same in all of them
        self.since.copy_(torch.where(self.since < 0, turn.images_seen, self.since))
        self.signs += turn.mean(turn.real_logits.sign().mean().to(self.signs.dtype))
        self.turns += 1
        due = self.turns == self.interval
        way = (self.signs / self.turns - self.target).sign() * due
        self.adapted.add_(way * (turn.images_seen - self.since) / self.speed).clamp_(0, 1)
        self.since.copy_(torch.where(due, turn.images_seen, self.since))
        self.signs *= ~due
        self.turns *= ~due
        return {"ada_p": self.adapted.clone()}

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
