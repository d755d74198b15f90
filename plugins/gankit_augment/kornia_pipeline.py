"""Augmentations from kornia, chosen by class name."""

from __future__ import annotations

from typing import Annotated, Any

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

import gankit

from .kornia_transforms import build_transform


class Transform(BaseModel):
    """A kornia augmentation: the name of its class, and parameters of its constructor."""

    model_config = ConfigDict(extra="allow", frozen=True)

    name: str


class Kornia(nn.Module):
    """A sequence of kornia augmentations, drawn independently for each image.

    Images are mapped from [-1, 1] to [0, 1] and back. Values are not clamped here: kornia's color transforms clamp,
    geometric transforms keep the range, and added noise may exceed it.

    Random parameters are drawn on the CPU, from torch's default generator, and copied to the device without waiting
    for it. kornia reads many of them on the host, so drawing them on the device would wait each time.

    Args:
        image: size and channels of the images.
        transforms: the names of kornia classes with constructor parameters, such as
            ``{name: ColorJitter, brightness: 0.2, p: 0.8}``. Each is tried on a few images: it must keep their shape
            and be twice differentiable.

    Raises:
        ValueError: a transform or a parameter is unknown, or the transform does not suit a discriminator's input.
    """

    def __init__(
        self, image: gankit.ImageSpec, *, transforms: Annotated[list[Transform], Field(min_length=1, max_length=16)]
    ) -> None:
        super().__init__()
        built: list[nn.Module] = []
        faults: list[str] = []
        for index, item in enumerate(transforms):
            parameters: dict[str, Any] = item.model_extra or {}
            try:
                built.append(build_transform(item.name, parameters, image))
            except ValueError as error:
                faults.append(f"transforms[{index}]: {item.name}: {error}")
        if faults:
            raise ValueError("; ".join(faults))
        # not registered as submodules: moving them to the device would move kornia's random draws there, too
        self.transforms = tuple(built)

    def forward(self, images: Tensor) -> Tensor:
        """Images [n c h w] in [-1, 1] to the same shape."""
        images = (images + 1) / 2
        with torch.device("cpu"):  # where kornia draws, whatever the default device is
            for transform in self.transforms:
                images = transform(images)
        return 2 * images - 1

    def extra_repr(self) -> str:
        return "\n".join(map(str, self.transforms))
