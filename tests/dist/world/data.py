"""Images, features and a metric; processes write down which of them read what. Shapes: ``n`` images, ``f`` features."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import NonNegativeInt, PositiveInt
from torch import Tensor

import gankit

from .processes import note, rank


class Noise:
    """Noise pictures; writes down who has prepared and who has read what, where ``$SEEN`` names a folder."""

    split = "train"

    def __init__(
        self,
        *,
        count: NonNegativeInt = 48,
        side: PositiveInt = 8,
        broken_in: int | None = None,
        white: int | None = None,
    ) -> None:
        self.white = white  # this image's first pixel is, and no other's
        self.count, self.spec, self.classes = count, gankit.ImageSpec(side, side, 1), ("a", "b")
        self.broken_in = broken_in

    def prepare(self) -> None:
        note("prepared")
        if self.broken_in == rank():
            raise gankit.DataError("the archive is damaged")
        random = torch.Generator().manual_seed(1)
        shape = (self.count, 1, self.spec.height, self.spec.width)
        self.images = torch.randint(0, 256 if self.white is None else 200, shape, dtype=torch.uint8, generator=random)
        if self.white is not None:
            self.images[self.white, 0, 0, 0] = 255

    def fingerprint(self) -> str:
        return f"noise {len(self)} {self.spec} {self.white}"  # without it, gankit reads some of the images

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        note(f"read {index}")
        return self.images[index], index % 2


class Pixels:
    """Features [n f]: the pixels; writes down who looks at how many images, and fails in one process where asked."""

    hash, resizer = "0" * 64, "none"

    def __init__(self, *, broken_in: int | None = None) -> None:
        self.broken_in = broken_in

    def __call__(self, images: Tensor) -> Tensor:
        note(f"looked at {len(images)}")
        if self.broken_in == rank():
            raise ValueError("sees nothing")
        return images.flatten(1).float()


class Order:
    """A figure in which every bit of every feature counts, and their order."""

    uses: Literal["features", "logits"] = "features"

    def __init__(self) -> None:
        self.parts: list[Tensor] = []

    def update(self, values: Tensor, real: bool) -> None:
        if not real:
            self.parts.append(values.double())

    def compute(self) -> dict[str, float]:
        features = torch.cat(self.parts).flatten()
        return {"order": float((features * torch.arange(len(features)).sin()).sum())}
