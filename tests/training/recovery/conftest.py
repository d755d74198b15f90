"""Runs that become NaN: over one image, in the critic; or from outside, in a weight."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import gankit


class Fuse(nn.Module):
    """Passes images on, but of the image whose first pixel says so it makes NaN: in forward, or in backward alone."""

    def __init__(self, backward: bool) -> None:
        super().__init__()
        self.backward = backward

    def forward(self, x: Tensor) -> Tensor:
        marked = (x[:, :1, :1, :1] > 0.999) & (x[:, 1:2, :1, :1] > 0.999)
        if self.backward:  # the root's slope at 0 is infinite, and infinity times 0 is NaN
            return x + 0 * torch.where(marked, x * 0, x.abs() + 1).sqrt()
        return x.masked_fill(marked, torch.nan)


class Fused(nn.Module):
    """A critic that breaks over one image."""

    def __init__(self, image: gankit.ImageSpec, *, backward: bool = False) -> None:
        super().__init__()
        self.first = nn.Linear(image.channels * image.height * image.width, 4)
        self.fuse, self.out = Fuse(backward), nn.Linear(image.channels * image.height * image.width, 1)
        self.scale = nn.Parameter(torch.ones(1, image.channels, 1, 1))

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.out(self.fuse(images * self.scale + (self.scale - 1)).flatten(1)).flatten()


class Marked:
    """48 noise pictures, of which number 21 is marked."""

    split, spec, classes = "train", gankit.ImageSpec(16, 16, 3), None

    def prepare(self) -> None:
        random = torch.Generator().manual_seed(1)
        self.images = torch.randint(0, 200, (48, 3, 16, 16), dtype=torch.uint8, generator=random)
        self.images[21, :2, 0, 0] = 255

    def __len__(self) -> int:
        return 48

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.images[index], 0


class Caretaker:
    """Looks at every step; plants a NaN where it is told to."""

    def __init__(self, *, go_on: bool = False, plant_at: int | None = None) -> None:
        self.go_on, self.plant_at = go_on, plant_at
        self.seen: list[int] = []

    def on_run_start(self, run: gankit.Run) -> None:
        self.seen.append(-run.state.step)

    def on_step_end(self, run: gankit.Run) -> None:
        self.seen.append(run.state.step)
        if run.not_finite() is not None:
            run.recover(self.go_on)
        if run.state.step == self.plant_at:
            self.plant_at = None
            with torch.no_grad():
                run.state.generator.layers[0].weight[1, 2, 0, 0] = float("nan")


@pytest.fixture
def runtime(runtime: gankit.Runtime, add_components: Callable[..., None]) -> gankit.Runtime:
    faults = {"discriminators": {"fused": Fused}, "datasets": {"marked": Marked}, "callbacks": {"caretaker": Caretaker}}
    add_components(runtime, **faults)
    return runtime


@pytest.fixture
def broken_run(runtime: gankit.Runtime, recipe: Callable[..., gankit.Recipe]) -> Callable[..., gankit.Trainer]:
    """``broken_run(directory, **options) -> trainer``: twelve steps with the image and the critic above."""

    def assemble(
        directory: Path, *, go_on: bool = False, backward: bool = False, every: int = 1000, **caretaker: Any
    ) -> gankit.Trainer:
        callbacks = [
            {"name": "caretaker", "go_on": go_on, **caretaker},
            {"name": "checkpoint", "every": every},
            {"name": "metrics_log", "every": 1},
        ]
        changes = {"dataset": {"name": "marked"}, "discriminator": {"name": "fused", "backward": backward}}
        return runtime.assemble(recipe(**changes, callbacks=callbacks, train={"steps": 12}), directory)

    return assemble


@pytest.fixture
def marked_step() -> Callable[[gankit.Trainer], tuple[int, list[int]]]:
    """``marked_step(trainer)``: the step whose batch has image 21, and that batch's indices."""

    def find(trainer: gankit.Trainer) -> tuple[int, list[int]]:
        for step in range(12):
            indices = trainer.setup.loader.order.at(8 * step, 8)[0].tolist()
            if 21 in indices:
                return step + 1, indices
        raise AssertionError

    return find
