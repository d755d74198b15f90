"""From a checked recipe to the parts of a trainer: data prepared, networks built, optimizers given their parameters."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from .check import Choices, Chosen
from .data.loader import Loader
from .errors import CheckpointError, DataError, GankitError, RecipeError
from .frugal import bounded
from .interfaces import Dataset, ImageSpec
from .recipe import Recipe
from .registry import Registries
from .training.callback import Callbacks, require_both_halves
from .training.checkpoint import Checkpoint, find_checkpoint
from .training.compiled import Compiled
from .training.ema import Average
from .training.engine import Engine
from .training.game import Game
from .training.kernels import use_fast_convolutions
from .training.parts import Parts
from .training.processes import join_processes
from .training.schedule import ComponentSchedule, OptimizerSchedule, parameter_groups
from .training.state import PLAYERS, TrainState
from .yaml_text import KeyPath, dotted


def assemble_parts(
    recipe: Recipe,
    choices: Choices,
    extra_callbacks: Iterable[tuple[str, Any]],
    about: Mapping[str, Any],
    registries: Registries,
    fresh: bool,
    resumed: Checkpoint | None = None,
) -> Parts:
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
    processes.one_after_another(dataset.prepare)
    image = _image(recipe, dataset)
    settings, where = recipe.loader, (engine.device, engine.dtype)
    loader = Loader(dataset, image, settings, recipe.seed, *where, engine.rank, engine.world_size)
    with engine.build_scope(recipe.seed):
        networks = {
            "generator": _network(choices["generator",], resumed, "generator", image, recipe.latent.dim),
            "discriminator": _network(choices["discriminator",], resumed, "discriminator", image),
        }
        components = _components(recipe, choices, image)
    for module in (*networks.values(), *(part for part in components.values() if isinstance(part, nn.Module))):
        module.to(engine.device, engine.dtype)
    networks = {side: processes.synchronized(network) for side, network in networks.items()}
    # the compiler writes kernels of its own, and is no faster with ours
    own_kernels = recipe.train.kernels == "auto" and not recipe.train.compile
    compiler_chooses_layouts = recipe.train.compile and engine.device.type == "cuda"
    for network in networks.values():
        (network if compiler_chooses_layouts else channels_last(network)).train()
        if own_kernels and engine.device.type == "cpu" and engine.precision == "bf16":
            use_fast_convolutions(network)
    for path, part in components.items():
        _check_component(recipe, path, part)
    named = _named(choices, components)
    optimizers, schedules = _optimizers(recipe, networks, choices)
    state = TrainState(**networks, optimizers=optimizers)
    checkpoint = _first_weights(recipe, networks) if fresh and recipe.initialize is not None else None
    processes.start_alike(networks.values())
    if recipe.ema is not None:
        state.ema = Average(state.generator)
        if checkpoint is not None and "generator_ema.safetensors" in checkpoint.manifest["files"]:
            checkpoint.load_network("generator_ema", state.ema.module)
            state.ema.n_averaged.fill_(1)  # or the first update would put G itself in its place
    game = Game(
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
        compiled=Compiled(**networks, engine=engine) if recipe.train.compile else None,
        rules=components["train", "game"],
    )
    callbacks = [(chosen.entry.name, chosen.build()) for path, chosen in choices.items() if path[0] == "callbacks"]
    classes = tuple(dataset.classes or ()) if image.classes else None
    frequencies = _frequencies(loader, image.classes) if image.classes else None
    return Parts(
        recipe=resolved(recipe, choices),
        image=image,
        classes=classes,
        frequencies=frequencies,
        loader=loader,
        rules=components["train", "game"],
        game=game,
        state=state,
        schedules=[
            *(ComponentSchedule(part, choices[path].params) for path, part in components.items()),
            *(ComponentSchedule(network, choices[side,].params) for side, network in networks.items()),
            *([ComponentSchedule(state.ema.module, choices["generator",].params)] if state.ema is not None else []),
            *schedules,
        ],
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
            "image": asdict(image),
            "latent": {
                "dim": recipe.latent.dim,
                "name": recipe.latent.name,
                "params": choices["latent",].params.model_dump(mode="json"),
            },
            "generator": _named_params(choices["generator",]),
            "discriminator": _named_params(choices["discriminator",]),
            "classes": classes,
            "frequencies": frequencies,
        },
        registries=registries,
    )


def _network(chosen: Chosen, resumed: Checkpoint | None, name: str, *context: Any) -> Any:
    """The network, if it can be the one that the checkpoint holds."""
    if resumed is None:
        return chosen.build(*context)
    try:
        return bounded(lambda: chosen.build(*context), resumed.bytes_of(name))
    except MemoryError as error:
        raise CheckpointError(f"{resumed.path}: its {name} is not the recipe's: {error}") from None


def resolved(recipe: Recipe, choices: Choices) -> Recipe:
    """The recipe with every default of its components filled in."""
    data = recipe.model_dump(mode="json")
    for path, chosen in choices.items():
        holder: Any = data
        for key in path[:-1]:
            holder = holder[key]
        dim = {"dim": recipe.latent.dim} if path == ("latent",) else {}
        holder[path[-1]] = {"name": chosen.entry.name, **dim, **chosen.params.model_dump(mode="json")}
    return Recipe.parse(data)


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


def _named_params(chosen: Any) -> dict[str, Any]:
    return {"name": chosen.entry.name, "params": chosen.params.model_dump(mode="json")}


def _image(recipe: Recipe, dataset: Dataset) -> ImageSpec:
    """The images of the run; labels count only where the recipe is conditional."""
    classes = len(dataset.classes or ()) if recipe.conditional else 0
    if recipe.conditional and not classes:
        message = f"is true, but the data of '{recipe.dataset.name}' has no labels; use labelled data or false"
        raise RecipeError([recipe.document.problem(("conditional",), message)])
    return ImageSpec(*recipe.image.size, dataset.spec.channels, classes)


def _components(recipe: Recipe, choices: Choices, image: ImageSpec) -> dict[KeyPath, Any]:
    """Everything that takes part in a step beside the networks, by its path in the recipe."""
    contexts: dict[str, tuple[Any, ...]] = {
        "latent": (recipe.latent.dim,),
        "loss": (),
        "train": (),
        "regularizers": (),
        "augmentations": (image,),
    }
    return {path: chosen.build(*contexts[str(path[0])]) for path, chosen in choices.items() if path[0] in contexts}


def _named(choices: Choices, components: Mapping[KeyPath, Any]) -> dict[str, Any]:
    """Components by names that stay theirs when a list is reordered: loss, regularizers.r1, regularizers.r1#2, ..."""
    named: dict[str, Any] = {}
    for path, part in components.items():
        name = f"{path[0]}.{choices[path].entry.name}" if isinstance(path[-1], int) else dotted(path)
        number = 1 + sum(known.partition("#")[0] == name for known in named)
        named[name if number == 1 else f"{name}#{number}"] = part
    return named


