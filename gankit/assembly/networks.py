"""G and D: built, brought to the device in the layout that is fastest there, and given the weights to begin with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from .selection import Selections, Selected
from ..errors import CheckpointError, RecipeError
from .build_limits import bounded
from ..interfaces import ImageSpec
from ..recipe.model import Recipe
from ..runs.checkpoint import Checkpoint, find_checkpoint
from ..training.ema import GeneratorEMA
from ..device.engine import Engine
from ..device.fast_convolutions import use_fast_convolutions
from ..training.train_state import TrainState


def build_networks(choices: Selections, image: ImageSpec, latent_dim: int, resumed: Checkpoint | None) -> dict[str, Any]:
    """G and D, by name. Raises: CheckpointError: they are out of all proportion to those in ``resumed``."""
    return {
        "generator": _build(choices["generator",], resumed, "generator", image, latent_dim),
        "discriminator": _build(choices["discriminator",], resumed, "discriminator", image),
    }


def bring_to_device(network: nn.Module, recipe: Recipe, engine: Engine) -> nn.Module:
    """The network, as it is trained there."""
    network = engine.processes.synchronized(network.to(engine.device, engine.dtype)).train()
    compiled, on_cpu = recipe.train.compile, engine.device.type == "cpu"
    if not (compiled and engine.device.type == "cuda"):  # there, the compiler chooses layouts
        _to_channels_last(network)
    # the compiler writes kernels of its own, and is no faster with ours
    if recipe.train.kernels == "auto" and not compiled and on_cpu and engine.precision == "bf16":
        use_fast_convolutions(network)
    return network


def set_first_weights(state: TrainState, recipe: Recipe, engine: Engine, fresh: bool) -> None:
    """Those that all processes begin with, and G's average begins with; of a fresh run, what ``initialize:`` says.

    Raises:
        RecipeError: ``initialize:`` does not fit the recipe.
    """
    checkpoint = _initialize(state, recipe) if fresh and recipe.initialize is not None else None
    engine.processes.broadcast_parameters((state.generator, state.discriminator))
    if recipe.ema is None:
        return
    state.ema = GeneratorEMA(state.generator)
    if checkpoint is not None and "generator_ema.safetensors" in checkpoint.manifest["files"]:
        checkpoint.load_network("generator_ema", state.ema.module)
        state.ema.n_averaged.fill_(1)  # or the first update would put G itself in its place


def _build(chosen: Selected, resumed: Checkpoint | None, name: str, *context: Any) -> Any:
    """The network, if it can be the one that the checkpoint holds."""
    if resumed is None:
        return chosen.build(*context)
    try:
        return bounded(lambda: chosen.build(*context), resumed.bytes_of(name))
    except MemoryError as error:
        raise CheckpointError(f"{resumed.path}: its {name} is not the recipe's: {error}") from None


def _to_channels_last(network: nn.Module) -> None:
    """Bring the convolutions' weights into the layout that is fastest for them."""
    for tensor in (*network.parameters(), *network.buffers()):
        if tensor.dim() == 4:
            tensor.data = tensor.data.contiguous(memory_format=torch.channels_last)


def _initialize(state: TrainState, recipe: Recipe) -> Checkpoint:
    """Take the weights of another run's checkpoint."""
    try:
        checkpoint = Checkpoint.open(find_checkpoint(Path(recipe.initialize or "")))
        for name, network in state.networks().items():
            checkpoint.load_network(name, network)
    except CheckpointError as error:
        raise RecipeError([recipe.document.problem(("initialize",), str(error))]) from None
    return checkpoint
