"""ADA's pixel blits and geometric transformations, each image's composed into one (arXiv 2006.06676, appendix B)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

import gankit

from .random_apply import apply_where
from .affine_resampling import AffineResampling
from .affine_matrices import draw_blits, draw_geometry
from .wavelets import reflected


class GeometricTransform(nn.Module):
    """Draws a transformation for each image, and moves its pixels.

    Where nothing but blits was drawn, pixels are copied. As published, these too go through the filters of the
    resampling, which leave flips and quarter turns slightly soft, since the wavelet is not quite symmetric.
    """

    def __init__(self, image: gankit.ImageSpec) -> None:
        super().__init__()
        self.resample = AffineResampling(image)
        # turned by 90 degrees, the pixels of other sizes fall between pixels
        self.blits_are_exact = (image.height - image.width) % 2 == 0

    def forward(self, images: Tensor, blit: Tensor | None, geom: Tensor | None) -> Tensor:
        """Images [n c h w] to the same shape; each of the blits with probability ``blit``, of the rest with ``geom``.

        None leaves them out.
        """
        matrix = torch.eye(3, dtype=images.dtype, device=images.device).expand(len(images), 3, 3)
        blitted = resampled = torch.zeros(len(images), dtype=torch.bool, device=images.device)
        if blit is not None:
            matrix, blitted = draw_blits(images, blit)
        if geom is not None:
            further, resampled = draw_geometry(images, geom)
            matrix = matrix @ further
        if self.blits_are_exact:
            if blit is not None:
                images_blitted = apply_where(blitted & ~resampled, copy_pixels, images, matrix)
            else:
                images_blitted = images
        else:
            images_blitted, resampled = images, resampled | blitted
        if geom is None and self.blits_are_exact:
            return images_blitted
        return apply_where(resampled, self.resample, images_blitted, matrix)


def copy_pixels(images: Tensor, matrix: Tensor) -> Tensor:
    """Images [n c h w] whose pixels are copied from where ``matrix`` [n 3 3] says, which is from pixel to pixel.

    They are mirrored at their outermost pixels, once; beyond that there are zeros.
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
        return copied  # no blit reaches further
    inside = (row > -height) & (row < 2 * height - 1) & (column > -width) & (column < 2 * width - 1)
    return copied * inside[:, None]
