"""Build a trained generator from a checkpoint: without recipe, dataset or discriminator."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import CheckpointError
from ..injection import network_context
from ..messages import one_line, truncate
from ..recipe.located_document import Document
from ..registered_component import Selected
from ..registry import Registries
from ..runs.checkpoint import Checkpoint
from ..runs.file_names import MANIFEST
from ..runs.sampling_items import load_items
from ..sampling.samples import GeneratorInputs
from ..sampling.trained_generator import TrainedGenerator
from ..training.network_copies import build_again
from ..training.scheduled_parameters import ComponentSchedule
from .build_limits import build_within
from .data_description import conditions_of, read_data
from .selection import select


class UnknownComponentError(CheckpointError):
    """The checkpoint names a component that is not registered, or parameters that it does not take."""


def build_trained_generator(
    checkpoint: Checkpoint, registries: Registries, device: str = "cpu", ema: bool = True
) -> TrainedGenerator:
    """The generator of a checkpoint: the EMA's if ``ema`` is set and the checkpoint has one.

    Raises:
        UnknownComponentError: its architecture or latent distribution is not registered.
        CheckpointError: the checkpoint is damaged, or does not describe a generator.
    """
    folder, manifest = checkpoint.path, checkpoint.manifest
    try:
        data = read_data(manifest)
        image = data.image
        latent_dim = int(manifest["latent"]["dim"])
        classes = tuple(str(name) for name in manifest["classes"]) if image.classes else None
        frequencies = _frequencies(manifest["frequencies"], image.classes) if image.classes else None
        latent = _select(registries, "latents", manifest["latent"]).build(dim=latent_dim)
        selected = _select(registries, "generators", manifest["generator"])
        name = "generator_ema" if ema and checkpoint.bytes_of("generator_ema") else "generator"
        stored = checkpoint.bytes_of(name)
        network = build_again(lambda: build_within(lambda: selected.build(**network_context(data, latent_dim)), stored))
        ComponentSchedule(network, selected.params).advance(int(manifest["images"]))
    except UnknownComponentError as error:
        raise UnknownComponentError(f"{folder}: {error}") from None
    except Exception as error:  # the manifest may come from an untrusted file
        fault = f"it lacks {error}" if isinstance(error, KeyError) else f"{type(error).__name__}: {one_line(error)}"
        raise CheckpointError(f"{folder / MANIFEST}: does not describe a generator: {truncate(fault, 400)}") from None
    checkpoint.load_network(name, network)
    network.to(device).eval().requires_grad_(False)
    wanted = conditions_of(network, data)
    shapes = {name: data.shape_of(field) for name, field in wanted.items()}
    items = load_items(folder.absolute().parent.parent, shapes) if shapes else {}
    inputs = GeneratorInputs(latent, image, frequencies, items)
    return TrainedGenerator(network, inputs, classes, checkpoint=folder, ema=name == "generator_ema")


def _frequencies(shares: Sequence[Any], classes: int) -> list[float]:
    frequencies = [float(share) for share in shares]
    if len(frequencies) != classes or not all(0 <= share < math.inf for share in frequencies) or not sum(frequencies):
        raise ValueError(f"frequencies are not {classes} shares")
    return frequencies


def _select(registries: Registries, kind: str, description: Mapping[str, Any]) -> Selected:
    name, registry = str(description["name"]), getattr(registries, kind)
    selected, problems = select(registries, kind, name, description.get("params", {}), Document({}), ())
    if selected is None:
        faults = "; ".join(problem.message if name not in registry else str(problem) for problem in problems)
        prefix = f"{registry.singular} '{name}': " if name in registry else ""
        raise UnknownComponentError(f"{prefix}{faults}")
    return selected
