"""Penalties on the gradient of D's logits with respect to the images, computed through the augmentation.

Shapes: ``n`` images, ``c`` channels, ``h`` height, ``w`` width. Norms are over one image's gradient [c h w].
"""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field, PositiveFloat, PositiveInt
from torch import Tensor

import gankit

from .discriminator_outputs import to_full_precision

Weight = Annotated[gankit.Scheduled, Field(ge=0)]


class _ZeroCenteredPenalty:
    def __init__(self, *, gamma: Weight = 10.0, interval: PositiveInt = 1) -> None:
        self.gamma, self.interval = gamma, interval

    def _penalty(self, gradient: Tensor) -> Tensor:
        return self.gamma / 2 * _squared_norms(gradient).mean()


class R1(_ZeroCenteredPenalty):
    """Zero-centered penalty on reals: gamma / 2 times the mean squared norm (arXiv 1801.04406, eq. 9).

    Args:
        gamma: weight.
        interval: turns of D between applications.
    """

    def discriminator(self, turn: gankit.Turn) -> Tensor:
        return self._penalty(turn.gradient(turn.real))


class R2(_ZeroCenteredPenalty):
    """Zero-centered penalty on fakes: gamma / 2 times the mean squared norm (R2 of arXiv 1801.04406).

    Args:
        gamma: weight.
        interval: turns of D between applications.
    """

    def discriminator(self, turn: gankit.Turn) -> Tensor:
        return self._penalty(turn.gradient(turn.fake))


class GradientPenalty:
    """WGAN-GP: pulls gradient norms to 1 at random points between reals and fakes (arXiv 1704.00028, eq. 3).

    Each real is mixed with the fake of the same index, before augmentation, in a uniformly drawn proportion.

    Args:
        weight: lambda in the paper.
        interval: turns of D between applications.
    """

    def __init__(self, *, weight: Weight = 10.0, interval: PositiveInt = 1) -> None:
        self.weight, self.interval = weight, interval

    def discriminator(self, turn: gankit.Turn) -> Tensor:
        real, fake = turn.real.detach(), turn.fake.detach()
        share = turn.uniform().to(real.dtype)[:, None, None, None]
        return self.weight * _distance_to_one(turn.gradient(torch.lerp(real, fake, share)))


class DRAGAN:
    """DRAGAN: pulls gradient norms to 1 around the reals (arXiv 1705.07215, sec. 2.3).

    Each real is moved towards a noisy copy of itself, before augmentation, in a uniformly drawn proportion. The noise
    is uniform from 0 to ``spread`` times the standard deviation of the batch's values, as in the authors' code; under
    ``train.microbatch``, of the microbatch's values.

    Args:
        weight: lambda in the paper.
        spread: range of the noise, in standard deviations.
        interval: turns of D between applications.
    """

    def __init__(self, *, weight: Weight = 10.0, spread: PositiveFloat = 0.5, interval: PositiveInt = 1) -> None:
        self.weight, self.spread, self.interval = weight, spread, interval

    def discriminator(self, turn: gankit.Turn) -> Tensor:
        real = turn.real.detach()
        deviation = turn.mean((real - turn.mean(real.mean())).square().mean()).sqrt()  # over all processes
        share = turn.uniform().to(real.dtype)[:, None, None, None]
        noise = self.spread * deviation * turn.uniform(*real.shape[1:]).to(real.dtype)
        return self.weight * _distance_to_one(turn.gradient(real + share * noise))


def _squared_norms(gradient: Tensor) -> Tensor:
    """Squared norms [n] of gradients [n c h w]."""
    return to_full_precision(gradient).square().flatten(1).sum(1)


def _distance_to_one(gradient: Tensor) -> Tensor:
    """The mean squared distance of the norms of gradients [n c h w] from 1."""
    # unlike the root of a sum of squares, this norm has a finite derivative at 0
    norms: Tensor = torch.linalg.vector_norm(to_full_precision(gradient).flatten(1), dim=1)
    return (norms - 1).square().mean()
