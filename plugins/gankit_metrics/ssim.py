"""The structural similarity index."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from .optional_imports import import_optional
from .pair_mean import PairMean

WINDOW = 11  # pixels
SIGMA = 1.5


class SSIM(PairMean):
    """Structural similarity of each generated image and its real partner, averaged over images.

    ``ssim`` compares means, variances and the covariance in Gaussian windows of 11 x 11 pixels with standard deviation
    1.5, with K1 = 0.01 and K2 = 0.03 (Wang et al., "Image Quality Assessment: From Error Visibility to Structural
    Similarity", 2004, eq. 13). It is averaged over all windows inside the image and over the channels, and is 1 for
    equal images. Computed by torchmetrics.
    """

    score = "ssim"
    better: Mapping[str, str] = {"ssim": "higher"}

    def __init__(self) -> None:
        super().__init__()
        self._library = import_optional("torchmetrics.functional.image", "torchmetrics", "metric 'ssim'")

    def compare(self, generated: Tensor, real: Tensor) -> Tensor:
        """The similarity [n] of pairs of images uint8 [n c h w]. Raises: ValueError: they are smaller than a window."""
        height, width = real.shape[2:]
        if min(height, width) < WINDOW:
            raise ValueError(
                f"needs images of at least {WINDOW} x {WINDOW} pixels; these have {height} x {width}: leave it out"
            )
        _, maps = self._library.structural_similarity_index_measure(
            _to_double(generated),  # in fp32, the variance of bright areas is lost
            _to_double(real),
            gaussian_kernel=True,
            sigma=SIGMA,
            reduction="none",
            data_range=255.0,
            k1=0.01,
            k2=0.03,
            return_full_image=True,
        )
        border = WINDOW // 2  # torchmetrics pads the images, and its versions differ in how they average
        inside: Tensor = maps[:, :, border : height - border, border : width - border]
        return inside.mean(dim=(1, 2, 3))


def _to_double(images: Tensor) -> Tensor:
    return (images.cpu() if images.device.type == "mps" else images).double()  # MPS has no fp64
