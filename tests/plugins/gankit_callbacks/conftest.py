"""A run that is only what callbacks see of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from gankit.runs.file_names import checkpoints


class FakeRun:
    """Ten steps of eight images in epochs of three steps, unless told otherwise."""

    def __init__(
        self,
        directory: Path,
        total_steps: int = 10,
        image: tuple[int, int, int] = (3, 8, 8),
        classes: tuple[str, ...] | None = None,
        scalars: Callable[[int], dict[str, float]] = lambda step: {"discriminator_loss": 1 / step},
    ) -> None:
        self.recipe = SimpleNamespace(name="a_run", callbacks=())
        self.directory = directory
        self.state = SimpleNamespace(step=0, optimizers={})
        self.device = torch.device("cpu")
        self.total_steps = total_steps
        self.image = image
        self.classes = classes
        self.figures = scalars
        self.checkpoint: Path | None = None
        self.ending: str | None = None
        self.saves: list[int] = []
        self.events: list[Mapping[str, Any]] = []

    @property
    def checkpoints(self) -> list[Path]:
        return checkpoints(self.directory)

    @property
    def images(self) -> int:
        return 8 * int(self.state.step)

    @property
    def epoch(self) -> int:
        return int(max(0, self.state.step - 1) // 3)

    @property
    def scalars(self) -> dict[str, Tensor]:
        return {name: torch.tensor(value) for name, value in self.figures(self.state.step).items()}

    def inputs(self, count: int, seed: int = 0) -> dict[str, Tensor]:
        return {}

    def sample(self, count: int, seed: int = 0, labels: Sequence[int] | None = None) -> Tensor:
        random = torch.Generator().manual_seed(seed + 1000 * self.state.step)
        images = torch.randint(0, 256, (count, *self.image), dtype=torch.uint8, generator=random)
        if labels is not None:
            images[:, 0] = torch.tensor(labels, dtype=torch.uint8)[:, None, None]
        return images

    def real(self, count: int, labels: Sequence[int] | None = None) -> Tensor:
        return 255 - self.sample(count, 7, labels) if labels is None else self.sample(count, 7, labels)

    def save(self) -> None:
        self.saves.append(self.state.step)

    def log(self, event: Mapping[str, Any]) -> None:
        self.events.append(event)

    def play(self, callback: Any, start: int = 0, until: int | None = None) -> Iterator[int]:
        """Go through the steps as a trainer does, ending the run unless the iteration is left before."""
        self.state.step = start
        call(callback, "on_run_start", self)
        for step in range(start + 1, (until or self.total_steps) + 1):
            self.state.step = step
            call(callback, "on_step_end", self)
            yield step
        self.ending = "done" if self.state.step == self.total_steps else "stopped"
        call(callback, "on_run_end", self)


def call(callback: Any, method: str, run: FakeRun) -> None:
    getattr(callback, method, lambda run: None)(run)


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., FakeRun]:
    return lambda **options: FakeRun(tmp_path, **options)
