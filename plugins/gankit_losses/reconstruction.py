"""Regularizers of G that compare its images with the real ones, pixel by pixel, or smooth them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat
from torch import Tensor
from torch.nn import functional as F

import gankit


class Reconstruction(gankit.Regularizer):
    """The distance of G's images to a field of the data, by default to the real images themselves.

    ``l1`` is the mean absolute error, as in pix2pix (arXiv 1611.07004, equation 3), ``l2`` the mean squared error, and
    ``charbonnier`` the mean of ``sqrt(error^2 + epsilon^2)`` (arXiv 1710.01992, section 3.3). Pixels are in [-1, 1].

    Args:
        weight: of the distance; pix2pix uses 100.
        distance: how errors of pixels are measured.
        target: the field that is compared, whose images have the shape of the generated ones.
        epsilon: of ``charbonnier``, in units of pixel values.
    """

    def __init__(
        self,
        *,
        weight: gankit.Scheduled = 100.0,
        distance: Literal["l1", "l2", "charbonnier"] = "l1",
        target: str = "image",
        epsilon: Annotated[float, Field(gt=0)] = 1e-3,
    ) -> None:
        self.weight, self.distance, self.target, self.epsilon = weight, distance, target, epsilon

    def generator(self, turn: gankit.Turn) -> Tensor:
        """The weighted mean distance. Raises: gankit.GankitError: the field has another shape than the images."""
        fake, target = turn.fake, turn[self.target]
        if fake.shape != target.shape:
            raise gankit.GankitError(
                f"reconstruction: the field {self.target!r} is {list(target.shape)}, but generated images are "
                f"{list(fake.shape)}; choose a `target` of the same shape"
            )
        if self.distance == "l1":
            error = F.l1_loss(fake, target)
        elif self.distance == "l2":
            error = F.mse_loss(fake, target)
        else:
            error = ((fake - target).square() + self.epsilon**2).sqrt().mean()
        return self.weight * error


class TotalVariation(gankit.Regularizer):
    """Anisotropic total variation of G's images: the mean absolute difference of neighboring pixels.

    The means over vertical and horizontal neighbors are added. It removes noise and checkerboard patterns, at the cost
    of fine detail.

    Args:
        weight: of the total variation.
    """

    def __init__(self, *, weight: NonNegativeFloat = 1e-4) -> None:
        self.weight = weight

    def generator(self, turn: gankit.Turn) -> Tensor:
        """The weighted total variation; an image of one pixel in height or width has none in that direction."""
        images = turn.fake
        variation = images.new_zeros(())
        for dim in (2, 3):
            if images.shape[dim] > 1:
                variation = variation + images.diff(dim=dim).abs().mean()
        return self.weight * variation
