"""One optimizer step of a player on its loss and regularizers, in microbatches and over processes."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from ..device.recordings import Recordings
from ..errors import GankitError
from ..interfaces import Batch, Loss, Player, Scalars, State, Turn
from .discriminator_calls import Side
from .lazy_regularization import due_regularizers, reported_name
from .noise import BatchNoise
from .outputs import map_tensors
from .returned_values import require_gradient, require_scalars, require_term
from .step_context import Fakes, StepContext, batch_of, tensors_of
from .turn import PlayerTurn

Terms = Callable[[Any], Mapping[str, Tensor]]
"""What a player minimizes in a turn: scalars by name."""

PHASES: dict[Player, str] = {"discriminator": "D's turn", "generator": "G's turn"}
OPTIMIZER = "optimizer"
SIDES: tuple[Side, ...] = ("real", "fake")


def update(
    game: StepContext,
    state: State,
    player: Player,
    batch: Batch,
    terms: Terms,
    *,
    fakes: Fakes | None = None,
    penalties: bool = True,
    lazy_scale: float | None = None,
    name: str | None = None,
) -> Scalars:
    """One optimizer step of ``player``.

    Args:
        batch: the real images of this rank.
        terms: called with each turn: what the player minimizes, scalars by name.
        fakes: images already generated for this batch, one for each real image; None generates them when they are
            needed.
        penalties: whether terms differentiate with respect to images. In D's turn, these then require gradients.
        lazy_scale: the factor of the gradient for the update of a lazy regularizer, which is its interval. Such an
            update reports no logits, and no ``after`` follows it.
        name: identifies ``terms`` among those of the player; None if they differ from call to call. With
            ``train.cuda_graphs``, only turns whose terms have a name are recorded.

    Returns:
        The value of each term and D's mean logits, as means over all ranks.

    Raises:
        GankitError: the batch is split into microbatches, and there is not one fake for each image.
    """
    optimizer, scaler = state.optimizers[player], state.scalers[player]
    parameters = [p for module in state.trained[player].values() for p in module.parameters() if p.requires_grad]
    optimizer.zero_grad(set_to_none=True)
    is_main = lazy_scale is None
    backward = partial(_backward, game, state, player, terms, parameters, penalties=penalties, lazy_scale=lazy_scale)
    recordings = game.recordings
    if recordings is None or name is None:
        sums, turns = backward(batch, fakes)
    else:
        key = player, name, penalties, fakes is None
        sums, turns = _recorded(recordings, key, backward, batch, fakes, parameters, state)
    game.processes.average_gradients(parameters)
    scaler.unscale(optimizer)  # after averaging, so that all ranks skip the same updates
    if game.clip_gradient is not None:
        torch.nn.utils.clip_grad_norm_(parameters, game.clip_gradient)
    game.end_phase(PHASES[player])
    scaler.step(optimizer)
    game.end_phase(OPTIMIZER)
    if scaler.enabled:
        sums |= {f"{player}_loss_scale": scaler.factor, f"{player}_skipped_updates": scaler.skipped.float()}
    if is_main:
        sums |= call_after(game, turns)
    return game.processes.mean_scalars(sums, game.engine.dtype)


def _backward(
    game: StepContext,
    state: State,
    player: Player,
    terms: Terms,
    parameters: list[nn.Parameter],
    batch: Batch,
    fakes: Fakes | None,
    *,
    penalties: bool,
    lazy_scale: float | None,
    keep_graph: bool = False,
    recording: bool = False,
) -> tuple[Scalars, list[PlayerTurn]]:
    """Compute the gradients of the terms, in microbatches.

    Args:
        keep_graph: whether ``fakes`` keep their autograd graph.
        recording: whether this is recorded.

    Returns:
        The scalars, and the turn of each microbatch.
    """
    is_main, scale = lazy_scale is None, 1.0 if lazy_scale is None else lazy_scale
    sums: Scalars = {}
    turns: list[PlayerTurn] = []
    noise = BatchNoise(game, len(batch.images), batch.labels)
    all_rows = [*microbatches(len(batch.images), game.microbatch)]
    for rows in all_rows:
        part = batch.rows(rows)
        share = len(part.images) / len(batch.images)
        # one autocast context per turn shares the casts of the weights; losses and penalties leave it again
        with game.engine.autocast(), game.engine.full_precision():
            turn = PlayerTurn(
                game,
                player,
                part,
                images_seen=None if recording else state.images,
                fakes=fakes if fakes is None or len(all_rows) == 1 else _rows_of(fakes, rows, len(batch.images)),
                noise=noise.microbatch(rows),
                loss=is_main,
                penalties=penalties,
            )
            found = require_scalars(terms(turn), "the terms of a turn")
            values = {name: value.reshape(()) for name, value in found.items()}
        total = torch.stack([*values.values()]).sum()
        require_gradient(total, list(values), player)
        # all microbatches share the graph of fakes that were generated before
        retain = fakes is not None and (keep_graph or rows is not all_rows[-1])
        state.scalers[player].scale(total * (scale * share)).backward(inputs=parameters, retain_graph=retain)
        for name, value in (values | (mean_logits(turn) if is_main else {})).items():
            sums[name] = sums.get(name, 0) + value.detach() * share
        turns.append(turn)
    return sums, turns


def _recorded(
    recordings: Recordings,
    key: Hashable,
    backward: Callable[..., tuple[Scalars, list[PlayerTurn]]],
    batch: Batch,
    fakes: Fakes | None,
    parameters: list[nn.Parameter],
    state: State,
) -> tuple[Scalars, list[PlayerTurn]]:
    """The same as ``backward(batch, fakes)``, which is run a few times, then recorded and replayed."""

    def compute(inputs: Mapping[str, Tensor], recording: bool) -> tuple[Scalars, list[PlayerTurn], list[Tensor | None]]:
        sums, turns = backward(batch_of(inputs), fakes, keep_graph=True, recording=recording)
        if recording:
            for turn in turns:
                turn.detach()
        return sums, turns, [parameter.grad for parameter in parameters]

    (sums, turns, gradients), replayed = recordings.run(key, tensors_of(batch), compute, uses=fakes)
    if not replayed:
        return sums, turns
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.grad = gradient
    return {name: value.clone() for name, value in sums.items()}, [turn.replayed(state.images) for turn in turns]


def turn_terms(game: StepContext, state: State, turn: Any) -> Scalars:
    """The loss of the turn's player, and its regularizers that are due in every turn.

    Raises:
        GankitError: the game has no loss.
    """
    player: Player = turn.player
    joint, _ = due_regularizers(game.regularizers, player, state.turns[player])
    # penalties go first: a compiled penalty computes the logits of its images as well
    penalties: Scalars = {}
    for name, regularizer in joint.items():
        penalties |= regularizer_terms(name, regularizer)(turn)
    return {f"{player}_loss": turn_loss(game, turn)} | penalties


def turn_loss(game: StepContext, turn: Any) -> Tensor:
    """The loss of the turn's player. Raises: GankitError: the game has no loss."""
    if game.loss is None:
        why = "does not list 'loss' in `honours`" if "discriminator" in game.players else "has one player"
        raise GankitError(
            f"{type(game.rules).__name__} {why} and so no loss: define terms(turn), or pass terms to update"
        )
    return loss_over_heads(game.loss, turn)


