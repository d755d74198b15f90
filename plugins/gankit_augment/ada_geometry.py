"""ADA's pixel blits and geometric transformations, one affine map per image (arXiv 2006.06676, appendix B)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

import gankit

from .affine_matrices import draw_blits, draw_geometry
from .affine_resampling import AffineResampling
from .random_apply import apply_where
from .wavelets import reflected


class GeometricTransform(nn.Module):
    """Draws an affine transformation for each image and applies it.

    If only blits are drawn for an image, its pixels are copied. The authors' code resamples in this case, too, which
    slightly blurs flips and quarter turns, since the wavelet is not quite symmetric.
    """

    def __init__(self, image: gankit.ImageSpec) -> None:
        super().__init__()
        self.resample = AffineResampling(image)
        # otherwise a quarter turn maps pixel centers between pixel centers
        self.blits_are_exact = (image.height - image.width) % 2 == 0

    def forward(self, images: Tensor, blit: Tensor | None, geom: Tensor | None) -> Tensor:
        """Images [n c h w] to the same shape.

        Args:
            images: [n c h w].
            blit: probability of each blit, 0-d; None for no blits.
            geom: probability of each geometric transformation, 0-d; None for none.
        """
        matrix = torch.eye(3, dtype=images.dtype, device=images.device).expand(len(images), 3, 3)
        blitted = resampled = torch.zeros(len(images), dtype=torch.bool, device=images.device)
        if blit is not None:
            matrix, blitted = draw_blits(images, blit)
        if geom is not None:
            further, resampled = draw_geometry(images, geom)
            matrix = matrix @ further
        if not self.blits_are_exact:
            return apply_where(resampled | blitted, self.resample, images, matrix)
        if blit is not None:
            images = apply_where(blitted & ~resampled, copy_pixels, images, matrix)
        return images if geom is None else apply_where(resampled, self.resample, images, matrix)


def copy_pixels(images: Tensor, matrix: Tensor) -> Tensor:
    """Copy the pixels of images [n c h w] from the positions given by ``matrix`` [n 3 3], which maps pixels to pixels.

    Images are extended by one reflection at their borders, and by zeros beyond.
    """
    n, channels, height, width = images.shape
    x = torch.arange(width, dtype=matrix.dtype, device=matrix.device) - (width - 1) / 2
    y = torch.arange(height, dtype=matrix.dtype, device=matrix.device) - (height - 1) / 2
    source = matrix[:, :2, 0, None, None] * x + matrix[:, :2, 1, None, None] * y[:, None] + matrix[:, :2, 2, None, None]
    column = (source[:, 0] + (width - 1) / 2).round().long()  # [n h w]
    row = (source[:, 1] + (height - 1) / 2).round().long()
    index = reflected(row, height) * width + reflected(column, width)
    copied = images.flatten(2).gather(2, index.view(n, 1, -1).expand(-1, channels, -1)).view(images.shape)
    if height == width:
        return copied  # blits of square images stay within the reflection
    inside = (row > -height) & (row < 2 * height - 1) & (column > -width) & (column < 2 * width - 1)
    return copied * inside[:, None]
