"""The interface of formats of weight files that other projects write."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .data_spec import ImageSpec

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class ForeignNetwork:
    """A network in a weight file of another project, as data.

    Attributes:
        tensors: its parameters and buffers by name, as in a state dict.
        attributes: plain values around them: for a pickled network, the attributes of its modules by dotted path, such
            as ``mapping.fc0.activation``; for a state dict, the other entries of the file, such as ``latent_avg``.
    """

    tensors: Mapping[str, Tensor]
    attributes: Mapping[str, Any] = field(default_factory=dict)

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of a tensor. Raises: ValueError: the network lacks it."""
        if name not in self.tensors:
            raise ValueError(f"it lacks {name}")
        return tuple(self.tensors[name].shape)

    def attribute(self, name: str) -> Any:
        """An attribute. Raises: ValueError: the network lacks it."""
        if name not in self.attributes:
            raise ValueError(f"it lacks the attribute {name}")
        return self.attributes[name]

    def count(self, pattern: str, start: int = 0) -> int:
        """The number of tensors whose names are ``pattern`` with ``start``, ``start + 1``, ... in place of ``*``."""
        numbers = itertools.count(start)
        return next(n for n in numbers if pattern.replace("*", str(n)) not in self.tensors) - start


@dataclass(frozen=True)
class Converted:
    """A weight that is computed from one of the file, for example transposed.

    Attributes:
        name: of the tensor in the file.
        function: from that tensor to the weight.
    """

    name: str
    function: Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Conversion:
    """How a network of a file becomes a registered generator or discriminator.

    Attributes:
        component: its registered name.
        params: its parameters, as in a recipe.
        image: the images, with the number of classes.
        weights: for each name in the component's state dict: the name of the tensor in the file, a `Converted`, or the
            weight itself.
        latent_dim: dimensions of the latents; 0 for a discriminator.
        constants: tensors of the file that are not weights, and the values that they must have, such as the filter of
            an upsampling layer.
    """

    component: str
    params: Mapping[str, Any]
    image: ImageSpec
    weights: Mapping[str, str | Converted | Tensor]
    latent_dim: int = 0
    constants: Mapping[str, Tensor] = field(default_factory=dict)


class WeightFormat:
    """Base class of the formats that ``gankit import`` reads. Built without parameters.

    Attributes:
        licence: a sentence about the licence of the weights that the project publishes.
        pickled_classes: patterns of the names of the project's own classes in pickled networks, such as
            ``training.networks.*``. Their objects are read as data, without their code.
    """

    licence: str
    pickled_classes: tuple[str, ...] = ()

    def generator(self, network: ForeignNetwork) -> Conversion | None:
        """The conversion of a generator; None if the network is not a generator of this format.

        Raises:
            ValueError: the network is of this format, but gankit lacks one of its features.
        """
        return None

    def discriminator(self, network: ForeignNetwork) -> Conversion | None:
        """The same for a discriminator."""
        return None
