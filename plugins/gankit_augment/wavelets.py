"""The orthogonal wavelets of ADA's low-pass filters."""

from __future__ import annotations

import torch
from torch import Tensor

# symlets of two and of six vanishing moments (Daubechies, Ten Lectures on Wavelets, table 6.3)
SYM2 = (-0.12940952255092145, 0.22414386804185735, 0.836516303737469, 0.48296291314469025)
SYM6 = (
    0.015404109327027373,
    0.0034907120842174702,
    -0.11799011114819057,
    -0.048311742585633,
    0.4910559419267466,
    0.787641141030194,
    0.3379294217276218,
    -0.07263752278646252,
    -0.021060292512300564,
    0.04472490177066578,
    0.0017677118642428036,
    -0.007800708325034148,
)


def reflected(positions: Tensor, length: int) -> Tensor:
    """Indices [...] into a row of ``length`` pixels, reflected at its ends as often as needed."""
    period = max(2 * (length - 1), 1)
    positions = positions % period
    return torch.minimum(positions, period - positions) if length > 1 else torch.zeros_like(positions)
