"""A pool of generated images, so that D also sees earlier ones (arXiv 1612.07828, section 2.3)."""

from __future__ import annotations

import torch
from torch import Tensor


class ImagePool:
    """Keeps up to ``size`` images, and exchanges some of them for new ones.

    While the pool is not full, it keeps each new image and returns it. Afterwards, it returns each new image with
    probability 1/2, or else replaces a random image of the pool by it and returns that one.

    Args:
        size: number of images; 0 returns all images unchanged.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.images = torch.empty(0)

    def exchange(self, images: Tensor, chances: Tensor) -> Tensor:
        """The images to show to D.

        Args:
            images: new ones [n c h w].
            chances: uniform numbers [n 2] in [0, 1): whether to exchange each image, and for which one.

        Returns:
            [n c h w].
        """
        if not self.size:
            return images
        if not len(self.images):
            self.images = images[:0]
        shown = []
        for image, chance in zip(images.split(1), chances, strict=True):
            if len(self.images) < self.size:
                self.images = torch.cat([self.images, image])
                shown.append(image)
                continue
            # tensor operations throughout: reading a chance would wait for the device
            place = (chance[1:] * self.size).long()
            keep = chance[0] < 0.5  # half of the images, as published
            old = self.images.index_select(0, place)
            self.images = self.images.index_copy(0, place, torch.where(keep, old, image))
            shown.append(torch.where(keep, image, old))
        return torch.cat(shown)
