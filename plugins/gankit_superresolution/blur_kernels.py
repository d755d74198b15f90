"""Blur kernels of Real-ESRGAN (arXiv 2107.10833, sec. 3.2 and 3.3).

A kernel is an fp64 tensor [k k] with an odd side k and a sum of 1.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .item_random import ItemRandom

SIDES = (7, 9, 11, 13, 15, 17, 19, 21)
SINC_CHANCE = 0.1
SHAPES = ("gaussian", "generalized", "plateau")
SHAPE_WEIGHTS = (0.70, 0.15, 0.15)
ISOTROPIC_CHANCE = {"gaussian": 0.45 / 0.70, "generalized": 0.12 / 0.15, "plateau": 0.12 / 0.15}
BETA = {"gaussian": (1.0, 1.0), "generalized": (0.5, 4.0), "plateau": (1.0, 2.0)}
SMALL_SIDE, SMALL_CUTOFF, CUTOFF = 11, math.pi / 3, math.pi / 5


def random_kernel(random: ItemRandom, sigma: tuple[float, float]) -> Tensor:
    """A random kernel of any kind, with standard deviations from the range ``sigma``, in pixels."""
    side = random.choose(SIDES)
    if random.chance(SINC_CHANCE):
        return sinc_kernel(side, random.uniform(SMALL_CUTOFF if side <= SMALL_SIDE else CUTOFF, math.pi))
    shape = random.choose(SHAPES, SHAPE_WEIGHTS)
    first = random.uniform(*sigma)
    isotropic = random.chance(ISOTROPIC_CHANCE[shape])
    second, angle = (first, 0.0) if isotropic else (random.uniform(*sigma), random.uniform(-math.pi, math.pi))
    low, high = BETA[shape]  # as often below 1 as above, as in the authors' code
    beta = random.uniform(low, 1.0) if random.chance(0.5) else random.uniform(1.0, high)
    return bell_kernel(side, first, second, angle, beta, plateau=shape == "plateau")


def random_sinc_kernel(random: ItemRandom) -> Tensor:
    """A random sinc kernel for the end of the degradation."""
    return sinc_kernel(random.choose(SIDES), random.uniform(SMALL_CUTOFF, math.pi))


def bell_kernel(side: int, first: float, second: float, angle: float, beta: float, plateau: bool) -> Tensor:
    """A generalized Gaussian or a plateau, as functions of the squared distance from the center d = x^T S^-1 x.

    They are exp(-d^beta / 2), a Gaussian for beta = 1, and 1 / (1 + d^beta).

    Args:
        side: k.
        first: standard deviation along the first axis, in pixels.
        second: standard deviation along the second axis.
        angle: of the first axis, from x to y, in radians.
        beta: shape parameter.
        plateau: whether it is a plateau.
    """
    y, x = _grid(side)
    along, across = x * math.cos(angle) + y * math.sin(angle), y * math.cos(angle) - x * math.sin(angle)
    power = ((along / first).square() + (across / second).square()) ** beta
    values = (1 + power).reciprocal() if plateau else torch.exp(-power / 2)
    return values / values.sum()


def sinc_kernel(side: int, cutoff: float) -> Tensor:
    """The ideal low-pass filter with a circular passband (eq. 6), which causes ringing and overshoot.

    Args:
        side: k.
        cutoff: the largest angular frequency that passes, in radians per pixel, up to pi.
    """
    y, x = _grid(side)
    radius = torch.hypot(x, y)
    radius[side // 2, side // 2] = 1.0  # not used
    values: Tensor = cutoff / (2 * math.pi * radius) * torch.special.bessel_j1(cutoff * radius)
    values[side // 2, side // 2] = cutoff**2 / (4 * math.pi)  # the limit at radius 0
    return values / values.sum()


def _grid(side: int) -> tuple[Tensor, Tensor]:
    """y and x of each pixel [k k], from the center."""
    steps = torch.arange(side, dtype=torch.float64, device="cpu") - side // 2
    y, x = torch.meshgrid(steps, steps, indexing="ij")
    return y, x
