"""A whole small world in one file, as a stranger would write it: every component that a run needs, 16 px at most."""

from __future__ import annotations

import torch
from pydantic import NonNegativeInt, PositiveInt
from torch import Tensor, nn
from torch.nn.functional import softplus

import gankit


class TinyGenerator(nn.Module):
    """One linear layer and tanh; labels are added to the latent."""

    def __init__(self, image: gankit.ImageSpec, latent_dim: int, *, gain: gankit.Scheduled = 1.0) -> None:
        super().__init__()
        self.shape = (image.channels, image.height, image.width)
        self.gain = gain
        self.linear = nn.Linear(latent_dim, image.channels * image.height * image.width)
        self.labels = nn.Embedding(image.classes, latent_dim) if image.classes else None

    def forward(self, z: Tensor, labels: Tensor | None = None, *, truncation: float = 1.0) -> Tensor:
        z = truncation * z
        if self.labels is not None:
            z = z + self.labels(labels)
        return self.linear(z).view(-1, *self.shape).mul(self.gain).tanh()


class ThreeChannels(TinyGenerator):
    """A generator that makes three channels whatever is asked."""

    def __init__(self, image: gankit.ImageSpec, latent_dim: int) -> None:
        super().__init__(gankit.ImageSpec(image.height, image.width, 3, image.classes), latent_dim)


class TinyDiscriminator(nn.Module):
    """Two linear layers."""

    def __init__(self, image: gankit.ImageSpec, *, width: PositiveInt = 4) -> None:
        super().__init__()
        self.hidden = nn.Linear(image.channels * image.height * image.width, width)
        self.out = nn.Linear(width, 1)

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.out(self.hidden(images.flatten(1)).tanh()).flatten()


class TinyDataset:
    """Noise pictures in memory."""

    def __init__(
        self, *, count: NonNegativeInt = 32, side: PositiveInt = 16, channels: int = 3, labelled: bool = True
    ) -> None:
        self.count, self.spec, self.split = count, gankit.ImageSpec(side, side, channels), "train"
        self.classes = ("a", "b") if labelled else None

    def prepare(self) -> None:
        random = torch.Generator().manual_seed(1)
        shape = (self.count, self.spec.channels, self.spec.height, self.spec.width)
        self.images = torch.randint(0, 256, shape, dtype=torch.uint8, generator=random)

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.images[index], index % 2


class TinyLoss:
    """The non-saturating game."""

    def discriminator(self, turn: gankit.Turn) -> Tensor:
        return softplus(-turn.real_logits).mean() + softplus(turn.fake_logits).mean()

    def generator(self, turn: gankit.Turn) -> Tensor:
        return softplus(-turn.fake_logits).mean()


class TinyLatent:
    """Normal."""

    def __init__(self, dim: int) -> None:
        self.dim = dim

    def sample(self, n: int, labels: Tensor | None, generator: torch.Generator) -> Tensor:
        return torch.randn(n, self.dim, generator=generator, device=generator.device)


def tiny_sgd(parameters: list[nn.Parameter], *, lr: gankit.Scheduled = 0.01) -> torch.optim.SGD:
    """Plain gradient descent."""
    return torch.optim.SGD(parameters, lr=lr)


class TinyCallback:
    """Writes down what it is told into ``calls.txt``, and saves at the end where it is to."""

    def __init__(self, *, save: bool = False) -> None:
        self.save = save

    def on_run_start(self, run: gankit.Run) -> None:
        self._note(run, "start")

    def on_step_end(self, run: gankit.Run) -> None:
        self._note(run, "step")

    def on_checkpoint(self, run: gankit.Run) -> None:
        self._note(run, "checkpoint")

    def on_run_end(self, run: gankit.Run) -> None:
        self._note(run, "end")
        if self.save:
            run.save()

    def _note(self, run: gankit.Run, what: str) -> None:
        with (run.directory / "calls.txt").open("a") as file:
            file.write(f"{what} {run.state.step}\n")


@gankit.hookimpl
def register(registries: gankit.Registries) -> None:
    registries.generators.add("tiny", TinyGenerator)
    registries.generators.add("three_channels", ThreeChannels)
    registries.discriminators.add("tiny", TinyDiscriminator)
    registries.datasets.add("tiny", TinyDataset)
    registries.losses.add("tiny", TinyLoss)
    registries.latents.add("tiny", TinyLatent)
    registries.optimizers.add("tiny", tiny_sgd)
    registries.callbacks.add("tiny", TinyCallback)