def regularizer_terms(name: str, regularizer: Any) -> Terms:
    """The term of a regularizer, under the name that it is reported by."""

    def terms(turn: Turn) -> Scalars:
        value = getattr(regularizer, turn.player)(turn)
        return {reported_name(name, regularizer, turn.player): require_term(value, regularizer, turn.player)}

    return terms


def _rows_of(fakes: Fakes, rows: slice, count: int) -> Fakes:
    """The fakes of a microbatch of ``count`` images. Raises: GankitError: there are more or fewer fakes than images."""
    if len(fakes.images) != count:
        raise GankitError(
            f"an update received {len(fakes.images)} fakes for a batch of {count} images; train.microbatch splits both "
            "alike: generate one fake for each image, or pass None"
        )
    return Fakes(fakes.images[rows], fakes.latents[rows], map_tensors(fakes.generated, lambda tensor: tensor[rows]))


def loss_over_heads(loss: Loss, turn: PlayerTurn) -> Tensor:
    """The player's loss, evaluated for each head of D and summed."""
    of_player: Callable[[PlayerTurn], Tensor] = getattr(loss, turn.player)
    return torch.stack([require_term(of_player(view), loss, turn.player) for view in turn.each_head()]).sum()


def mean_logits(turn: PlayerTurn) -> Scalars:
    """D's mean logits on the reals and fakes of its own turn, if they were computed."""
    if turn.player == "generator":
        return {}
    return {f"{side}_logits": getattr(turn, f"{side}_logits").mean() for side in SIDES if turn.has_output(side)}


def has_after(component: Any) -> bool:
    """Whether a component has the optional method ``after``, and not a submodule or a value of this name."""
    after = getattr(component, "after", None)
    return callable(after) and not isinstance(after, nn.Module)


@torch.no_grad()
def call_after(game: StepContext, parts: list[PlayerTurn]) -> Scalars:
    """Call ``after`` of every component that has it, with the turn of the whole batch; return their scalars."""
    scalars: Scalars = {}
    networks = game.players.values()
    components = (game.loss, *game.regularizers.values(), *game.augmentations, game.latent, *networks, game.rules)
    with_after = [component for component in components if has_after(component)]
    if with_after:
        whole = PlayerTurn.joined(parts)
        for component in with_after:
            scalars |= require_scalars(component.after(whole) or {}, f"{type(component).__name__}.after")
    return scalars


def microbatches(count: int, size: int | None) -> Iterator[slice]:
    """The rows of each microbatch of at most ``size`` of ``count`` images."""
    size = size or count
    return (slice(start, start + size) for start in range(0, count, size))
