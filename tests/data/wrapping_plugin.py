"""Datasets that wrap others, and two that can be wrapped."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import torch
from pydantic import Field, PositiveInt

import gankit


class Inverted:
    """The images of another dataset as negatives, each ``times`` times."""

    def __init__(self, *, source: gankit.Dataset, times: PositiveInt = 1) -> None:
        self.source, self.times = source, times
        self.spec, self.classes = gankit.spec_of(source), gankit.classes_of(source)

    def prepare(self) -> None:
        gankit.prepare_dataset(self.source)

    def fingerprint(self) -> str:
        return f"{self.times} x {gankit.data_fingerprint(self.source)}"

    def __len__(self) -> int:
        return self.times * len(self.source)

    def __getitem__(self, index: int):
        image, label = self.source[index % len(self.source)]
        return 255 - image, label


class Joined:
    """The images of several datasets, and of one more if it is given."""

    classes = None

    def __init__(
        self,
        *,
        sources: Annotated[Sequence[gankit.Dataset], Field(min_length=2)],
        more: gankit.Dataset | None = None,
        pair: tuple[gankit.Dataset, ...] = (),
    ) -> None:
        self.parts = [*sources, *([] if more is None else [more]), *pair]
        self.spec = gankit.spec_of(sources[0])

    def prepare(self) -> None:
        for part in self.parts:
            gankit.prepare_dataset(part)

    def __len__(self) -> int:
        return sum(map(len, self.parts))

    def __getitem__(self, index: int):
        for part in self.parts:
            if index < len(part):
                return part[index]
            index -= len(part)
        raise IndexError(index)


class Stored:
    """Noise from the seed in a file."""

    spec, classes = gankit.ImageSpec(16, 16, 3), None

    def __init__(self, *, path: Path, gain: gankit.Scheduled = 1.0) -> None:
        if path.suffix != ".json":
            raise ValueError(f"'{path}' should be a JSON file")
        self.path = path

    def prepare(self) -> None:
        random = torch.Generator().manual_seed(json.loads(self.path.read_text()))
        self.images = torch.randint(0, 256, (16, 3, 16, 16), dtype=torch.uint8, generator=random)

    def __len__(self) -> int:
        return 16

    def __getitem__(self, index: int):
        return self.images[index], None


def nothing(*, size: int = 3) -> int:
    """It is registered as a dataset, but is none."""
    return size


@gankit.hookimpl
def register(registries: gankit.Registries) -> None:
    registries.datasets.add("inverted", Inverted)
    registries.datasets.add("joined", Joined)
    registries.datasets.add("stored", Stored)
    registries.datasets.add("nothing", nothing)
