"""A dataset, latents, networks and a callback for small runs with the installed plugins."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

import gankit


class Pictures:
    """Random images in memory: 16 x 16 RGB with four classes, in unequal numbers if ``unbalanced``."""

    split = "train"

    def __init__(self, *, count: int = 48, side: int = 16, labelled: bool = True, unbalanced: bool = False) -> None:
        self.count, self.spec = count, gankit.ImageSpec(side, side, 3)
        self.unbalanced = unbalanced
        self.classes = ("a", "b", "c", "d") if labelled else None

    def prepare(self) -> None:
        random = torch.Generator().manual_seed(1)
        shape = (self.count, 3, self.spec.height, self.spec.width)
        self.images = torch.randint(0, 256, shape, dtype=torch.uint8, generator=random)

    def tensors(self) -> tuple[Tensor, Tensor]:
        return self.images, torch.tensor([self.label(index) for index in range(self.count)])

    def label(self, index: int) -> int:
        return (0, 0, 0, 1)[index % 4] if self.unbalanced else index % 4

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.images[index], self.label(index)


class Remembered:
    """Normal latents, which are recorded in ``drawn``."""

    drawn: list[Tensor]

    def __init__(self, dim: int) -> None:
        self.dim, self.drawn = dim, []

    def sample(self, n: int, labels: Tensor | None, generator: torch.Generator) -> Tensor:
        self.drawn.append(torch.randn(n, self.dim, generator=generator, device=generator.device))
        return self.drawn[-1]


class Plain(nn.Module):
    """A generator without batch statistics."""

    def __init__(self, image: gankit.ImageSpec, latent_dim: int) -> None:
        super().__init__()
        self.image = image
        self.linear = nn.Linear(latent_dim, image.channels * image.height * image.width)

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.linear(z).view(-1, self.image.channels, self.image.height, self.image.width).tanh()


class PlainCritic(nn.Module):
    """A smooth discriminator without batch statistics, with one or several heads."""

    def __init__(self, image: gankit.ImageSpec, *, heads: int = 1) -> None:
        super().__init__()
        size = image.channels * image.height * image.width
        self.hidden, self.out = nn.Linear(size, 8), nn.Linear(8, heads)

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Any:
        logits = self.out(self.hidden(images.flatten(1)).tanh())
        return logits[:, 0] if logits.shape[1] == 1 else list(logits.unbind(1))


class Watcher:
    """Records the calls of its methods with their steps."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, int]] = []

    def on_run_start(self, run: gankit.Run) -> None:
        self.calls.append(("start", run.state.step))

    def on_step_end(self, run: gankit.Run) -> None:
        self.calls.append(("step", run.state.step))

    def on_epoch_end(self, run: gankit.Run) -> None:
        self.calls.append(("epoch", run.state.step))

    def on_checkpoint(self, run: gankit.Run) -> None:
        self.calls.append(("checkpoint", run.state.step))

    def on_exception(self, run: gankit.Run) -> None:
        self.calls.append(("exception", run.state.step))

    def on_run_end(self, run: gankit.Run) -> None:
        self.calls.append((f"end: {run.ending}", run.state.step))


class SmallComponents:
    """The plugin that registers these components."""

    @gankit.hookimpl
    def register(self, registries: gankit.Registries) -> None:
        registries.datasets.add("pictures", Pictures)
        registries.latents.add("remembered", Remembered)
        registries.generators.add("plain", Plain)
        registries.discriminators.add("plain", PlainCritic)
        registries.callbacks.add("watcher", Watcher)
