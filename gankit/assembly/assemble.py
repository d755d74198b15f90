"""Assemble the setup of a run from a checked recipe: data, networks, components, optimizers and callbacks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import nn

from ..device.compute_mode import FASTEST
from ..device.engine import Engine
from ..device.find_device import find_device
from ..device.loss_scaler import LossScaler
from ..device.recordings import CudaGraphs, Recordings
from ..distributed.join import join_processes
from ..distributed.processes import Processes
from ..game.compiled_networks import CompiledNetworks
from ..game.game import Game, join_run
from ..game.step_context import StepContext
from ..injection import constructor_arguments
from ..interfaces import Player, Report, no_report
from ..networks.frozen import frozen_networks
from ..recipe.checked_recipe import CheckedRecipe
from ..recipe.located_document import KeyPath
from ..recipe.model import Recipe
from ..registry import Registries
from ..runs.checkpoint import Checkpoint
from ..sampling.samples import Sampling
from ..training.callbacks import Callbacks
from ..training.network_copies import BuildNetwork
from ..training.scheduled_parameters import ComponentSchedule
from ..training.setup import TrainingSetup
from ..training.train_state import TrainState
from .activation_checkpointing import checkpoint_modules
from .codec import describe_codec
from .components import (
    Components,
    build_components,
    named_components,
    of_section,
    require_saved_and_trained,
    trainable_components,
    untrained_parameters_of,
)
from .compute_modes import Modes, NetworkTrials, recorded_modes
from .frozen_networks import KEPT, describe_frozen_networks, require_same_frozen_networks
from .frozen_parameters import freeze_parameters
from .networks import build_networks, set_initial_weights
from .optimizers import build_optimizers
from .run_data import RunData, open_data
from .run_description import imported_record, network_description, run_record
from .sampled_items import items_for_sampling


def assemble_setup(
    checked: CheckedRecipe,
    extra_callbacks: Iterable[tuple[str, Any]],
    about: Mapping[str, Any],
    registries: Registries,
    resumed: Checkpoint | None = None,
    report: Report = no_report,
) -> TrainingSetup:
    """The setup of a run.

    Args:
        checked: the recipe with its components.
        extra_callbacks: of plugins, called before the recipe's.
        about: versions and plugins, for ``run.json`` and the manifest.
        registries: of the runtime.
        resumed: the checkpoint that the run continues from, whose weights limit the size of the networks. Without it,
            the run starts from ``initialize:`` if the recipe has it.
        report: called with the progress of preparing the data.

    Raises:
        CheckpointError: a network is far larger than its weights in ``resumed``.
        RecipeError: the data or ``initialize:`` do not fit the recipe.
        DataError: the dataset is missing, damaged or too small.
        GankitError: this machine lacks the device.
    """
    recipe = checked.recipe
    processes = join_processes(recipe.train.device)
    _require_equal_shares(recipe, processes.world_size)
    _require_one_process(recipe, processes.world_size)
    engine = _engine(recipe, processes)
    data = open_data(checked, engine, processes, resumed, report)

    constructor_values = constructor_arguments(data.seen, recipe.latent.dim)
    build: dict[Player, BuildNetwork] = {
        player: partial(checked.build, player, **constructor_values) for player in checked.players
    }
    with engine.build_scope(recipe.seed):
        built = build_networks(checked, constructor_values, resumed)
        components = build_components(checked, constructor_values)
    game = components["train", "game"]
    trials, known = NetworkTrials(checked, data.seen, engine, game, processes), recorded_modes(resumed)
    networks: dict[Player, nn.Module] = {}
    for player in checked.players:
        network = built[player].to(engine.device, engine.dtype).train()
        trials.choose(player, network, build[player], known.get(player, FASTEST))
        networks[player] = processes.convert_batchnorm(network)
    for part in components.values():
        if isinstance(part, nn.Module):
            part.to(engine.device, engine.dtype)

    require_saved_and_trained(components, checked)
    named = named_components(components, checked)
    trainable = trainable_components(named, processes)
    frozen_parameters = freeze_parameters(recipe, networks)
    checkpoint_modules(recipe, networks)
    optimizers, optimizer_schedules = build_optimizers(checked, networks, trainable.values())
    scalers = {player: LossScaler(engine) for player in checked.players}
    state = TrainState(networks, optimizers, scalers, components=trainable)
    initialized = set_initial_weights(state, recipe, data.classes, processes, build["generator"], fresh=resumed is None)
    callbacks = [(selected.entry.name, selected.build()) for selected in checked.of_section("callbacks").values()]
    context = _step_context(recipe, networks, trials.modes, named, engine, processes, [*data.spec.fields])
    with engine.build_scope(recipe.seed):
        join_run(game, context, state)
    untrained = untrained_parameters_of(game, optimizers.values())

    parts: dict[str, Any] = {str(player): network for player, network in networks.items()} | named
    frozen = frozen_networks(parts if data.codec is None else parts | {"codec": data.codec.part})
    require_same_frozen_networks(frozen, resumed)
    return TrainingSetup(
        checked=checked,
        constructor_values=constructor_values,
        image=data.spec.image,
        classes=data.classes,
        sampling=_sampling(data, networks["generator"], components["latent",], game),
        loader=data.loader,
        engine=engine,
        processes=processes,
        context=context,
        state=state,
        schedules=[*_component_schedules(checked, components, state), *optimizer_schedules],
        components=named,
        callbacks=Callbacks([*extra_callbacks, *callbacks]),
        about=run_record(recipe, engine, processes, about, trials.record(), data.description, initialized),
        manifest={
            **about,
            "precision": engine.precision,
            **trials.record(),
            **network_description(checked, data.spec),
            **describe_codec(checked, data.codec),
            **describe_frozen_networks(frozen),
            **imported_record(initialized, resumed),
            "data": data.record,
            "classes": data.classes,
            "frequencies": data.frequencies,
        },
        registries=registries,
        notices=[
            *trials.notices,
            *(event for event in (initialized, frozen_parameters, untrained) if event is not None),
        ],
        kept={name: network for name, network in frozen.items() if name.startswith(KEPT)},
        data=data.description,
    )


def _engine(recipe: Recipe, processes: Processes) -> Engine:
    train = recipe.train
    device = processes.device or find_device(train.device)
    return Engine(device, train.precision, tf32=train.tf32, deterministic=train.deterministic, rank=processes.rank)


def _require_equal_shares(recipe: Recipe, world_size: int) -> None:
    """Raises: RecipeError: the batch cannot be divided equally among the processes."""
    size = recipe.loader.batch_size
    if size % world_size:
        lower = size - size % world_size
        message = (
            f"{size} images cannot be divided equally among {world_size} processes; use "
            f"{f'{lower} or ' if lower else ''}{lower + world_size} (it counts the images of all processes together)"
        )
        raise recipe.document.error(("loader", "batch_size"), message)


def _require_one_process(recipe: Recipe, world_size: int) -> None:
    """Raises: RecipeError: turns are to be recorded, and several processes share them."""
    if recipe.train.cuda_graphs and world_size > 1:
        message = f"needs a single process, and this run has {world_size}, which exchange labels in a turn; remove it"
        raise recipe.document.error(("train", "cuda_graphs"), message)


def _step_context(
    recipe: Recipe,
    networks: Mapping[Player, nn.Module],
    modes: Modes,
    named: Mapping[str, Any],
    engine: Engine,
    processes: Processes,
    fields: Sequence[str],
) -> StepContext:
    discriminator, mode = networks.get("discriminator"), modes.get("discriminator", FASTEST)
    random = torch.Generator(engine.device)
    recordings = None
    if recipe.train.cuda_graphs and engine.device.type == "cuda":
        recordings = Recordings(CudaGraphs(engine.device, [random]))
    return StepContext(
        players=networks,
        latent=named["latent"],
        loss=named.get("loss"),
        regularizers=of_section(named, "regularizers"),
        augmentations=[*of_section(named, "augmentations").values()],
        engine=engine,
        random=random,
        processes=processes,
        discriminator_steps=recipe.train.discriminator_steps,
        fresh_fakes=recipe.train.fresh_fakes,
        joint_pass=recipe.train.joint_pass,
        microbatch=recipe.train.microbatch,
        clip_gradient=recipe.train.clip_gradient,
        compiled=CompiledNetworks(networks["generator"], discriminator, engine, mode) if recipe.train.compile else None,
        recordings=recordings,
        modes=modes,
        game=named["train.game"],
        fields=fields,
    )


def _sampling(data: RunData, generator: nn.Module, latent: Any, game: Game) -> Sampling:
    items = items_for_sampling(generator, data.seen, data.loader, game)
    return Sampling(
        latent,
        data.spec.image,
        data.frequencies,
        items.fields,
        specs=items.specs,
        targets=items.targets,
        game=game,
        codec=data.codec,
        data=data.spec,
    )


def _component_schedules(
    checked: CheckedRecipe, components: Components, state: TrainState
) -> Iterator[ComponentSchedule]:
    """The schedules of the parameters of components, networks and the EMA."""
    averages = [] if state.ema is None else [(("generator",), state.ema.module)]
    networks = [((player,), network) for player, network in state.players.items()]
    parts: list[tuple[KeyPath, Any]] = [*components.items(), *networks, *averages]
    for path, part in parts:
        yield ComponentSchedule(part, checked[path].params)
