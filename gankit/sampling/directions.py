"""Directions in the space of latents or styles along which images change: SeFa and GANSpace.

Shapes: ``n`` samples, ``d`` dimensions of a latent, ``l`` layers, ``s`` features of a style, ``m`` inputs and ``k``
outputs of a layer, ``v`` dimensions of the space: d, or s for styles.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import GankitError
from ..files import output_file, save_safetensors
from ..messages import did_you_mean
from .latent_files import open_tensors
from .sample_inputs import SampleInputs
from .trained_generator import TrainedGenerator

PROBES = 64  # latents at a time
SAMPLES = 4096  # of the principal components, and of the standard deviation along a direction


@dataclass(frozen=True)
class Directions:
    """Named directions.

    Attributes:
        vectors: by name: [d] for latents, [l s] for styles. An amount of 1 is a standard deviation of random latents or
            styles along the direction.
        about: the method, and the hash of the weights.
    """

    vectors: Mapping[str, Tensor]
    about: Mapping[str, str]

    def move(
        self,
        generator: TrainedGenerator,
        inputs: SampleInputs,
        amounts: Mapping[str, float],
        options: Mapping[str, Any],
    ) -> SampleInputs:
        """The inputs moved along directions by these amounts.

        Raises:
            ValueError: a direction does not exist or does not fit the generator.
        """
        for name, amount in amounts.items():
            if name not in self.vectors:
                raise ValueError(f"no direction is called {name!r}{did_you_mean(name, self.vectors)}")
            vector = self.vectors[name]
            if vector.dim() == 2:
                inputs = generator.with_styles(inputs, **options)
            values = inputs.z if vector.dim() == 1 else inputs.styles
            if values is None or values.shape[1:] != vector.shape:
                raise ValueError(f"the direction {name!r} is {list(vector.shape)}, and does not fit this generator")
            moved = values + amount * vector
            inputs = replace(inputs, z=moved) if vector.dim() == 1 else replace(inputs, styles=moved)
        return inputs

    def table(
        self,
        generator: TrainedGenerator,
        inputs: SampleInputs,
        rows: Sequence[Mapping[str, float]],
        options: Mapping[str, Any],
    ) -> Tensor:
        """The same images in each row, moved by the amounts of the row: uint8 [r k c h w]."""
        moved = [self.move(generator, inputs, amounts, options) for amounts in rows]
        return torch.stack([generator.images(row, **options) for row in moved])

    def renamed(self, old: str, new: str) -> Directions:
        """With another name. Raises: ValueError: ``old`` does not exist, or ``new`` does."""
        if old not in self.vectors:
            raise ValueError(f"no direction is called {old!r}{did_you_mean(old, self.vectors)}")
        if new in self.vectors:
            raise ValueError(f"a direction is called {new!r} already")
        return replace(self, vectors={new if name == old else name: vector for name, vector in self.vectors.items()})

    def sha256(self) -> str:
        """A hash of the names and vectors, in hexadecimal."""
        digest = hashlib.sha256()
        for name, vector in self.vectors.items():
            digest.update(name.encode() + b"\0" + vector.contiguous().numpy().tobytes())
        return digest.hexdigest()

    def save(self, path: Path) -> None:
        """Write a safetensors file. Raises: GankitError: it cannot be written."""
        names = {f"name:{index:04}": name for index, name in enumerate(self.vectors)}
        with output_file(path) as temporary:
            tensors = {name: vector.contiguous() for name, vector in self.vectors.items()}
            save_safetensors(tensors, temporary, {**self.about, **names})

    @classmethod
    def load(cls, path: Path) -> Directions:
        """Read a file of `save`. Raises: GankitError: it cannot be read, or contains something else."""
        with open_tensors(path, "a file of directions", "; find directions with gankit directions") as file:
            metadata = file.metadata() or {}
            names = [metadata[key] for key in sorted(metadata) if key.startswith("name:")]
            vectors = {name: file.get_tensor(name).float() for name in names}
        if not vectors or not all(vector.dim() in (1, 2) and vector.isfinite().all() for vector in vectors.values()):
            raise GankitError(f"{path}: is not a file of directions; write one with gankit directions")
        return cls(vectors, {key: value for key, value in metadata.items() if not key.startswith("name:")})


def closed_form_directions(generator: TrainedGenerator, count: int, layers: range | None = None) -> Directions:
    """SeFa (arXiv 2007.06600, eq. 5): those that change most what the layers compute from the latents or styles.

    With A the weights of all layers whose input are latents or styles, stacked, they are the eigenvectors of AᵀA with
    the largest eigenvalues. Such layers are found by their inputs.

    Args:
        generator: whose images depend on latents and classes only.
        count: the number of directions, at most v; fewer are returned if there are fewer.
        layers: of the styles to consider and to change; None for all.

    Raises:
        ValueError: the generator does not take latents, no layer reads them, or it has fewer layers.
    """
    space = _Space(generator, layers)
    weights = torch.cat([matrix.double() for matrix in space.readers().values()])
    _, vectors = torch.linalg.eigh(weights.t() @ weights)
    return space.directions(vectors.flip(1)[:, :count].t().float(), "sefa")


def principal_directions(generator: TrainedGenerator, count: int, layers: range | None = None) -> Directions:
    """GANSpace (arXiv 2004.02546): principal components of styles, or of what the first layer computes from latents.

    Components of a layer are transferred to latents by linear regression (eq. 4).

    Args, Raises: as in `closed_form_directions`.
    """
    space = _Space(generator, layers)
    values = space.random().double()
    features = values if space.styled else space.features(values.float()).double()
    centered, features = values - values.mean(dim=0), features - features.mean(dim=0)
    left, scales, _ = torch.linalg.svd(features, full_matrices=False)
    count = min(count, int((scales > scales[0] * 1e-6).sum()))
    # the coordinates of the samples on the components, with variance 1, are uncorrelated
    coordinates = left[:, :count] * len(values) ** 0.5
    return space.directions((coordinates.t() @ centered / len(values)).float(), "pca", unit=False)


class _Space:
    """The space that directions are found in: styles if the generator has them, otherwise latents.

    Args:
        generator: of the images.
        layers: of the styles; None for all.
    """

    def __init__(self, generator: TrainedGenerator, layers: range | None) -> None:
        self.generator, self.styled = generator, generator.has_styles()
        self.options = dict(generator.deterministic_options)
        generator.require_function_of_latents(self.options)
        first = generator.draw(1)
        if self.styled:
            first = generator.with_styles(first)
            assert first.styles is not None
            number = first.styles.shape[1]
            self.layers = layers or range(number)
            if self.layers.stop > number:
                raise ValueError(f"this generator has the layers 0-{number - 1}")
        elif layers is not None:
            raise ValueError("this generator has no styles, and so no layers to choose from")
        self._first = first

    @property
    def dimensions(self) -> int:
        """v."""
        return int(self._values(self._first).shape[1])

    def random(self) -> Tensor:
        """Random latents or styles [n v]."""
        labels = None if self._first.labels is None else self._first.labels.repeat_interleave(SAMPLES, dim=0)
        inputs = self.generator.draw(SAMPLES, 0, labels)
        return self._values(self.generator.with_styles(inputs) if self.styled else inputs)

    def readers(self) -> dict[str, Tensor]:
        """The linear layers whose input are latents or styles, by name, with their weights [k v].

        Each input of such a layer depends on at most one of the v values, and its outputs are affine in it.
        """
        basis = torch.eye(self.dimensions)
        weights: dict[str, list[Tensor]] = {}
        others: set[str] = set()
        for part in basis.split(PROBES):
            for name, inputs, outputs in self._calls(torch.cat([torch.zeros(1, self.dimensions), part, 2 * part])):
                once, twice = (outputs[1:] - outputs[:1]).chunk(2)
                is_selection = ((inputs[1 : len(part) + 1] != inputs[:1]).sum(dim=0) <= 1).all()
                if not is_selection or not torch.allclose(twice, 2 * once, rtol=1e-3, atol=1e-5):
                    others.add(name)
                weights.setdefault(name, []).append(once)
        linear = {name: torch.cat(parts).t() for name, parts in weights.items() if name not in others}
        found = {name: weight for name, weight in linear.items() if weight.any()}
        if not found:
            raise ValueError("no linear layer or convolution of this generator has its latents as input")
        return {name: found[name] for name in found if not any(other.startswith(f"{name}.") for other in found)}

    def features(self, values: Tensor) -> Tensor:
        """The output of the first of these layers for values [n v]: [n k]."""
        first = next(iter(self.readers()))
        parts = [self._calls(part) for part in values.split(PROBES)]
        return torch.cat([outputs for calls in parts for name, _, outputs in calls if name == first])

    def _calls(self, values: Tensor) -> list[tuple[str, Tensor, Tensor]]:
        """The layers that run for these values: name, inputs [n m] and outputs [n k]."""
        with _recorded(self.generator.module) as calls:
            self._run(values)
        return calls

    def _run(self, values: Tensor) -> None:
        inputs = self._first.rows(torch.zeros(len(values), dtype=torch.int64))
        if self.styled:
            assert inputs.styles is not None
            styles = inputs.styles.clone()
            styles[:, self.layers] = values[:, None]
            inputs = replace(inputs, styles=styles)
        else:
            inputs = replace(inputs, z=values)
        with torch.no_grad():
            self.generator.sampling.forward(self.generator.module, inputs, self.options)

    def _values(self, inputs: SampleInputs) -> Tensor:
        return inputs.z if inputs.styles is None else inputs.styles[:, self.layers.start]

    def directions(self, vectors: Tensor, method: str, unit: bool = True) -> Directions:
        """Directions of vectors [count v]; those of ``unit`` length are scaled by the standard deviation."""
        if unit:
            vectors = vectors * (self.random() @ vectors.t()).std(dim=0)[:, None]
        largest = vectors.abs().argmax(dim=1, keepdim=True)
        vectors = vectors * vectors.gather(1, largest).sign()  # which of both ends is positive is arbitrary
        if self.styled and self._first.styles is not None:
            whole = torch.zeros(len(vectors), *self._first.styles.shape[1:])
            whole[:, self.layers] = vectors[:, None]
            vectors = whole
        about = {"method": method, "weights": str(self.generator.weights)}
        return Directions({str(number): vector.clone() for number, vector in enumerate(vectors)}, about)


@contextmanager
def _recorded(network: nn.Module) -> Iterator[list[tuple[str, Tensor, Tensor]]]:
    """A list of the modules with parameters that run inside the block: name, inputs [n m] and outputs [n k].

    Other threads may run the network at the same time.
    """
    calls: list[tuple[str, Tensor, Tensor]] = []
    own_thread = threading.get_ident()

    def hook_of(name: str) -> Callable[[nn.Module, Any, Any], None]:
        def hook(_: nn.Module, inputs: Any, output: Any) -> None:
            if threading.get_ident() != own_thread:
                return
            if inputs and all(isinstance(value, Tensor) and value.dim() >= 2 for value in (inputs[0], output)):
                calls.append((name, inputs[0].flatten(1).float().cpu(), output.flatten(1).float().cpu()))

        return hook

    modules = [
        (name, module)
        for name, module in network.named_modules()
        if name and next(module.parameters(), None) is not None
    ]
    handles = [module.register_forward_hook(hook_of(name)) for name, module in modules]
    try:
        yield calls
    finally:
        for handle in handles:
            handle.remove()
