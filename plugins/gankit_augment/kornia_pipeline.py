"""kornia's augmentations by name, as one augmentation of what the discriminator sees."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

import gankit

from .kornia_transforms import build_transform


class Transform(BaseModel):
    """One of kornia's augmentations: its class's name, and any parameters of its constructor."""

    model_config = ConfigDict(extra="allow", frozen=True)

    name: str


class Kornia(nn.Module):
    """kornia's augmentations one after another, drawn anew for each image.

    Images are mapped from [-1, 1] to [0, 1] for them and back. Nothing is clamped here: color transforms do so
    themselves, geometric ones stay in the range, and added noise may leave it.

    Random parameters are drawn on the CPU, from torch's default generator, and sent to the device without waiting
    for it: kornia reads many of them on the host, so that drawing them on the device would wait for it each time.

    Args:
        image: what the images are like.
        transforms: each by the name of its kornia class, with the parameters of its constructor, such as
            ``{name: ColorJitter, brightness: 0.2, p: 0.8}``. Each is tried out on a few images: it has to keep
            their shape and be differentiable twice.

    Raises:
        ValueError: a transform is unknown, its parameters are, or it is of no use in front of a discriminator.
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
        # no submodules, or a move to the device would take kornia's draws along
        self.transforms = tuple(built)

    def forward(self, images: Tensor) -> Tensor:
        """Images [n c h w] in [-1, 1] to the same shape."""
        images = (images + 1) / 2
        for transform in self.transforms:
            images = transform(images)
        return 2 * images - 1

    def extra_repr(self) -> str:
        return "\n".join(map(str, self.transforms))
