"""The peak signal-to-noise ratio."""

from __future__ import annotations

import math
from collections.abc import Mapping

from torch import Tensor

from .optional_imports import import_optional
from .pair_mean import PairMean

PEAK = 255.0


class PSNR(PairMean):
    """Peak signal-to-noise ratio of each generated image and its real partner in dB, averaged over images.

    ``psnr`` is 10 log10(255^2 / MSE), where MSE is the mean squared error of an image over all pixels and channels.
    Computed by torchmetrics. An exact copy counts as if one of its values were wrong by 1, so that the mean is finite.
    """

    score = "psnr"
    better: Mapping[str, str] = {"psnr": "higher"}

    def __init__(self) -> None:
        super().__init__()
        self._library = import_optional("torchmetrics.functional.image", "torchmetrics", "metric 'psnr'")

    def compare(self, generated: Tensor, real: Tensor) -> Tensor:
        """The ratio [n] of pairs of images uint8 [n c h w]."""
        ratios: Tensor = self._library.peak_signal_noise_ratio(
            generated.float(), real.float(), data_range=PEAK, reduction="none", dim=(1, 2, 3)
        )
        return ratios.clamp(max=10 * math.log10(PEAK**2 * real[0].numel()))
