"""ADA's image-space filtering: amplifies or weakens four frequency bands (arXiv 2006.06676, appendix B).

Shapes: ``n`` images, ``c`` channels, ``h`` height, ``w`` width, ``b`` bands, ``t`` taps of a filter.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

import gankit

from .random_apply import apply_where, bernoulli
from .wavelets import SYM2, reflected

BANDS = 4  # of one octave each, except for the lowest
GAIN_STD = 1.0  # of log2 of a band's gain
EXPECTED_POWER = (10 / 13, 1 / 13, 1 / 13, 1 / 13)  # of the bands of a natural image (1/f spectrum), lowest first


class FrequencyFilter(nn.Module):
    """Filters images with a random gain for each of four bands, normalized to keep the expected power.

    A filter is a linear map of the rows and the columns of an image, with mirrored borders.
    """

    along_height: Tensor
    along_width: Tensor
    power: Tensor

    def __init__(self, image: gankit.ImageSpec) -> None:
        super().__init__()
        bank = torch.tensor(filter_bank())
        self.register_buffer("along_height", _filter_matrices(bank, image.height), persistent=False)  # [b h h]
        self.register_buffer("along_width", _filter_matrices(bank, image.width), persistent=False)  # [b w w]
        self.register_buffer("power", torch.tensor(EXPECTED_POWER, dtype=torch.float64), persistent=False)

    def forward(self, images: Tensor, p: Tensor) -> Tensor:
        """Images [n c h w] to the same shape; each band's gain is drawn with probability ``p``."""
        gains, active = self.draw(images, p)
        return apply_where(active, self.apply_gains, images, gains)

    def draw(self, images: Tensor, p: Tensor) -> tuple[Tensor, Tensor]:
        """Draw gains [n b], and a mask [n] of the images for which any was drawn.

        After each band's gain is drawn, all gains are normalized to the expected power.
        """
        gains = torch.ones(len(images), BANDS, dtype=images.dtype, device=images.device)
        active = torch.zeros(len(images), dtype=torch.bool, device=images.device)
        for band in range(BANDS):
            chosen = bernoulli(images, p)
            drawn = torch.ones_like(gains)
            drawn[:, band] = torch.exp2(torch.randn_like(gains[:, band]) * GAIN_STD * chosen)
            gains = gains * drawn / (self.power.to(drawn.dtype) * drawn.square()).sum(1, keepdim=True).sqrt()
            active = active | chosen
        return gains, active

    def apply_gains(self, images: Tensor, gains: Tensor) -> Tensor:
        """Filter images [n c h w] with ``gains`` [n b]."""
        rows = torch.einsum("nb,bij->nij", gains, self.along_height.to(gains.dtype))[:, None]
        columns = torch.einsum("nb,bij->nij", gains, self.along_width.to(gains.dtype))[:, None]
        return rows @ images @ columns.mT


def filter_bank() -> NDArray[np.float64]:
    """Filters [b t] of the bands, which sum to the identity (appendix B, H(z) of sym2)."""
    low: NDArray[np.float64] = np.asarray(SYM2)
    high: NDArray[np.float64] = low * (-1.0) ** np.arange(len(low))
    low, high = np.convolve(low, low[::-1]) / 2, np.convolve(high, high[::-1]) / 2
    bank: NDArray[np.float64] = np.eye(BANDS, 1)
    for band in range(1, BANDS):
        spread = np.zeros((BANDS, 2 * bank.shape[1] - 1))
        spread[:, ::2] = bank
        bank = np.stack([np.convolve(row, low) for row in spread])
        middle = (bank.shape[1] - len(high)) // 2
        bank[band, middle : middle + len(high)] += high
    return bank


def _filter_matrices(bank: Tensor, length: int) -> Tensor:
    """The filters [b t] as linear maps [b length length] of a row of pixels with mirrored ends."""
    taps = bank.shape[1]
    pixels = torch.arange(length)[:, None] + torch.arange(taps)[None] - taps // 2  # [length t]
    maps = torch.zeros(len(bank), length, length, dtype=bank.dtype)
    index = reflected(pixels, length).expand(len(bank), -1, -1)
    return maps.scatter_add(2, index, bank[:, None].expand(-1, length, -1))
