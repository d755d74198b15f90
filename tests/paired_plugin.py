"""Data with further fields, and networks that ask for them: a generator enlarges a source of half the images' size."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import gankit


class Pairs:
    """Images of 8 x 8 pixels, their source, and a vector of two numbers. Nothing is in memory before it is read."""

    split = "train"

    def __init__(
        self, *, count: int = 32, labels: str = "classes", independent: tuple[str, ...] = (), first: int = 0
    ) -> None:
        self.count, self.labelled, self.first = count, labels, first
        self.classes = ("even", "odd") if labels == "classes" else None
        fields: dict[str, Any] = {"label": gankit.VectorSpec(3)} if labels == "vectors" else {}
        self.spec = gankit.DataSpec(
            image=gankit.ImageSpec.any_size(3),
            source=gankit.ImageSpec.any_size(3, scale=1 / 2),
            place=gankit.VectorSpec(2),
            independent=independent,
            **fields,
        )

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> dict[str, Any]:
        random = torch.Generator().manual_seed(self.first + index)
        source = torch.randint(0, 256, (3, 4, 4), dtype=torch.uint8, generator=random)
        image = F.interpolate(source[None].float(), scale_factor=2, mode="bilinear").round().byte()[0]
        item = {"image": image, "source": source, "place": [index / self.count, 0.5]}
        if self.labelled == "vectors":
            return item | {"label": [index, 1.0, -1.0]}
        return item | ({"label": index % 2} if self.classes else {})


class HeldOut(Pairs):
    """The same, with other items for samples."""

    def held_out(self) -> Pairs:
        class Black(Pairs):
            def __getitem__(self, index: int) -> dict[str, Any]:
                item = super().__getitem__(index)
                return item | {"source": torch.zeros_like(item["source"])}

        return Black(count=5)


class Split(Pairs):
    """The same, with other items that are held out."""

    def __init__(self, *, count: int = 32, labels: str = "classes", held_out_count: int = 150) -> None:
        super().__init__(count=count, labels=labels)
        self.held_out_count = held_out_count

    def held_out(self) -> Pairs:
        return Pairs(count=self.held_out_count, labels=self.labelled, first=1000)


class Enlarge(nn.Module):
    """Asks for the source and the vector, and not for latents."""

    def __init__(self, data: gankit.DataSpec, *, width: int = 6) -> None:
        super().__init__()
        source, place = data["source"], data["place"]
        self.first = nn.Conv2d(source.channels, 4 * width, 3, padding=1)
        self.shift = nn.Linear(place.size, 4 * width)
        self.last = nn.Conv2d(width, data.image.channels, 3, padding=1)

    def forward(self, source: Tensor, place: Tensor, *, gain: float = 1.0) -> Tensor:
        features = F.silu(self.first(source) + self.shift(place)[:, :, None, None])
        return gain * self.last(F.pixel_shuffle(features, 2)).tanh()


class Repeat(nn.Module):
    """The source with each pixel repeated; plus a multiple of a number for each latent and label."""

    def __init__(self, image: gankit.ImageSpec, latent_dim: int, *, latents: float = 0.0, labels: float = 0.0) -> None:
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(()))
        self.by_latent, self.by_label = latents, labels

    def forward(self, source: Tensor, z: Tensor, labels: Tensor | None = None) -> Tensor:
        shift = self.by_latent * z[:, 0] + (0 if labels is None else self.by_label * labels)
        return F.interpolate(source, scale_factor=2) + shift[:, None, None, None] + 0 * self.unused


class Copy(nn.Module):
    """An autoencoder that loses nothing."""

    def __init__(self, image: gankit.ImageSpec) -> None:
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(()))

    def forward(self, image: Tensor) -> Tensor:
        return image + 0 * self.unused


class HalfSize(nn.Module):
    """A codec: means of 2 x 2 pixels, and these repeated."""

    def __init__(self, image: gankit.ImageSpec) -> None:
        super().__init__()

    def encode(self, images: Tensor) -> Tensor:
        return F.avg_pool2d(images, 2)

    def decode(self, encodings: Tensor) -> Tensor:
        return F.interpolate(encodings, scale_factor=2)


class FromVector(nn.Module):
    """From latents and labels that are vectors."""

    def __init__(self, latent_dim: int, data: gankit.DataSpec) -> None:
        super().__init__()
        self.data = data
        self.linear = nn.Linear(latent_dim + data["label"].size, 3 * 8 * 8)

    def forward(self, z: Tensor, labels: Tensor) -> Tensor:
        return self.linear(torch.cat([z, labels], 1)).view(-1, 3, 8, 8).tanh()


class Compare(nn.Module):
    """Judges an image beside its source."""

    def __init__(self, image: gankit.ImageSpec) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(2 * image.channels, 8, 3, padding=1), nn.SiLU(), nn.Conv2d(8, 1, 3, padding=1)
        )

    def forward(self, x: Tensor, source: Tensor) -> Tensor:
        return self.layers(torch.cat([x, F.interpolate(source, scale_factor=2)], 1)).mean((1, 2, 3))


class Flat(nn.Module):
    """Judges an image alone."""

    def __init__(self, image: gankit.ImageSpec) -> None:
        super().__init__()
        self.linear = nn.Linear(image.channels * image.height * image.width, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x.flatten(1)).squeeze(1)


class L1:
    """The distance of G's images to the real ones, weighted by a field."""

    def generator(self, turn: gankit.Turn) -> Tensor:
        weight = 1 + turn["place"][:, 0]
        return ((turn.fake - turn.real).abs().mean((1, 2, 3)) * weight).mean()


@gankit.hookimpl
def register(registries: gankit.Registries) -> None:
    registries.datasets.add("pairs", Pairs)
    registries.datasets.add("held_out", HeldOut)
    registries.datasets.add("split_pairs", Split)
    registries.generators.add("enlarge", Enlarge)
    registries.generators.add("from_vector", FromVector)
    registries.generators.add("repeat", Repeat)
    registries.generators.add("copy", Copy)
    registries.codecs.add("half_size", HalfSize)
    registries.discriminators.add("compare", Compare)
    registries.discriminators.add("flat", Flat)
    registries.regularizers.add("l1", L1)
