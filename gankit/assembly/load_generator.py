"""Build a trained generator from a checkpoint: without recipe, dataset or discriminator."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from ..data.encodings.image_codec import ImageCodec
from ..errors import CheckpointError
from ..game.game import Game
from ..injection import constructor_arguments
from ..interfaces import DataSpec, ImageSpec
from ..messages import one_line, truncate
from ..networks.frozen import frozen_networks
from ..recipe.located_document import Document
from ..registered_component import Selected
from ..registry import Registries
from ..runs.checkpoint import Checkpoint
from ..runs.file_names import INPUTS, MANIFEST
from ..runs.sampling_items import MissingItemsError, load_items
from ..sampling.samples import Sampling
from ..sampling.trained_generator import TrainedGenerator
from ..training.network_copies import build_again
from ..training.scheduled_parameters import ComponentSchedule
from .build_limits import build_within
from .codec import CODEC, frozen_codec, prepare_codec
from .data_manifest import read_data
from .frozen_networks import load_kept_networks, read_kept_networks
from .sampled_items import sampling_fields
from .selection import select


class UnknownComponentError(CheckpointError):
    """The checkpoint names a component that is not registered, or parameters that it does not take."""


def build_trained_generator(
    checkpoint: Checkpoint, registries: Registries, device: torch.device, ema: bool = True
) -> TrainedGenerator:
    """The generator of a checkpoint: the EMA's if ``ema`` is set and the checkpoint has one.

    Raises:
        UnknownComponentError: its architecture or latent distribution is not registered.
        CheckpointError: the checkpoint is damaged, or does not describe a generator.
    """
    folder, manifest = checkpoint.path, checkpoint.manifest
    kept = read_kept_networks(checkpoint)
    try:
        data = read_data(manifest)
        image = data.image
        latent_dim = int(manifest["latent"]["dim"])
        classes = tuple(str(name) for name in manifest["classes"]) if image.classes else None
        frequencies = _frequencies(manifest["frequencies"], image.classes) if image.classes else None
        selected = select_described(registries, "latents", manifest["latent"])
        latent = selected.build(dim=latent_dim)
        ComponentSchedule(latent, selected.params).advance(int(manifest["images"]))
        name = "generator_ema" if ema and checkpoint.bytes_of("generator_ema") else "generator"
        stored = checkpoint.bytes_of(name)
        game = _game(registries, manifest)
        codec = _codec(registries, manifest, data, device, has_weights="codec" in kept)
        seen = data if codec is None else data.with_image(codec.encoded)
        network = build_network(registries, manifest, seen, stored)
    except UnknownComponentError as error:
        raise UnknownComponentError(f"{folder}: {error}") from None
    except Exception as error:  # the manifest may come from an untrusted file
        fault = f"it lacks {error}" if isinstance(error, KeyError) else f"{type(error).__name__}: {one_line(error)}"
        raise CheckpointError(f"{folder / MANIFEST}: does not describe a generator: {truncate(fault, 400)}") from None
    parts = {"generator": network, **({} if codec is None else {"codec": codec.part})}
    load_kept_networks(frozen_networks(parts), kept, checkpoint)
    checkpoint.load_network(name, network)
    network.to(device).eval().requires_grad_(False)
    wanted = sampling_fields(network, seen, game)
    shapes = {name: seen.shape_of(field) for name, field in wanted.items()}
    items, missing = {}, None
    try:
        items = load_items(checkpoint.folder_of(INPUTS), shapes) if shapes else {}
    except MissingItemsError as error:
        missing = error
    specs = {name: seen[name] for name in wanted if name in seen}
    sampling = Sampling(
        latent, image, frequencies, items, missing=missing, specs=specs, game=game, codec=codec, data=data
    )
    weights = checkpoint.sha256_of(name)
    return TrainedGenerator(network, sampling, classes, folder, ema=name == "generator_ema", weights=weights)


def build_network(registries: Registries, manifest: Mapping[str, Any], data: DataSpec, max_bytes: int) -> nn.Module:
    """The network G that a manifest describes, with initial weights.

    Args:
        registries: with the component.
        manifest: of a checkpoint, or its entries in an exported file.
        data: which the network sees.
        max_bytes: of its weights, as a network from an untrusted file may be huge.

    Raises:
        UnknownComponentError: its architecture is not registered.
        Exception: of any kind, where the entries are invalid.
    """
    selected = select_described(registries, "generators", manifest["generator"])
    latent_dim = int(manifest["latent"]["dim"])
    network = build_again(
        lambda: build_within(lambda: selected.build(**constructor_arguments(data, latent_dim)), max_bytes)
    )
    ComponentSchedule(network, selected.params).advance(int(manifest["images"]))
    return network


def _codec(
    registries: Registries, manifest: Mapping[str, Any], data: DataSpec, device: torch.device, has_weights: bool
) -> ImageCodec | None:
    """The codec of a checkpoint; None if it has none. ``has_weights``: the run directory has its weights."""
    if CODEC not in manifest:
        return None
    described = manifest[CODEC]
    channels, height, width = (int(size) for size in described["encoded"])
    codec = frozen_codec(select_described(registries, "codecs", described), data)
    if not has_weights:
        prepare_codec(codec)
    built = ImageCodec(codec, ImageSpec(height, width, channels, data.image.classes), device, torch.float32)
    built.read_standardization(described)
    return built


def _game(registries: Registries, manifest: Mapping[str, Any]) -> Game:
    """The game that generates the images of a checkpoint. Most games leave that to G, as all of 0.1.0 do."""
    described = manifest.get("game", {})
    if not described.get("generates"):
        return Game()
    selected = select_described(registries, "games", described)
    game: Game = selected.build()
    ComponentSchedule(game, selected.params).advance(int(manifest["images"]))
    return game


def _frequencies(shares: Sequence[Any], classes: int) -> list[float]:
    frequencies = [float(share) for share in shares]
    if len(frequencies) != classes or not all(0 <= share < math.inf for share in frequencies) or not sum(frequencies):
        raise ValueError(f"frequencies are not {classes} shares")
    return frequencies


def select_described(registries: Registries, kind: str, description: Mapping[str, Any]) -> Selected:
    """The component that a manifest describes. Raises: UnknownComponentError: it is not registered."""
    name, registry = str(description["name"]), getattr(registries, kind)
    selected, problems = select(registries, kind, name, description.get("params", {}), Document({}), ())
    if selected is None:
        faults = "; ".join(problem.message if name not in registry else str(problem) for problem in problems)
        prefix = f"{registry.singular} '{name}': " if name in registry else ""
        raise UnknownComponentError(f"{prefix}{faults}")
    return selected
