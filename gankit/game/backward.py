"""The gradients of a player's terms, in microbatches: computed, or replayed from a recording."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ..device.recordings import Recordings
from ..errors import GankitError
from ..interfaces import Batch, Player, Scalars, State
from .discriminator_calls import SIDES
from .noise import BatchNoise
from .outputs import map_tensors
from .returned_values import require_gradient, require_scalars
from .step_context import Fakes, StepContext, batch_of, tensors_of
from .turn import PlayerTurn

Terms = Callable[[Any], Mapping[str, Tensor]]
"""What a player minimizes in a turn: scalars by name."""

Gradients = tuple[Scalars, list[PlayerTurn]]
"""The scalars of a turn and the turn of each microbatch; the gradients themselves are in the parameters."""


def backward(
    context: StepContext,
    state: State,
    player: Player,
    terms: Terms,
    parameters: list[nn.Parameter],
    batch: Batch,
    fakes: Fakes | None,
    *,
    penalties: bool,
    interval: int,
    keep_graph: bool = False,
    recording: bool = False,
) -> Gradients:
    """Compute the gradients of the terms, in microbatches.

    Args:
        keep_graph: whether ``fakes`` keep their autograd graph.
        recording: whether this is recorded.
    """
    is_main = interval == 1
    sums: Scalars = {}
    turns: list[PlayerTurn] = []
    noise = BatchNoise(context, len(batch.images), batch.labels)
    all_rows = [*microbatches(len(batch.images), context.microbatch)]
    for rows in all_rows:
        part = batch.rows(rows)
        share = len(part.images) / len(batch.images)
        # one autocast context per turn shares the casts of the weights; losses and penalties leave it again
        with context.engine.autocast(), context.engine.full_precision():
            turn = PlayerTurn(
                context,
                player,
                part,
                images_seen=None if recording else state.images,
                fakes=fakes if fakes is None or len(all_rows) == 1 else _rows_of(fakes, rows, len(batch.images)),
                noise=noise.microbatch(rows),
                loss=is_main,
                penalties=penalties,
            )
            values = require_scalars(terms(turn), "the terms of a turn", context.engine.device)
        if not values:
            raise GankitError(
                f"{type(context.game).__name__}: a turn of the {player} has no terms; return at least one"
            )
        total = torch.stack([*values.values()]).sum()
        require_gradient(total, list(values), player)
        # all microbatches share the graph of fakes that were generated before
        retain = fakes is not None and (keep_graph or rows is not all_rows[-1])
        state.scalers[player].scale(total * (interval * share)).backward(inputs=parameters, retain_graph=retain)
        for name, value in (values | (mean_logits(turn) if is_main else {})).items():
            sums[name] = sums.get(name, 0) + value.detach() * share
        turns.append(turn)
    return sums, turns


def backward_recorded(
    context: StepContext,
    recordings: Recordings,
    player: Player,
    key: Hashable,
    compute: Callable[..., Gradients],
    batch: Batch,
    fakes: Fakes | None,
    parameters: list[nn.Parameter],
    state: State,
) -> Gradients:
    """The same as ``compute(batch, fakes)``, which is run a few times, then recorded and replayed."""

    def function(inputs: Mapping[str, Tensor], recording: bool) -> tuple[Gradients, list[Tensor | None]]:
        own = batch_of(inputs)
        used = fakes if recording else with_own_graph(context, player, own, fakes)
        result = compute(own, used, keep_graph=True, recording=recording)
        if recording:
            for turn in result[1]:
                turn.detach()
        return result, [parameter.grad for parameter in parameters]

    ((sums, turns), gradients), replayed = recordings.run(key, tensors_of(batch), function, uses=fakes)
    if not replayed:
        return sums, turns
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.grad = gradient
    return {name: value.clone() for name, value in sums.items()}, [turn.replayed(state.images) for turn in turns]


def with_own_graph(context: StepContext, player: Player, batch: Batch, fakes: Fakes | None) -> Fakes | None:
    """Fakes that an update which is not recorded can differentiate.

    Those of a recording have the autograd graph of the step that was recorded. For G's turn, they are generated again,
    without a second update of statistics such as BatchNorm's.
    """
    recordings = context.recordings
    if player != "generator" or fakes is None or recordings is None or not recordings.is_result(fakes):
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