def _check_component(recipe: Recipe, path: KeyPath, part: Any) -> None:
    """Refuse what would be silently lost: half of a state, and weights that no optimizer holds."""
    try:
        require_both_halves(part, f"{type(part).__name__}")
    except GankitError as error:
        raise RecipeError([recipe.document.problem(path, str(error))]) from None
    weights = [name for name, p in part.named_parameters() if p.requires_grad] if isinstance(part, nn.Module) else []
    if weights:
        message = (
            f"{type(part).__name__}: no optimizer would train its parameter '{weights[0]}': "
            "put what learns into the generator or the discriminator, or freeze it (requires_grad_(False))"
        )
        raise RecipeError([recipe.document.problem(path, message)])


def channels_last(network: nn.Module) -> nn.Module:
    """The network with its convolutions' weights in the layout that is fastest for them."""
    for tensor in (*network.parameters(), *network.buffers()):
        if tensor.dim() == 4:
            tensor.data = tensor.data.contiguous(memory_format=torch.channels_last)
    return network


def _optimizers(
    recipe: Recipe, networks: Mapping[str, nn.Module], choices: Choices
) -> tuple[dict[Any, Any], list[OptimizerSchedule]]:
    optimizers, schedules = {}, []
    for side in PLAYERS:
        groups = parameter_groups(networks[side])
        own = [set(group) - {"params"} for group in groups]
        chosen = choices["optimizers", side]
        try:
            optimizers[side] = chosen.build(groups)
        except (ValueError, TypeError, RuntimeError) as error:
            raise RecipeError([recipe.document.problem(("optimizers", side), str(error))]) from None
        schedules.append(OptimizerSchedule(optimizers[side], chosen.params, own))
    return optimizers, schedules


def _first_weights(recipe: Recipe, networks: Mapping[str, nn.Module]) -> Checkpoint:
    """Begin with the weights of another run's checkpoint."""
    try:
        checkpoint = Checkpoint.open(find_checkpoint(Path(recipe.initialize or "")))
        for name, network in networks.items():
            checkpoint.load_network(name, network)
    except CheckpointError as error:
        raise RecipeError([recipe.document.problem(("initialize",), str(error))]) from None
    return checkpoint


def _frequencies(loader: Loader, classes: int) -> list[float]:
    labels = loader.labels()
    if labels.min() < 0 or labels.max() >= classes:
        raise DataError(f"the data set has labels from {labels.min()} to {labels.max()}, but names {classes} classes")
    return [float(share) for share in np.bincount(labels, minlength=classes) / len(labels)]
