"""The gradients of a player's terms, in microbatches: computed, or replayed from a recording."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..device.precision import full_precision
from ..device.recordings import Recordings
from ..errors import GankitError
from ..interfaces import Batch, Player, Scalars, State
from ..networks.nested_tensors import map_tensors
from .discriminator_calls import SIDES
from .noise import BatchNoise
from .returned_values import require_gradient, require_gradients, require_scalars
from .step_context import Fakes, StepContext, batch_of, tensors_of
from .turn import PlayerTurn

Terms = Callable[[Any], Mapping[str, Tensor]]
"""The scalars that a player minimizes in a turn, by name."""

Gradients = tuple[Scalars, list[PlayerTurn]]
"""The scalars of a turn and the turn of each microbatch; the gradients themselves are in the parameters."""


@dataclass(frozen=True)
class PlayerUpdate:
    """The objective of one optimizer step of a player, and its inputs.

    Attributes:
        terms: called with each turn: scalars by name, whose sum the player minimizes.
        batch: the real images of this rank.
        fakes: images already generated for this batch, one for each real image; None generates them on first use.
        penalties: whether terms differentiate with respect to images. In D's turn, these then require gradients.
        name: identifies ``terms`` among those of the player; None if they differ from call to call. With
            ``train.cuda_graphs``, only turns whose terms have a name are captured.
        interval: of a lazy regularizer, by which its gradient is multiplied; 1 for the loss.
    """

    context: StepContext
    state: State
    player: Player
    terms: Terms
    batch: Batch
    fakes: Fakes | None
    penalties: bool
    name: str | None
    interval: int = 1

    @property
    def is_lazy(self) -> bool:
        """Whether this is the separate step of a lazy regularizer, which reports no logits and calls no ``after``."""
        return self.interval > 1


def backward(
    update: PlayerUpdate,
    parameters: list[nn.Parameter],
    batch: Batch,
    fakes: Fakes | None,
    *,
    keep_graph: bool = False,
    capturing: bool = False,
) -> Gradients:
    """Compute the gradients of the terms, in microbatches.

    Args:
        keep_graph: keep the autograd graph of ``fakes`` for another update.
        capturing: a CUDA graph is being captured: values of this step must not become constants of the graph.
    """
    context, player = update.context, update.player
    count = len(batch.images)
    sums: Scalars = {}
    turns: list[PlayerTurn] = []
    noise = BatchNoise(context, count, batch.labels)
    all_rows = [*microbatches(count, context.microbatch)]
    for rows in all_rows:
        part = batch.rows(rows)
        share = len(part.images) / count
        # one autocast context per turn shares the casts of the weights; losses and penalties leave it again
        with context.engine.autocast(), full_precision(context.engine.device):
            turn = PlayerTurn(
                context,
                player,
                part,
                images_seen=None if capturing else update.state.images,
                fakes=fakes if fakes is None or len(all_rows) == 1 else _rows_of(fakes, rows, count),
                noise=noise.microbatch(rows),
                loss=not update.is_lazy,
                penalties=update.penalties,
            )
            values = require_scalars(update.terms(turn), "the function for the terms of a turn", context.engine.device)
        if not values:
            raise GankitError(
                f"{type(context.game).__name__}: a turn of the {player} has no terms; return at least one"
            )
        total = torch.stack([*values.values()]).sum()
        require_gradient(total, list(values), player)
        # all microbatches share the graph of fakes that were generated before
        retain = fakes is not None and (keep_graph or rows is not all_rows[-1])
        scaled = update.state.scalers[player].scale(total * (update.interval * share))
        scaled.backward(inputs=parameters, retain_graph=retain)
        require_gradients(parameters, values, player)
        for name, value in (values | ({} if update.is_lazy else mean_logits(turn))).items():
            sums[name] = sums.get(name, 0) + value.detach() * share
        turns.append(turn)
    return sums, turns


def backward_captured(update: PlayerUpdate, recordings: Recordings, parameters: list[nn.Parameter]) -> Gradients:
    """The same through a CUDA graph: run eagerly a few times, then captured, then replayed."""

    def function(inputs: Mapping[str, Tensor], capturing: bool) -> tuple[Gradients, list[Tensor | None]]:
        batch = batch_of(inputs)
        fakes = update.fakes if capturing else with_own_graph(update, batch)
        result = backward(update, parameters, batch, fakes, keep_graph=True, capturing=capturing)
        if capturing:
            for turn in result[1]:
                turn.detach()
        return result, [parameter.grad for parameter in parameters]

    key = update.player, update.name, update.is_lazy, update.penalties, update.fakes and update.fakes.number
    found, replayed = recordings.run(key, tensors_of(update.batch), function, uses=update.fakes)
    (sums, turns), gradients = found
    if not replayed:
        return sums, turns
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.grad = gradient
    return {name: value.clone() for name, value in sums.items()}, [t.replayed(update.state.images) for t in turns]


def with_own_graph(update: PlayerUpdate, batch: Batch) -> Fakes | None:
    """Fakes that an update which is not captured can differentiate.

    Those of a captured graph have the autograd graph of the step that was captured. For G's turn, they are generated
    again, without a second update of statistics such as BatchNorm's.
    """
    context, fakes, recordings = update.context, update.fakes, update.context.recordings
    if update.player != "generator" or fakes is None or recordings is None or not recordings.is_result(fakes):
        return fakes
    buffers = [(buffer, buffer.clone()) for buffer in context.generator.buffers()]
    again = context.draw_fakes(batch, True, fakes.latents)
    for buffer, before in buffers:
        buffer.data.copy_(before)  # the graph does not need its value
    return again


def mean_logits(turn: PlayerTurn) -> Scalars:
    """D's mean logits on the reals and fakes of its own turn, if they were computed."""
    if turn.player == "generator":
        return {}
    return {f"{side}_logits": getattr(turn, f"{side}_logits").mean() for side in SIDES if turn.has_output(side)}


def microbatches(count: int, size: int | None) -> Iterator[slice]:
    """The rows of each microbatch of at most ``size`` of ``count`` images."""
    size = size or count
    return (slice(start, start + size) for start in range(0, count, size))


def _rows_of(fakes: Fakes, rows: slice, count: int) -> Fakes:
    """The fakes of a microbatch of ``count`` images. Raises: GankitError: there are more or fewer fakes than images."""
    if len(fakes.images) != count:
        raise GankitError(
            f"an update received {len(fakes.images)} fakes for a batch of {count} images; train.microbatch splits both "
            "alike: generate one fake for each image, or pass None"
        )
    return Fakes(fakes.images[rows], fakes.latents[rows], map_tensors(fakes.generated, lambda tensor: tensor[rows]))
