"""Dry runs of losses and regularizers: which of them ask for what the data or the turn lacks."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from ..device.compute_mode import ComputeMode
from ..device.engine import Engine
from ..distributed.processes import Processes
from ..errors import GankitError, MissingFieldError, Problem
from ..game.game import Adversarial, Game
from ..game.optimizer_step import loss_over_heads
from ..game.returned_values import require_term
from ..game.step_context import StepContext
from ..game.turn import PlayerTurn
from ..interfaces import Batch, DataSpec, DiscriminatorOutput, GeneratorOutput, Player
from ..messages import did_you_mean, failing_line, one_line
from ..recipe.checked_recipe import CheckedRecipe
from ..recipe.located_document import KeyPath
from .dry_run import batch_of_two, meta_device


def problems_of_terms(
    checked: CheckedRecipe,
    paths: Sequence[KeyPath],
    networks: Mapping[Player, nn.Module],
    output: Any,
    data: DataSpec,
    game: Game,
) -> list[Problem]:
    """The losses and regularizers that ask for what the data or the turn lacks, or raise a `GankitError`.

    They are called with two items of zeros on the meta device. Terms that fail there for other reasons are left to the
    first step.

    Args:
        checked: the recipe with its components.
        paths: of the losses and regularizers.
        networks: of the players, on the meta device.
        output: of D for two images; None if the game has no D.
        data: as the networks see it.
        game: the terms are tried only if its steps are those of `Adversarial`: others may add fields to batches.
    """
    if type(game).step is not Adversarial.step:
        return []
    outputs: dict[Player, Any] = {} if output is None else {"discriminator": output}
    with meta_device():
        context = _context(networks, outputs, data, checked.recipe.latent.dim)
        batch = batch_of_two(data)
        turns = [PlayerTurn(context, player, batch, images_seen=0, penalties=True) for player in context.players]
        with suppress(Exception):  # the terms that use its images fail in the same way
            outputs["generator"] = context.run_generator(context.draw_latents(2, batch.labels), batch)
    found: list[Problem] = []
    for path in paths:
        try:
            with meta_device():
                component = checked.build(path)
        except Exception:  # it reads values; it was built on the CPU before
            continue
        with meta_device(), _NoGradients():
            problem = _refusal(component, path, turns)
        found += [] if problem is None else [checked.recipe.document.problem(path, problem)]
    return found


def _call(component: Any, path: KeyPath, turn: PlayerTurn) -> None:
    if path == ("loss",):
        loss_over_heads(component, turn)
    elif hasattr(component, turn.player):
        require_term(getattr(component, turn.player)(turn), component, turn.player)


def _refusal(component: Any, path: KeyPath, turns: Sequence[PlayerTurn]) -> str | None:
    for turn in turns:
        try:
            _call(component, path, turn)
        except MissingFieldError as error:
            return f"{type(component).__name__}.{turn.player}: {one_line(error)}{failing_line(error)}"
        except GankitError as error:
            return one_line(error)
        except AttributeError as error:
            if error.obj is turn and error.name is not None:
                hint = did_you_mean(error.name, [name for name in dir(turn) if not name.startswith("_")])
                where = f"{type(component).__name__}.{turn.player}"
                return f"{where}: a turn has no attribute {error.name!r}{hint}{failing_line(error)}"
        except Exception:  # the first step finds it, with values
            pass
    return None


class _NoGradients(TorchFunctionMode):
    """`torch.autograd.grad` returns tensors of the right shapes, although nothing records gradients."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is not torch.autograd.grad:
            return func(*args, **(kwargs or {}))
        inputs = inspect.signature(func).bind(*args, **(kwargs or {})).arguments["inputs"]
        return tuple(torch.empty_like(tensor) for tensor in ([inputs] if isinstance(inputs, Tensor) else inputs))


class _DryContext(StepContext):
    """Draws zeros, because the meta device has no random numbers, and runs no players.

    Their known outputs are returned for all inputs.
    """

    outputs: Mapping[Player, Any]

    def draw_latents(self, count: int, labels: Tensor | None) -> Tensor:
        return self.latent.sample(count, labels, self.random)

    def draw_numbers(self, draw: Any, count: int, *shape: int) -> Tensor:
        return torch.zeros(count, *shape)

    def run_generator(self, latents: Tensor, batch: Batch) -> GeneratorOutput:
        if "generator" not in self.outputs:
            return super().run_generator(latents, batch)
        return self.outputs["generator"]

    def run_discriminator(self, images: Tensor, batch: Batch, mode: ComputeMode) -> DiscriminatorOutput:
        return self.outputs["discriminator"]


def _context(
    networks: Mapping[Player, nn.Module], outputs: Mapping[Player, Any], data: DataSpec, latent_dim: int
) -> StepContext:
    latent: Any = SimpleNamespace(sample=lambda n, labels, generator: torch.zeros(n, latent_dim))
    context = _DryContext(
        players=networks,
        latent=latent,
        loss=None,
        regularizers={},
        augmentations=[],
        engine=Engine(torch.device("cpu"), "fp32"),
        random=torch.Generator("cpu"),
        processes=Processes(),
        fields=[*data.fields],
    )
    context.outputs = outputs
    return context
