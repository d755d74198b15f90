"""One optimizer step of a player on its loss and regularizers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import GankitError
from ..interfaces import Loss, Player, Scalars, State, Turn
from .backward import PlayerUpdate, Terms, backward, backward_captured, with_own_graph
from .lazy_regularization import due_regularizers, reported_name
from .returned_values import require_scalars, require_term
from .step_context import StepContext
from .turn import PlayerTurn

PHASES: dict[Player, str] = {"discriminator": "D's turn", "generator": "G's turn"}
OPTIMIZER = "optimizer"


def optimizer_step(update: PlayerUpdate) -> Scalars:
    """Run an update. Returns: the value of each term and D's mean logits, as means over all ranks.

    Raises:
        GankitError: the batch is split into microbatches, and there is not one fake for each image.
    """
    context, state, player = update.context, update.state, update.player
    optimizer, scaler = state.optimizers[player], state.scalers[player]
    owned = {p for group in optimizer.param_groups for p in group["params"]}  # `parameter_groups` may leave some out
    modules = state.trained[player].values()
    parameters = [p for module in modules for p in module.parameters() if p.requires_grad and p in owned]
    optimizer.zero_grad(set_to_none=True)
    if context.recordings is None or update.name is None:
        sums, turns = backward(update, parameters, update.batch, with_own_graph(update, update.batch))
    else:
        sums, turns = backward_captured(update, context.recordings, parameters)
    context.processes.average_gradients(parameters)
    scaler.unscale(optimizer)  # after averaging, so that all ranks skip the same updates
    if context.clip_gradient is not None:
        torch.nn.utils.clip_grad_norm_(parameters, context.clip_gradient)
    context.end_phase(PHASES[player])
    scaler.step(optimizer)
    context.end_phase(OPTIMIZER)
    if scaler.enabled:
        sums |= {f"{player}_loss_scale": scaler.factor, f"{player}_skipped_updates": scaler.skipped.float()}
    if not update.is_lazy:
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
    loss = f"{player}_loss"
    if loss in penalties:
        raise GankitError(f"a regularizer is reported as {loss!r}, the name of the loss; register another name")
    return {loss: turn_loss(context, turn)} | penalties


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
