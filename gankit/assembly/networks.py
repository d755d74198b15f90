"""G and D: built, with the memory layout and kernels of their mode, and given their initial weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import nn

from ..device.compute_mode import ComputeMode, to_channels_last
from ..device.engine import Engine
from ..device.fast_convolutions import use_fast_convolutions
from ..distributed.processes import Processes
from ..errors import CheckpointError, RecipeError
from ..interfaces import ImageSpec
from ..recipe.checked_recipe import CheckedRecipe
from ..recipe.model import Recipe
from ..runs.checkpoint import Checkpoint, find_checkpoint
from ..runs.weights import MisfitError
from ..training.ema import GeneratorEMA
from ..training.network_copies import BuildNetwork
from ..training.train_state import TrainState
from .build_limits import build_within
from .initial_weights import require_same_classes


def build_networks(checked: CheckedRecipe, image: ImageSpec, resumed: Checkpoint | None) -> dict[str, Any]:
    """G and D, by name. Raises: MisfitError: a network is far larger than its weights in ``resumed``."""
    return {
        "generator": _build(checked, "generator", resumed, image, checked.recipe.latent.dim),
        "discriminator": _build(checked, "discriminator", resumed, image),
    }


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


def set_initial_weights(
    state: TrainState,
    recipe: Recipe,
    classes: tuple[str, ...] | None,
    processes: Processes,
    build: BuildNetwork,
    fresh: bool,
) -> None:
    """Give all processes the same weights and start the EMA; a fresh run takes them from ``initialize:`` if set.

    Args:
        build: builds another G, in case Python cannot copy it.

    Raises:
        RecipeError: the checkpoint of ``initialize:`` does not fit the recipe, or has other classes.
    """
    checkpoint = _initialize(state, recipe, classes) if fresh and recipe.initialize is not None else None
    processes.broadcast_parameters((state.generator, state.discriminator))
    if recipe.ema is None:
        return
    state.ema = GeneratorEMA(state.generator, build)
    if checkpoint is not None and checkpoint.bytes_of("generator_ema"):
        checkpoint.load_network("generator_ema", state.ema.module)
        state.ema.n_averaged.fill_(1)  # the first update of an average copies the weights of G


def _build(checked: CheckedRecipe, name: str, resumed: Checkpoint | None, *context: Any) -> Any:
    """The network, within the size of its weights in the checkpoint ``resumed``."""
    if resumed is None:
        return checked.build(name, *context)
    try:
        return build_within(lambda: checked.build(name, *context), resumed.bytes_of(name))
    except MemoryError as error:
        raise MisfitError(f"{resumed.path}: its {name} is not the recipe's: {error}") from None


def _initialize(state: TrainState, recipe: Recipe, classes: tuple[str, ...] | None) -> Checkpoint:
    """Load the weights of another run's checkpoint."""
    try:
        checkpoint = Checkpoint.open(find_checkpoint(Path(recipe.initialize or "")))
        require_same_classes(checkpoint, classes)
        for name, network in state.networks().items():
            checkpoint.load_network(name, network)
    except CheckpointError as error:
        raise RecipeError([recipe.document.problem(("initialize",), str(error))]) from None
    return checkpoint
