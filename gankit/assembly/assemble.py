"""Assemble the setup of a run from a checked recipe: data, networks, components, optimizers and callbacks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from torch import nn

from ..data.loader import Loader
from ..device.engine import Engine
from ..device.find_device import find_device
from ..distributed.join import join_processes
from ..distributed.processes import Processes
from ..errors import DataError, RecipeError
from ..game.compiled_networks import CompiledNetworks
from ..game.game import Game
from ..interfaces import PLAYERS, Dataset, ImageSpec
from ..recipe.checked import CheckedRecipe
from ..recipe.model import Recipe
from ..registry import Registries
from ..runs.checkpoint import Checkpoint
from ..sampling.samples import GeneratorInputs
from ..training.callbacks import Callbacks
from ..training.schedules import ComponentSchedule
from ..training.setup import TrainingSetup
from ..training.train_state import TrainState
from .components import Components, build_components, named_components, of_section, require_checkpointed_and_trained
from .networks import build_networks, move_to_device, set_initial_weights, try_networks
from .optimizers import build_optimizers


def assemble_setup(
    checked: CheckedRecipe,
    extra_callbacks: Iterable[tuple[str, Any]],
    about: Mapping[str, Any],
    registries: Registries,
    *,
    fresh: bool,
    resumed: Checkpoint | None = None,
) -> TrainingSetup:
    """The setup of a run.

    Args:
        checked: the recipe with its components.
        extra_callbacks: of plugins, called before the recipe's.
        about: versions and plugins, for ``run.json`` and the manifest.
        registries: of the runtime.
        fresh: whether the run starts from ``initialize:`` if the recipe has it.
        resumed: the checkpoint that the run continues from, whose weights limit the size of the networks.

    Raises:
        CheckpointError: a network is far larger than its weights in ``resumed``.
        RecipeError: the data or ``initialize:`` do not fit the recipe.
        DataError: the dataset is missing, damaged or too small.
        GankitError: this machine lacks the device.
    """
    recipe = checked.recipe
    train, seed = recipe.train, recipe.seed
    processes = join_processes(train.device)
    _require_equal_shares(recipe, processes.world_size)
    engine = Engine(
        processes.device or find_device(train.device),
        train.precision,
        tf32=train.tf32,
        deterministic=train.deterministic,
        rank=processes.rank,
    )
    dataset = checked.build("dataset")
    processes.rank_zero_first(dataset.prepare)
    image = _image(recipe, dataset)
    loader = Loader(
        dataset, image, recipe.loader, seed, engine.device, engine.dtype, processes.rank, processes.world_size
    )
    with engine.build_scope(seed):
        built = build_networks(checked, image, resumed)
        components = build_components(checked, image)
    networks = {player: move_to_device(network, recipe, engine, processes) for player, network in built.items()}
    for part in components.values():
        if isinstance(part, nn.Module):
            part.to(engine.device, engine.dtype)
    require_checkpointed_and_trained(components, recipe)
    named = named_components(components, checked)
    optimizers, optimizer_schedules = build_optimizers(checked, networks)
    state = TrainState(networks["generator"], networks["discriminator"], optimizers)
    set_initial_weights(state, recipe, processes, fresh)
    try_networks(checked, state, image, engine)
    game = _game(recipe, networks, components, named, engine, processes)
    callbacks = [(selected.entry.name, selected.build()) for selected in checked.of_section("callbacks").values()]
    classes = tuple(dataset.classes or ()) if image.classes else None
    frequencies = _class_frequencies(loader, image.classes) if image.classes else None
    return TrainingSetup(
        checked=checked,
        image=image,
        classes=classes,
        inputs=GeneratorInputs(components["latent",], image, frequencies),
        loader=loader,
        engine=engine,
        processes=processes,
        rules=game.rules,
        game=game,
        state=state,
        schedules=[*_component_schedules(checked, components, state), *optimizer_schedules],
        components=named,
        callbacks=Callbacks([*extra_callbacks, *callbacks]),
        about={
            **about,
            "device": str(engine.device),
            "precision": engine.precision,
            "seed": seed,
            "world_size": processes.world_size,
            "threads": torch.get_num_threads(),
        },
        manifest={
            **about,
            "precision": engine.precision,
            **_network_description(checked, image),
            "classes": classes,
            "frequencies": frequencies,
        },
        registries=registries,
    )


def _require_equal_shares(recipe: Recipe, world_size: int) -> None:
    """Raises: RecipeError: the batch cannot be divided equally among the processes."""
    size = recipe.loader.batch_size
    if size % world_size:
        lower = size - size % world_size
        message = (
            f"{size} images cannot be divided equally among {world_size} processes; use "
            f"{f'{lower} or ' if lower else ''}{lower + world_size} (it counts the images of all processes together)"
        )
        raise RecipeError([recipe.document.problem(("loader", "batch_size"), message)])


def _image(recipe: Recipe, dataset: Dataset) -> ImageSpec:
    """The images of the run; it has classes only if the recipe is conditional."""
    classes = len(dataset.classes or ()) if recipe.conditional else 0
    if recipe.conditional and not classes:
        message = f"is true, but the data of '{recipe.dataset.name}' has no labels; use labelled data or false"
        raise RecipeError([recipe.document.problem(("conditional",), message)])
    return ImageSpec(*recipe.image.size, dataset.spec.channels, classes)


def _game(
    recipe: Recipe,
    networks: Mapping[str, Any],
    components: Components,
    named: Mapping[str, Any],
    engine: Engine,
    processes: Processes,
) -> Game:
    prefix = "regularizers."
    return Game(
        **networks,
        latent=components["latent",],
        loss=components["loss",],
        regularizers={name.removeprefix(prefix): part for name, part in named.items() if name.startswith(prefix)},
        augmentations=[*of_section(components, "augmentations")],
        engine=engine,
        random=torch.Generator(engine.device),
        processes=processes,
        discriminator_steps=recipe.train.discriminator_steps,
        fresh_fakes=recipe.train.fresh_fakes,
        microbatch=recipe.train.microbatch,
        clip_gradient=recipe.train.clip_gradient,
        compiled=CompiledNetworks(**networks, engine=engine) if recipe.train.compile else None,
        rules=components["train", "game"],
    )


def _component_schedules(
    checked: CheckedRecipe, components: Components, state: TrainState
) -> Iterator[ComponentSchedule]:
    """The schedules of the parameters of components, networks and the EMA."""
    for path, part in components.items():
        yield ComponentSchedule(part, checked[path].params)
    yield ComponentSchedule(state.generator, checked["generator"].params)
    yield ComponentSchedule(state.discriminator, checked["discriminator"].params)
    if state.ema is not None:
        yield ComponentSchedule(state.ema.module, checked["generator"].params)


def _class_frequencies(loader: Loader, classes: int) -> list[float]:
    """The share of each class in the data."""
    labels = loader.labels()
    if labels.min() < 0 or labels.max() >= classes:
        raise DataError(f"the dataset has labels from {labels.min()} to {labels.max()}, but names {classes} classes")
    return [float(share) for share in np.bincount(labels, minlength=classes) / len(labels)]


def _network_description(checked: CheckedRecipe, image: ImageSpec) -> dict[str, Any]:
    """Everything that the networks and the latent distribution can be built from again."""

    def described(name: str) -> dict[str, Any]:
        selected = checked[name]
        return {"name": selected.entry.name, "params": selected.plain_params()}

    return {
        "image": asdict(image),
        "latent": {"dim": checked.recipe.latent.dim, **described("latent")},
        **{player: described(player) for player in reversed(PLAYERS)},
    }
