"""Tiny metrics and extractors like those of third-party plugins. Their classes record each call of an extractor."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import torch
from pydantic import PositiveInt
from torch import Tensor, nn

import gankit


class Colours(nn.Module):
    """Mean and standard deviation of each channel."""

    resizer = "none: any size"
    seen: list[int] = []  # noqa: RUF012  # shared with the tests

    def __init__(self, *, scale: float = 1.0, weights: Path | None = None) -> None:
        super().__init__()
        self.scale = scale
        self.hash = hashlib.sha256(str(weights and weights.read_text()).encode()).hexdigest()

    def forward(self, images: Tensor) -> Tensor:
        self.seen.append(len(images))
        pixels = images.double().flatten(2) / 255
        return self.scale * torch.cat([pixels.mean(2), pixels.std(2)], 1)


class Classes(Colours):
    """With logits, and an established name for a score."""

    established: Mapping[str, str] = {"gap": "GAP"}

    def logits(self, features: Tensor) -> Tensor:
        return features[:, :2]


class Broken:
    """Returns maps instead of features."""

    hash, resizer = "0" * 64, "none"

    def __call__(self, images: Tensor) -> Tensor:
        return images.float()


class Refusing(Broken):
    """Refuses all images."""

    def __call__(self, images: Tensor) -> Tensor:
        raise ValueError(f"sees nothing of {images.shape[-1]} px")


class Nameless(Broken):
    """Has an empty hash."""

    hash = ""


def needs_extra() -> Colours:
    """Needs a package that is not installed."""
    raise gankit.GankitError("features 'needs_extra' needs the package 'nowhere'; run: pip install 'gankit[nowhere]'")


class Gap:
    """Distance of the mean features, and the number of generated images."""

    uses: Literal["features", "logits"] = "features"
    better: Mapping[str, str] = {"gap": "lower"}

    def __init__(self, *, power: PositiveInt = 1) -> None:
        self.power = power
        self.fed: dict[bool, list[Tensor]] = {True: [], False: []}

    def update(self, values: Tensor, real: bool) -> None:
        self.fed[real].append(values)

    def compute(self) -> dict[str, float]:
        real, fake = (torch.cat(self.fed[side]) for side in (True, False))
        if len(fake) < 2:
            raise ValueError(f"needs 2 generated images or more; got {len(fake)}; raise --samples")
        return {"gap": float((real.mean(0) - fake.mean(0)).norm() ** self.power), "gap_count": float(len(fake))}


class Sureness(Gap):
    """Mean logit of the generated images."""

    uses = "logits"
    better: Mapping[str, str] = {"sureness": "higher"}

    def compute(self) -> dict[str, float]:
        assert all(part.shape[1] == 2 for side in self.fed.values() for part in side)
        return {"sureness": float(torch.cat(self.fed[False]).mean())}


class Fakes(Gap):
    """Uses generated images only, and requires a number of them."""

    uses = "logits"
    needs_real = False

    def require(self, real: int, generated: int) -> None:
        if generated < 10:
            raise ValueError(f"needs 10 generated images in addition to {real} real ones; got {generated}")

    def compute(self) -> dict[str, float]:
        return {"real_fed": float(len(self.fed[True])), "fakes_fed": float(sum(map(len, self.fed[False])))}


class Unsaid(Gap):
    """Has an invalid `better`."""

    better: Mapping[str, str] = {"gap": "more"}


class SameScore(Gap):
    """Has the score of another metric."""


class Hungry(Gap):
    """Uses values that do not exist."""

    uses = "pixels"  # type: ignore[assignment]


class Misspelt(Gap):
    """Has an optional method under another name."""

    def cautoin(self) -> str:
        return "few images"


def picky(*, power: PositiveInt = 1) -> Gap:
    """Refuses its parameters."""
    raise ValueError("power and nothing else is too little; give more")


@gankit.hookimpl
def register(registries: gankit.Registries) -> None:
    for name, features in {
        "colours": Colours, "classes": Classes, "broken": Broken, "nameless": Nameless, "refusing": Refusing, "needs_extra": needs_extra,
    }.items():  # fmt: skip
        registries.features.add(name, features)
    for name, metric in {
        "gap": Gap, "sureness": Sureness, "same": SameScore, "hungry": Hungry, "fakes": Fakes, "unsaid": Unsaid, "picky": picky,
        "misspelt": Misspelt,
    }.items():  # fmt: skip
        registries.metrics.add(name, metric)
