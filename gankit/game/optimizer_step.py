"""One optimizer step of a player on its loss and regularizers."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import GankitError
from ..interfaces import Batch, Loss, Player, Scalars, State, Turn
from .backward import Terms, backward, backward_recorded, with_own_graph
from .lazy_regularization import due_regularizers, reported_name
from .returned_values import require_scalars, require_term
from .step_context import Fakes, StepContext
from .turn import PlayerTurn

PHASES: dict[Player, str] = {"discriminator": "D's turn", "generator": "G's turn"}
OPTIMIZER = "optimizer"


def optimizer_step(
    context: StepContext,
    state: State,
    player: Player,
    batch: Batch,
    terms: Terms,
    *,
    fakes: Fakes | None,
    penalties: bool,
    name: str | None,
    interval: int = 1,
) -> Scalars:
    """One optimizer step of ``player``.

    Args:
        batch: the real images of this rank.
        terms: called with each turn: what the player minimizes, scalars by name.
        fakes: images already generated for this batch, one for each real image; None generates them when they are
            needed.
        penalties: whether terms differentiate with respect to images. In D's turn, these then require gradients.
        interval: of a lazy regularizer, by which its gradient is multiplied; 1 for the loss. The step of a lazy
            regularizer reports no logits, and no ``after`` follows it.
        name: identifies ``terms`` among those of the player; None if they differ from call to call. With
            ``train.cuda_graphs``, only turns whose terms have a name are recorded.

    Returns:
        The value of each term and D's mean logits, as means over all ranks.

    Raises:
        GankitError: the batch is split into microbatches, and there is not one fake for each image.
    """
    optimizer, scaler = state.optimizers[player], state.scalers[player]
    owned = {p for group in optimizer.param_groups for p in group["params"]}  # `parameter_groups` may leave some out
    modules = state.trained[player].values()
    parameters = [p for module in modules for p in module.parameters() if p.requires_grad and p in owned]
    optimizer.zero_grad(set_to_none=True)
    is_main = interval == 1
    compute = partial(backward, context, state, player, terms, parameters, penalties=penalties, interval=interval)
    recordings = context.recordings
    if recordings is None or name is None:
        sums, turns = compute(batch, with_own_graph(context, player, batch, fakes))
    else:
        key = player, name, is_main, penalties, fakes and fakes.number
        sums, turns = backward_recorded(context, recordings, player, key, compute, batch, fakes, parameters, state)
    context.processes.average_gradients(parameters)
    scaler.unscale(optimizer)  # after averaging, so that all ranks skip the same updates
    if context.clip_gradient is not None:
        torch.nn.utils.clip_grad_norm_(parameters, context.clip_gradient)
    context.end_phase(PHASES[player])
    scaler.step(optimizer)
    context.end_phase(OPTIMIZER)
    if scaler.enabled:
        sums |= {f"{player}_loss_scale": scaler.factor, f"{player}_skipped_updates": scaler.skipped.float()}
    if is_main:
        sums |= call_after(context, turns)
    return context.processes.mean_scalars(sums, context.engine.dtype)


def turn_terms(context: StepContext, state: State, turn: Any) -> Scalars:
    """The loss of the turn's player, and its regularizers that are due in every turn.

    Raises:
        GankitError: the game has no loss.
    """
    player: Player = turn.player
    joint, _ = due_regularizers(context.regularizers, player, state.turns[player])
    # penalties go first: a compiled penalty computes the logits of its images as well
    penalties: Scalars = {}
    for name, regularizer in joint.items():
        penalties |= regularizer_terms(name, regularizer)(turn)
    return {f"{player}_loss": turn_loss(context, turn)} | penalties


def turn_loss(context: StepContext, turn: Any) -> Tensor:
    """The loss of the turn's player. Raises: GankitError: the game has no loss."""
    if context.loss is None:
        why = "does not list 'loss' in `honours`" if "discriminator" in context.players else "has one player"
        raise GankitError(
            f"{type(context.game).__name__} {why} and so no loss: define terms(turn), or pass terms to update"
        )
    return loss_over_heads(context.loss, turn)


def regularizer_terms(name: str, regularizer: Any) -> Terms:
    """The term of a regularizer, under the name that it is reported by."""

    def terms(turn: Turn) -> Scalars:
        value = getattr(regularizer, turn.player)(turn)
        return {reported_name(name, regularizer, turn.player): require_term(value, regularizer, turn.player)}

    return terms


def loss_over_heads(loss: Loss, turn: PlayerTurn) -> Tensor:
    """The player's loss, evaluated for each head of D and summed."""
    of_player: Callable[[PlayerTurn], Tensor] = getattr(loss, turn.player)
    return torch.stack([require_term(of_player(view), loss, turn.player) for view in turn.each_head()]).sum()


def has_after(component: Any) -> bool:
    """Whether a component has the optional method ``after``, and not a submodule or a value of this name."""
    after = getattr(component, "after", None)
    return callable(after) and not isinstance(after, nn.Module)


@torch.no_grad()
def call_after(context: StepContext, parts: list[PlayerTurn]) -> Scalars:
    """Call ``after`` of every component that has it, with the turn of the whole batch; return their scalars."""
    scalars: Scalars = {}
    networks = context.players.values()
    components = (
        context.loss,
        *context.regularizers.values(),
        *context.augmentations,
        context.latent,
        *networks,
        context.game,
    )
    with_after = [component for component in components if has_after(component)]
    if with_after:
        whole = PlayerTurn.joined(parts)
        for component in with_after:
            source = f"{type(component).__name__}.after"
            scalars |= require_scalars(component.after(whole) or {}, source, context.engine.device)
    return scalars
