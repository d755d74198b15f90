"""The interface of formats of weight files that other projects write."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from .data_spec import ImageSpec

if TYPE_CHECKING:
    from torch import Tensor

SPECTRAL_NORM = {
    "weight_orig": "parametrizations.weight.original",
    "weight_u": "parametrizations.weight.0._u",
    "weight_v": "parametrizations.weight.0._v",
}


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

    def has(self, *names: str) -> bool:
        """Whether it has all these tensors. The name of a ``weight`` also stands for one with spectral norm."""
        return all(name in self.tensors or f"{name}_orig" in self.tensors for name in names)

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of a tensor, named as in `has`. Raises: ValueError: the network lacks it."""
        tensor = self.tensors.get(name, self.tensors.get(f"{name}_orig"))
        if tensor is None:
            raise ValueError(f"it lacks {name}")
        return tuple(tensor.shape)

    def attribute(self, name: str) -> Any:
        """An attribute. Raises: ValueError: the network lacks it."""
        if name not in self.attributes:
            raise ValueError(f"it lacks the attribute {name}")
        return self.attributes[name]

    def count(self, pattern: str, start: int = 0) -> int:
        """The number of tensors whose names are ``pattern`` with ``start``, ``start + 1``, ... in place of ``*``."""
        numbers = itertools.count(start)
        return next(n for n in numbers if pattern.replace("*", str(n)) not in self.tensors) - start

    def layer(self, ours: str, theirs: str, function: Callable[[Tensor], Tensor] | None = None) -> Weights:
        """The weights of a layer, whose names begin with ``theirs`` in the file and with ``ours`` in gankit's network.

        Those of `torch.nn.utils.spectral_norm` get the names of `torch.nn.utils.parametrizations.spectral_norm`.

        Args:
            ours: dotted path of the layer.
            theirs: the same.
            function: converts all of its weights.
        """
        inside = [name.removeprefix(f"{theirs}.") for name in self.tensors if name.startswith(f"{theirs}.")]
        sources = {f"{ours}.{SPECTRAL_NORM.get(name, name)}": f"{theirs}.{name}" for name in inside}
        return {name: Converted(source, function) if function else source for name, source in sources.items()}


@dataclass(frozen=True)
class Converted:
    """A weight that is computed from one of the file, for example transposed.

    Attributes:
        name: of the tensor in the file.
        function: from that tensor to the weight.
    """

    name: str
    function: Callable[[Tensor], Tensor]


Weights: TypeAlias = "dict[str, str | Converted | Tensor]"
"""For each name in the state dict of a registered network: the name of the tensor in the file, a `Converted`, or the
weight itself.
"""


@dataclass(frozen=True)
class Conversion:
    """How a network of a file becomes a registered generator or discriminator.

    Attributes:
        component: its registered name.
        params: its parameters, as in a recipe.
        image: the images, with the number of classes.
        weights: where the weights of the component come from.
        latent_dim: dimensions of the latents; 0 for a discriminator.
        constants: tensors of the file that are not weights, and the values that they must have, such as the filter of
            an upsampling layer.
    """

    component: str
    params: Mapping[str, Any]
    image: ImageSpec
    weights: Weights
    latent_dim: int = 0
    constants: Mapping[str, Tensor] = field(default_factory=dict)


class WeightFormat:
    """Base class of the formats that ``gankit import`` reads. Built without arguments.

    Attributes:
        license: a sentence about the license of the weights that the project publishes.
        pickled_classes: patterns of the names of the project's own classes in pickled networks, such as
            ``training.networks.*``. Their objects are read as data, without their code.
    """

    license: str = "The license of these weights is unknown to gankit; ask their authors."
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
