"""The parts of a trainer, put together: data, networks, components, optimizers, callbacks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from torch import nn

from .selection import Selections, resolved
from ..data.loader import Loader
from ..errors import DataError, RecipeError
from ..interfaces import Dataset, ImageSpec
from ..recipe.model import Recipe
from ..registry import Registries
from ..training.callbacks import Callbacks
from ..runs.checkpoint import Checkpoint
from ..game.compiled_networks import CompiledNetworks
from ..device.engine import Engine
from ..game.game import Game
from ..training.setup import TrainingSetup
from ..distributed.join import join_processes
from ..training.schedules import ComponentSchedule
from ..training.train_state import TrainState
from .components import Components, build_components, names_of, require_nothing_lost
from .networks import bring_to_device, build_networks, set_first_weights
from .optimizers import build_optimizers


def assemble_setup(
    recipe: Recipe,
    choices: Selections,
    extra_callbacks: Iterable[tuple[str, Any]],
    about: Mapping[str, Any],
    registries: Registries,
    fresh: bool,
    resumed: Checkpoint | None = None,
) -> TrainingSetup:
    """The parts of a trainer; `fresh` ones start from ``initialize:`` where the recipe has it.

    Raises:
        CheckpointError: the networks are out of all proportion to those in the checkpoint ``resumed``.
        RecipeError: the data or ``initialize:`` do not fit the recipe.
        DataError: the data set is missing, damaged or too small.
        GankitError: this machine lacks the device.
    """
    processes = join_processes(recipe.train.device)
    _require_equal_shares(recipe, processes.world_size)
    engine = Engine(recipe.train, processes)
    dataset = choices["dataset",].build()
    processes.rank_zero_first(dataset.prepare)
    image = _image(recipe, dataset)
    settings, where = recipe.loader, (engine.device, engine.dtype)
    loader = Loader(dataset, image, settings, recipe.seed, *where, engine.rank, engine.world_size)
    with engine.build_scope(recipe.seed):
        built = build_networks(choices, image, recipe.latent.dim, resumed)
        components = build_components(choices, image, recipe.latent.dim)
    networks = {side: bring_to_device(network, recipe, engine) for side, network in built.items()}
    for part in components.values():
        if isinstance(part, nn.Module):
            part.to(engine.device, engine.dtype)
    require_nothing_lost(components, recipe)
    named = names_of(components, choices)
    optimizers, schedules = build_optimizers(recipe, networks, choices)
    state = TrainState(networks["generator"], networks["discriminator"], optimizers)
    set_first_weights(state, recipe, engine, fresh)
    game = _game(recipe, networks, components, named, engine)
    callbacks = [(chosen.entry.name, chosen.build()) for path, chosen in choices.items() if path[0] == "callbacks"]
    classes = tuple(dataset.classes or ()) if image.classes else None
    frequencies = _frequencies(loader, image.classes) if image.classes else None
    return TrainingSetup(
        recipe=resolved(recipe, choices),
        image=image,
        classes=classes,
        frequencies=frequencies,
        loader=loader,
        rules=game.rules,
        game=game,
        state=state,
        schedules=[*_schedules(choices, components, state), *schedules],
        components=named,
        callbacks=Callbacks([*extra_callbacks, *callbacks]),
        about={
            **about,
            "device": str(engine.device),
            "precision": engine.precision,
            "seed": recipe.seed,
            "world_size": engine.world_size,
            "threads": torch.get_num_threads(),
        },
        passport={
            **about,
            "precision": engine.precision,
            **_blueprint(recipe, choices, image),
            "classes": classes,
            "frequencies": frequencies,
        },
        registries=registries,
    )


def _require_equal_shares(recipe: Recipe, world_size: int) -> None:
    """Raises: RecipeError: the processes cannot share a batch equally."""
    size = recipe.loader.batch_size
    if size % world_size:
        lower = size - size % world_size
        message = (
            f"{size} images cannot be shared equally by {world_size} processes; use "
            f"{f'{lower} or ' if lower else ''}{lower + world_size} (it counts the images of all processes together)"
        )
        raise RecipeError([recipe.document.problem(("loader", "batch_size"), message)])


def _image(recipe: Recipe, dataset: Dataset) -> ImageSpec:
    """The images of the run; labels count only where the recipe is conditional."""
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
) -> Game:
    return Game(
        **networks,
        latent=components["latent",],
        loss=components["loss",],
        regularizers={name.partition(".")[2]: part for name, part in named.items() if name.startswith("regularizers.")},
        augmentations=[part for path, part in components.items() if path[0] == "augmentations"],
        engine=engine,
        random=torch.Generator(engine.device),
        discriminator_steps=recipe.train.discriminator_steps,
        fresh_fakes=recipe.train.fresh_fakes,
        microbatch=recipe.train.microbatch,
        clip_gradient=recipe.train.clip_gradient,
        compiled=CompiledNetworks(**networks, engine=engine) if recipe.train.compile else None,
        rules=components["train", "game"],
    )


def _schedules(choices: Selections, components: Components, state: TrainState) -> Iterator[ComponentSchedule]:
    """What keeps the scheduled parameters of components and networks up to date, and those of G's average."""
    for path, part in components.items():
        yield ComponentSchedule(part, choices[path].params)
    yield ComponentSchedule(state.generator, choices["generator",].params)
    yield ComponentSchedule(state.discriminator, choices["discriminator",].params)
    if state.ema is not None:
        yield ComponentSchedule(state.ema.module, choices["generator",].params)


def _frequencies(loader: Loader, classes: int) -> list[float]:
    """The share of each class in the data."""
    labels = loader.labels()
    if labels.min() < 0 or labels.max() >= classes:
        raise DataError(f"the data set has labels from {labels.min()} to {labels.max()}, but names {classes} classes")
    return [float(share) for share in np.bincount(labels, minlength=classes) / len(labels)]


def _blueprint(recipe: Recipe, choices: Selections, image: ImageSpec) -> dict[str, Any]:
    """What the networks and the latent can be built from again."""
    latent = choices["latent",].params.model_dump(mode="json")
    return {
        "image": asdict(image),
        "latent": {"dim": recipe.latent.dim, "name": recipe.latent.name, "params": latent},
        **{
            side: {"name": choices[side,].entry.name, "params": choices[side,].params.model_dump(mode="json")}
            for side in ("generator", "discriminator")
        },
    }
