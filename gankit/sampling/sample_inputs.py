"""The inputs of samples. The random numbers of an image depend on the seed and its number alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..device.seeding import EVALUATE, NOISE
from ..injection import default_values, forward_names, select_arguments
from ..interfaces import ImageSpec, Latent
from ..interfaces.data_spec import IMAGE
from ..messages import did_you_mean
from .interpolation import interpolate_latents, slerp

BLOCK = 64  # images that are drawn together


def block_seed(seed: int, number: int) -> int:
    """The seed of a block of `BLOCK` samples. The first block has the seed of the samples."""
    if number == 0:
        return seed
    entropy = np.random.SeedSequence(seed, spawn_key=(EVALUATE, number))
    return int(entropy.generate_state(1, np.uint64)[0] >> 1)


@dataclass(frozen=True)
class SampleInputs:
    """Inputs on the CPU for ``n`` images.

    Attributes:
        z: latents [n d].
        labels: [n], [n v] where they are vectors, or None.
        fields: of the data, [n ...] by name.
        seed: of the images.
        first_block: the number of the block (`block_seed`) that begins with the first image.
        numbers: the number of each image [n].
        following: the number of the image that each is interpolated towards [n].
        shares: how far each is on the way there [n], in [0, 1).
        styles: of a generator with styles, in place of the latents: [n l s], or None.
    """

    z: Tensor
    labels: Tensor | None
    fields: Mapping[str, Tensor]
    seed: int
    first_block: int
    numbers: Tensor
    following: Tensor
    shares: Tensor
    styles: Tensor | None = None

    @classmethod
    def of_images(
        cls, z: Tensor, labels: Tensor | None, fields: Mapping[str, Tensor], seed: int, first_block: int = 0
    ) -> SampleInputs:
        """The inputs of n successive images, from the first one of a block on."""
        numbers = first_block * BLOCK + torch.arange(len(z), device="cpu")
        return cls(z, labels, fields, seed, first_block, numbers, numbers, torch.zeros(len(z), device="cpu"))

    @classmethod
    def cat(cls, parts: Sequence[SampleInputs]) -> SampleInputs:
        """The inputs of successive blocks, together."""
        first = parts[0]

        def joined(values: Sequence[Tensor | None]) -> Tensor | None:
            return None if values[0] is None else torch.cat([value for value in values if value is not None])

        fields = {name: torch.cat([part.fields[name] for part in parts]) for name in first.fields}
        labels, styles = joined([part.labels for part in parts]), joined([part.styles for part in parts])
        z = torch.cat([part.z for part in parts])
        return replace(cls.of_images(z, labels, fields, first.seed, first.first_block), styles=styles)

    def interpolated(self, latent: Latent, steps: int) -> SampleInputs:
        """The inputs of ``steps`` images from each image towards the next, [n steps] of them, and from the last to the
        first. Labels and fields are those of the row's first image. Styles are interpolated linearly.
        """
        starts = self.rows(torch.arange(len(self)).repeat_interleave(steps))
        shares = (torch.arange(steps) / steps).repeat(len(self))
        styles = starts.styles
        if styles is not None and self.styles is not None:
            ends = self.styles.roll(-1, dims=0).repeat_interleave(steps, dim=0)
            styles = torch.lerp(styles, ends, shares[:, None, None])
        return replace(
            starts,
            z=interpolate_latents(latent, self.z, steps).flatten(0, 1),
            following=self.numbers.roll(-1).repeat_interleave(steps),
            shares=shares,
            styles=styles,
        )

    def block(self, number: int) -> SampleInputs:
        """Block ``number`` of these images."""
        part = self.rows(slice(number * BLOCK, (number + 1) * BLOCK))
        return replace(part, first_block=self.first_block + number)

    def repeated(self, row: int, fields: Mapping[str, Tensor]) -> SampleInputs:
        """Image ``row``, once for each of the rows of other ``fields``."""
        rows = torch.full((len(next(iter(fields.values()))),), row)
        return replace(replace(self, fields={}).rows(rows), fields=fields)

    def rows(self, rows: slice | Tensor) -> SampleInputs:
        """Some of the images, by a slice or by their rows [m]."""
        return replace(
            self,
            z=self.z[rows],
            labels=None if self.labels is None else self.labels[rows],
            fields={name: values[rows] for name, values in self.fields.items()},
            numbers=self.numbers[rows],
            following=self.following[rows],
            shares=self.shares[rows],
            styles=None if self.styles is None else self.styles[rows],
        )

    def __len__(self) -> int:
        return len(self.z)


@dataclass
class DeviceInputs:
    """Inputs on the device of a generator. The interface is `gankit.Inputs`.

    Attributes:
        drawn: the same on the CPU.
        image: the images of the networks.
        like: a tensor of the device and dtype.
    """

    drawn: SampleInputs
    image: ImageSpec
    like: Tensor
    _calls: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        drawn = self.drawn
        labels = drawn.labels
        if labels is not None:
            labels = labels.to(self.like if labels.is_floating_point() else self.like.device)
        fields = {name: tensor.to(self.like) for name, tensor in drawn.fields.items()}
        self._values = {"labels": labels, **fields, "z": drawn.z.to(self.like)}

    @property
    def image_shape(self) -> tuple[int, int, int]:
        return self.image.channels, self.image.height, self.image.width

    def __len__(self) -> int:
        return len(self.drawn)

    def __getitem__(self, name: str) -> Any:
        if name not in self._values:
            raise KeyError(f"samples have no input {name!r}{did_you_mean(name, self._values)}")
        return self._values[name]

    def normal(self, *shape: int) -> Tensor:
        start, end = self._draw(torch.randn, shape)
        share = self.drawn.shares
        if bool(share.any()):
            start = slerp(start.flatten(1), end.flatten(1), share[:, None]).view_as(start)
        return start.to(self.like)

    def uniform(self, *shape: int) -> Tensor:
        return self._draw(torch.rand, shape)[0].to(self.like)

    def full(self, value: float) -> Tensor:
        return self.like.new_full((len(self),), value)

    def run(self, network: nn.Module, **options: Any) -> Any:
        names = forward_names("generator", network, [name for name in self.drawn.fields if name != IMAGE])
        own = {name: self[name] for name in names if name in self._values}
        return network(*select_arguments(names, {**default_values(network.forward), **own}), **options)

    def _draw(self, draw: Callable[..., Tensor], shape: tuple[int, ...]) -> tuple[Tensor, Tensor]:
        """The numbers [n *shape] of this call of the images, and of those that they are interpolated towards."""
        self._calls += 1
        drawn = self.drawn
        numbers = {*drawn.numbers.tolist(), *drawn.following.tolist()}
        by_number = {number: draw(*shape, generator=self._generator(number), device="cpu") for number in numbers}
        start, end = ([by_number[n] for n in chosen.tolist()] for chosen in (drawn.numbers, drawn.following))
        return torch.stack(start), torch.stack(end)

    def _generator(self, number: int) -> torch.Generator:
        seed = block_seed(self.drawn.seed, number // BLOCK)
        entropy = np.random.SeedSequence(seed, spawn_key=(NOISE, self._calls, number % BLOCK))
        return torch.Generator("cpu").manual_seed(int(entropy.generate_state(1, np.uint64)[0] >> 1))
