"""Makes the source of a pair from its image."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

Kind = Literal["gray", "downscale", "edges", "hole", "noise", "blur"]
MAX_VALUE = 255
HOLE_VALUE = 127  # about 0 where images are in [-1, 1]
BLUR_RADIUS = 3  # standard deviations; the kernel has 99.7% of the weight
EDGE_GAIN = 2  # kornia's Sobel filter yields 0.5 for a vertical step from black to white


class Degradation(NamedTuple):
    """How a source is made from an image.

    Attributes:
        kind: which source.
        scale: by which ``downscale`` divides height and width.
        noise_sigma: standard deviation of ``noise``, in levels of 255.
        blur_sigma: standard deviation of ``blur`` in pixels.
        hole: height and width of ``hole`` in proportion to those of the image.
        seed: of noise and holes.
    """

    kind: Kind
    scale: int
    noise_sigma: float
    blur_sigma: float
    hole: float
    seed: int

    @property
    def divisor(self) -> int:
        """Height and width of an image must be multiples of this."""
        return self.scale if self.kind == "downscale" else 1

    def channels(self, channels: int) -> int:
        """The channels of a source. Raises: ValueError: it cannot be made from images of ``channels`` channels."""
        if channels in (2, 4):
            raise ValueError(
                f"the images have {channels} channels, one of them alpha; use images of 1 or 3 channels, for example "
                "with `channels: 3` in the wrapped dataset"
            )
        if self.kind == "gray" and channels == 1:
            raise ValueError("source 'gray' would equal the image, which has 1 channel; use images of 3 channels")
        return 1 if self.kind in ("gray", "edges") else channels

    def __call__(self, images: Tensor, indices: Sequence[int]) -> Tensor:
        """The sources of images.

        Args:
            images: uint8 [n c h w].
            indices: of the items, on which random numbers depend.

        Returns:
            uint8 [n k y x] with the number of channels of `channels`; y and x are h and w, divided by `divisor`.
        """
        if self.kind == "hole":
            return self._with_hole(images, indices)
        floats = images.float() / MAX_VALUE
        sources: Tensor = getattr(self, f"_{self.kind}")(floats, indices)
        return (sources * MAX_VALUE).round_().clamp_(0, MAX_VALUE).to(torch.uint8)

    def _gray(self, images: Tensor, indices: Sequence[int]) -> Any:
        """Luma: 0.299 red + 0.587 green + 0.114 blue."""
        import kornia.color

        return kornia.color.rgb_to_grayscale(images)

    def _edges(self, images: Tensor, indices: Sequence[int]) -> Any:
        """The magnitude of the Sobel gradient of the luma."""
        import kornia.filters

        return EDGE_GAIN * kornia.filters.sobel(self._gray(images, indices) if images.shape[1] == 3 else images)

    def _blur(self, images: Tensor, indices: Sequence[int]) -> Any:
        import kornia.filters

        size = 2 * math.ceil(BLUR_RADIUS * self.blur_sigma) + 1
        sigma = (self.blur_sigma, self.blur_sigma)
        # unlike "reflect", "replicate" takes images that are smaller than the kernel
        return kornia.filters.gaussian_blur2d(images, (size, size), sigma, border_type="replicate")

    def _downscale(self, images: Tensor, indices: Sequence[int]) -> Tensor:
        size = (images.shape[-2] // self.scale, images.shape[-1] // self.scale)
        return F.interpolate(images, size=size, mode="bicubic", antialias=True, align_corners=False)

    def _noise(self, images: Tensor, indices: Sequence[int]) -> Tensor:
        noise = [torch.randn(images.shape[1:], generator=self._random(index)) for index in indices]
        return images + torch.stack(noise) * (self.noise_sigma / MAX_VALUE)

    def _with_hole(self, images: Tensor, indices: Sequence[int]) -> Tensor:
        sources = images.clone()
        sides = [max(1, round(self.hole * side)) for side in images.shape[-2:]]
        for source, index in zip(sources, indices, strict=True):
            places = torch.rand(2, generator=self._random(index)).tolist()
            top, left = (
                int(place * (1 + whole - side))
                for place, whole, side in zip(places, images.shape[-2:], sides, strict=True)
            )
            source[:, top : top + sides[0], left : left + sides[1]] = HOLE_VALUE
        return sources

    def _random(self, index: int) -> torch.Generator:
        """A generator for one item, independent of all others."""
        state = np.random.SeedSequence((self.seed, index)).generate_state(1, np.uint64)
        return torch.Generator().manual_seed(int(state[0]))
