"""G and D: built, moved to the device in its fastest memory layout, and given their initial weights."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..device.engine import Engine
from ..device.fast_convolutions import use_fast_convolutions
from ..distributed.processes import Processes
from ..errors import CheckpointError, RecipeError
from ..interfaces import PLAYERS, ImageSpec
from ..messages import one_line
from ..recipe.checked_recipe import CheckedRecipe
from ..recipe.model import Recipe
from ..runs.checkpoint import Checkpoint, find_checkpoint
from ..runs.weights import MisfitError
from ..training.ema import GeneratorEMA
from ..training.train_state import TrainState
from .build_limits import build_within
from .initial_weights import require_same_classes


def build_networks(checked: CheckedRecipe, image: ImageSpec, resumed: Checkpoint | None) -> dict[str, Any]:
    """G and D, by name. Raises: MisfitError: a network is far larger than its weights in ``resumed``."""
    return {
        "generator": _build(checked, "generator", resumed, image, checked.recipe.latent.dim),
        "discriminator": _build(checked, "discriminator", resumed, image),
    }


def move_to_device(network: nn.Module, recipe: Recipe, engine: Engine, processes: Processes) -> nn.Module:
    """The network on its device, in training mode and in the memory layout that is fastest there."""
    network = processes.convert_batchnorm(network.to(engine.device, engine.dtype)).train()
    compiled, on_cpu = recipe.train.compile, engine.device.type == "cpu"
    if not (compiled and engine.device.type == "cuda"):  # there, the compiler chooses layouts
        _to_channels_last(network)
    # compiled networks use the compiler's own kernels and are no faster with these
    if recipe.train.kernels == "auto" and not compiled and on_cpu and engine.precision == "bf16":
        use_fast_convolutions(network)
    return network


def set_initial_weights(
    state: TrainState, recipe: Recipe, classes: tuple[str, ...] | None, processes: Processes, fresh: bool
) -> None:
    """Give all processes the same weights and start the EMA; a fresh run takes them from ``initialize:`` if set.

    Raises:
        RecipeError: the checkpoint of ``initialize:`` does not fit the recipe, or has other classes.
    """
    checkpoint = _initialize(state, recipe, classes) if fresh and recipe.initialize is not None else None
    processes.broadcast_parameters((state.generator, state.discriminator))
    if recipe.ema is None:
        return
    state.ema = GeneratorEMA(state.generator)
    if checkpoint is not None and checkpoint.bytes_of("generator_ema"):
        checkpoint.load_network("generator_ema", state.ema.module)
        state.ema.n_averaged.fill_(1)  # the first update of an average copies the weights of G


def try_networks(checked: CheckedRecipe, state: TrainState, image: ImageSpec, engine: Engine) -> None:
    """Run the networks that the meta device could not run, on copies. Raises: RecipeError: one of them fails."""
    labels = torch.zeros(2, dtype=torch.int64, device=engine.device) if image.classes else None
    recipe = checked.recipe
    shapes = {"generator": (2, recipe.latent.dim), "discriminator": (2, image.channels, image.height, image.width)}
    for player in PLAYERS:
        if (player,) not in checked.not_tried:
            continue
        network = copy.deepcopy(getattr(state, player))
        zeros = torch.zeros(shapes[player], dtype=engine.dtype, device=engine.device)
        try:
            with engine.build_scope(recipe.seed), torch.no_grad(), engine.autocast():
                network(zeros, labels)
        except Exception as error:  # a plugin's network may raise anything
            message = f"fails on two inputs: {type(error).__name__}: {one_line(error)}"
            raise RecipeError([recipe.document.problem((player,), message)]) from error


def _build(checked: CheckedRecipe, name: str, resumed: Checkpoint | None, *context: Any) -> Any:
    """The network, within the size of its weights in the checkpoint ``resumed``."""
    if resumed is None:
        return checked.build(name, *context)
    try:
        return build_within(lambda: checked.build(name, *context), resumed.bytes_of(name))
    except MemoryError as error:
        raise MisfitError(f"{resumed.path}: its {name} is not the recipe's: {error}") from None


def _to_channels_last(network: nn.Module) -> None:
    for tensor in (*network.parameters(), *network.buffers()):
        if tensor.dim() == 4:
            tensor.data = tensor.data.contiguous(memory_format=torch.channels_last)


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
