"""G and D: built, with the memory layout and kernels of their mode, and given their initial weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from torch import nn

from ..device.compute_mode import ComputeMode, to_channels_last
from ..device.engine import Engine
from ..device.fast_convolutions import use_fast_convolutions
from ..device.fast_spectral_norm import use_fast_spectral_norm
from ..distributed.processes import Processes
from ..events import Initialized
from ..interfaces import Player
from ..recipe.checked_recipe import CheckedRecipe
from ..recipe.model import Recipe
from ..runs.checkpoint import Checkpoint
from ..runs.weights import MisfitError
from ..training.ema import GeneratorEMA
from ..training.network_copies import BuildNetwork
from ..training.train_state import TrainState
from .build_limits import build_within
from .frozen_parameters import frozen_names
from .initial_weights import require_same_classes
from .weight_loading import InitialWeights
from .weight_sources import EMA


def build_networks(checked: CheckedRecipe, values: Mapping[str, Any], resumed: Checkpoint | None) -> dict[Player, Any]:
    """The players' networks, G first. Raises: MisfitError: one is far larger than its weights in ``resumed``."""
    return {player: _build(checked, player, resumed, values) for player in checked.players}


def use_mode(network: nn.Module, mode: ComputeMode, recipe: Recipe, engine: Engine) -> None:
    """Set the memory layout and the kernels of the network's weights to those of its mode."""
    if mode.memory_format is not None:
        return
    compiled, on_cpu = recipe.train.compile, engine.device.type == "cpu"
    if not (compiled and engine.device.type == "cuda"):  # there, the compiler chooses layouts
        to_channels_last(network)
    # compiled networks use the compiler's own kernels; these would not make them faster
    if recipe.train.kernels == "auto" and not compiled and on_cpu and engine.precision == "bf16":
        use_fast_convolutions(network)
        use_fast_spectral_norm(network)


def set_initial_weights(
    state: TrainState,
    recipe: Recipe,
    classes: tuple[str, ...] | None,
    processes: Processes,
    build: BuildNetwork,
    fresh: bool,
) -> Initialized | None:
    """Give all processes the same weights and start the EMA; a fresh run takes them from ``initialize:`` if set.

    Args:
        build: builds another G, in case Python cannot copy it.

    Returns:
        What was loaded; None if nothing was.

    Raises:
        RecipeError: the checkpoint of ``initialize:`` does not fit the recipe, or has other classes.
    """
    weights = InitialWeights(recipe) if fresh and recipe.initialize is not None else None
    difference = None
    if weights is not None:
        with weights.locating_errors():
            difference = require_same_classes(weights, classes)
        names = {name: network.state_dict() for name, network in state.networks().items()}
        weights.require_matches(names | ({} if recipe.ema is None else {EMA: names["generator"]}))
        weights.load(state.networks())
    processes.broadcast_parameters(state.modules().values())
    if recipe.ema is not None:
        state.ema = GeneratorEMA(state.generator, build, frozen_names(recipe, "generator", state.generator))
        loaded = 0 if weights is None else weights.load({EMA: state.ema.module})
        state.ema.updates = min(loaded, 1)  # the first update of an average copies the weights of G
        state.ema.is_loaded = loaded == len(state.ema.module.state_dict())
    return None if weights is None else replace(weights.event(), classes=difference)


def _build(checked: CheckedRecipe, name: Player, resumed: Checkpoint | None, values: Mapping[str, Any]) -> Any:
    """The network, within the size of its weights in the checkpoint ``resumed``."""
    if resumed is None:
        return checked.build(name, **values)
    try:
        return build_within(lambda: checked.build(name, **values), resumed.bytes_of(name))
    except MemoryError as error:
        raise MisfitError(f"{resumed.path}: its {name} is not the recipe's: {error}") from None
