"""Networks that fail on purpose, and short runs on colored shapes."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import gankit
from gankit.runs.json_lines import JsonLines
from gankit_datasets.shapes import Shapes
from gankit_health.real_images import RealImages


class Small(nn.Module):
    """A few transposed convolutions, which a failure can be planted in."""

    end: type[nn.Module] = nn.Tanh

    def __init__(self, image: gankit.ImageSpec, latent_dim: int, *, scale: float = 1.0) -> None:
        super().__init__()
        self.base, self.scale = image.height // 4, scale
        self.labels = nn.Embedding(image.classes, latent_dim) if image.classes else None
        self.first = nn.Linear(latent_dim, 32 * self.base**2)
        self.layers = nn.Sequential(
            nn.BatchNorm2d(32),
            nn.ReLU(),
            nn.ConvTranspose2d(32, 16, 4, 2, 1),
            nn.BatchNorm2d(16),
            nn.ReLU(),
            nn.ConvTranspose2d(16, image.channels, 4, 2, 1),
            self.end(),
        )

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        if self.labels is not None:
            z = z + self.labels(labels)
        return self.scale * self.layers(self.first(z).view(len(z), 32, self.base, self.base))


class IgnoresLatent(Small):
    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        return super().forward(torch.ones_like(z), labels)


class IgnoresLabels(Small):
    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        return super().forward(z, None if labels is None else torch.zeros_like(labels))


class Sigmoid(Small):
    end = nn.Sigmoid


class Linear(Small):
    end = nn.Identity


class Cutout(Small):
    """Greys out a quarter of each of its images."""

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        return cut(super().forward(z, labels))


class Remembers(nn.Module):
    """Gives images of shapes that the data set does not have: of one kind, a few of them, or greyed out."""

    def __init__(
        self,
        image: gankit.ImageSpec,
        latent_dim: int,
        *,
        kind: int | None = None,
        few: int = 1000,
        greyed: bool = False,
    ) -> None:
        super().__init__()
        images, labels = Shapes(count=2000, size=image.height, seed=7).tensors()
        images = (images if kind is None else images[labels == kind])[:few]
        keys = torch.randn(latent_dim, len(images), generator=torch.Generator().manual_seed(0))
        self.register_buffer("images", images, persistent=False)
        # of one length, or the longest would be nearest to all latents
        self.register_buffer("keys", keys / keys.norm(dim=0), persistent=False)
        self.gain = nn.Parameter(torch.ones(()))
        self.greyed = greyed

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        images = self.images[(z @ self.keys.to(z)).argmax(dim=1)].float() / 127.5 - 1
        return (cut(images) if self.greyed else images) * self.gain


def cut(images: Tensor) -> Tensor:
    """A square of half the side set to 0, anywhere in each image."""
    side, n = images.shape[-1], len(images)
    first = torch.randint(side // 2 + 1, (2, n, 1), device=images.device)
    rows, columns = (first <= torch.arange(side)) & (torch.arange(side) < first + side // 2)
    return images * ~(rows.view(n, 1, side, 1) & columns.view(n, 1, 1, side))


class Plants:
    """The plugin that registers all of this."""

    @gankit.hookimpl
    def register(self, registries: gankit.Registries) -> None:
        for kind in (Small, IgnoresLatent, IgnoresLabels, Sigmoid, Linear, Cutout, Remembers):
            registries.generators.add(kind.__name__, kind)


ADAM = {"name": "adam", "lr": 1e-3, "betas": [0.5, 0.99]}
RECIPE: dict[str, Any] = {
    "name": "short",
    "image": {"size": 16},
    "latent": {"name": "normal", "dim": 16},
    "dataset": {"name": "shapes", "count": 2000, "size": 16},
    "loader": {"batch_size": 16},
    "generator": {"name": "dcgan", "width": 8},
    "discriminator": {"name": "dcgan", "width": 8},
    "loss": "non_saturating",
    "optimizers": {"generator": ADAM, "discriminator": ADAM},
    "train": {"steps": 300, "precision": "fp32", "device": "cpu"},
    "callbacks": [{"name": "health"}],
}


def changed(data: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """A copy with changes, whose keys are dotted paths."""
    data = {key: changed(value, {}) if isinstance(value, dict) else value for key, value in data.items()}
    for path, value in changes.items():
        *parents, last = path.split(".")
        section = data
        for parent in parents:
            section = section[parent]
        section[last] = value
    return data


@pytest.fixture(scope="session")
def runtime() -> gankit.Runtime:
    return gankit.Runtime(plugins=[Plants()])


@pytest.fixture
def assemble(runtime, tmp_path) -> Callable[..., gankit.Trainer]:
    """Assembles a short run with changes such as ``{"optimizers.generator.lr": 0}``."""

    def make(changes: dict[str, Any] | None = None, name: str = "run") -> gankit.Trainer:
        return runtime.assemble(gankit.Recipe.parse(changed(RECIPE, changes or {})), tmp_path / name)

    return make


@pytest.fixture
def events(assemble) -> Callable[..., list[dict[str, Any]]]:
    """Plays a short run to its end. Returns: all that it logged but its start and end."""

    def play(changes: dict[str, Any] | None = None) -> list[dict[str, Any]]:
        trainer = assemble(changes)
        trainer.fit()
        logged = JsonLines.read(trainer.directory / "events.jsonl")
        return [event for event in logged if event["event"] not in ("started", "ended")]

    return play


SIDE = 16


KINDS = ("circle", "square", "triangle")


@pytest.fixture(scope="module")
def shapes():
    """Real images that the run does not look at, [3000 3 16 16] in [-1, 1], and their labels."""
    images, labels = Shapes(count=3000, size=SIDE, seed=5).tensors()
    return images.float() / 127.5 - 1, labels


class ImageRun:
    """As much of a run as reals are taken from."""

    def __init__(self, labelled=True, augment=None, count=1500):
        self.images, self.labels = Shapes(count=count, size=SIDE).tensors()
        labels, length = self.labels, count

        class Data:
            classes = KINDS if labelled else None

            def __init__(self):
                self.labels = labels

            def __len__(self):
                return length

        self.dataset = Data()
        self.recipe = SimpleNamespace(augmentations=() if augment is None else (augment,), ema=None)
        self.augment = augment

    def real(self, count, labels=None):
        if labels is None:
            return self.images[:count]
        wanted = torch.tensor(labels)
        parts = [self.images[self.labels == k][: int((wanted == k).sum())] for k in wanted.unique()]
        return torch.cat(parts)


@pytest.fixture(scope="module")
def reals():
    return RealImages(ImageRun(), 1024)


@pytest.fixture(scope="session")
def image_run():
    """The class of runs that offer only real images."""
    return ImageRun
