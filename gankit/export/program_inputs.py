"""The inputs of an exported program: what `gankit.Game.generate` takes from the inputs of samples, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from itertools import count
from typing import Any

import torch
from torch import Tensor
from torch.export import Dim

from ..game.game import has_own_generate
from ..interfaces import ImageSpec
from ..sampling.sample_inputs import DeviceInputs, SampleInputs
from ..sampling.trained_generator import TrainedGenerator


class ProgramInputs(DeviceInputs):
    """Inputs of samples that record what is taken from them, or replace it by the inputs of a program.

    Random numbers that a game draws are inputs as well, such as ``normal_1`` for those of the first call.

    Args:
        drawn: the inputs on the CPU.
        image: the images of the networks.
        given: the inputs of a program by name, which replace those of ``drawn``.

    Attributes:
        taken: what was taken, [n ...] by name.
    """

    def __init__(self, drawn: SampleInputs, image: ImageSpec, given: Mapping[str, Tensor] | None = None) -> None:
        super().__init__(drawn, image, torch.empty(0))
        self.given = given
        self.taken: dict[str, Tensor] = {}
        self._draws = count(1)

    def __getitem__(self, name: str) -> Any:
        value = super().__getitem__(name)
        return value if value is None else self._take(name, lambda: value)

    def normal(self, *shape: int) -> Tensor:
        draw = super().normal
        return self._take(self._next("normal"), lambda: draw(*shape))

    def uniform(self, *shape: int) -> Tensor:
        draw = super().uniform
        return self._take(self._next("uniform"), lambda: draw(*shape))

    def full(self, value: float) -> Tensor:
        if self.given is None:
            return super().full(value)
        batch = next(tensor for tensor in self.given.values() if tensor.dim())
        return self.like.new_full((batch.shape[0],), value)

    def _next(self, distribution: str) -> str:
        return f"{distribution}_{next(self._draws)}"

    def _take(self, name: str, draw: Callable[[], Tensor]) -> Tensor:
        self.taken[name] = draw() if self.given is None else self.given[name]
        return self.taken[name]


@dataclass(frozen=True)
class ResizableField:
    """A field of images whose height and width may be larger than in training, by multiples of ``multiple``."""

    name: str
    spec: ImageSpec
    multiple: int

    def larger(self, rows: int, columns: int) -> tuple[int, int]:
        """The size in training, enlarged by multiples."""
        return self.spec.height + rows * self.multiple, self.spec.width + columns * self.multiple

    def dimensions(self) -> dict[int, Any]:
        """The dynamic dimensions of a tensor [n c h w], at least as large as in training."""
        sides = {2: ("h", self.spec.height), 3: ("w", self.spec.width)}
        units = {index: Dim(name, min=side // self.multiple) for index, (name, side) in sides.items()}
        return {index: self.multiple * unit if self.multiple > 1 else unit for index, unit in units.items()}

    def output_size(self, image: ImageSpec) -> tuple[str, str]:
        """Height and width of the generated images, such as ``4*h`` and ``4*w``."""
        scale = Fraction(image.height, self.spec.height)
        factor = "" if scale == 1 else f"{scale}*"
        return f"{factor}h", f"{factor}w"


def resizable_field(generator: TrainedGenerator) -> ResizableField | None:
    """The field of images that a network which declares ``size_multiple`` takes in other sizes."""
    sampling, multiple = generator.sampling, getattr(generator.module, "size_multiple", None)
    images = {name: spec for name, spec in sampling.specs.items() if isinstance(spec, ImageSpec)}
    if multiple is None or len(images) != 1 or sampling.codec is not None or has_own_generate(sampling.game):
        return None
    ((name, spec),) = images.items()
    return ResizableField(name, spec, multiple)


def draw_inputs(
    generator: TrainedGenerator, count: int, seed: int, resizable: ResizableField | None = None
) -> SampleInputs:
    """Inputs of samples with fields of random numbers, so that no real items are needed, and with all classes in turn.

    Args:
        generator: the trained generator.
        count: number of images, n.
        seed: of the numbers.
        resizable: is larger than in training, by another number of rows than of columns.
    """
    sampling, random = generator.sampling, torch.Generator().manual_seed(seed)
    shapes = {name: spec.shape for name, spec in sampling.specs.items()}
    if resizable is not None:
        shapes[resizable.name] = (resizable.spec.channels, *resizable.larger(1 + seed % 2, 2))
    if sampling.data is not None and sampling.data.label is not None:
        shapes["labels"] = sampling.data.label.shape
    fields = {name: 2 * torch.rand(count, *shape, generator=random) - 1 for name, shape in shapes.items()}
    classes = generator.image.classes
    labels = [(seed + index) % classes for index in range(count)] if classes else None
    return sampling.draw(count, seed, labels, fields)


def network_image(generator: TrainedGenerator) -> ImageSpec:
    """The images that the network generates, which a codec may decode."""
    codec = generator.sampling.codec
    return generator.image if codec is None else codec.encoded
