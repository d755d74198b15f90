"""The components of a step other than the networks, by their path in the recipe."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from ..distributed.processes import Processes
from ..errors import GankitError
from ..events import Notice
from ..game.game import Game
from ..interfaces import PLAYERS, Player
from ..recipe.checked_recipe import CheckedRecipe
from ..recipe.located_document import KeyPath, dotted
from ..training.callbacks import numbered, require_state_dict_pair

Components = Mapping[KeyPath, Any]

WITH_PLAYER = ("loss", "regularizers")  # the components that a player's optimizer can train


def build_components(checked: CheckedRecipe, values: Mapping[str, Any]) -> Components:
    """Latent, loss, regularizers, augmentations and the game."""
    sections = ("latent", "loss", "train", "regularizers", "augmentations")
    values = {**values, "dim": checked.recipe.latent.dim}
    chosen = {path: selected for path, selected in checked.components.items() if path[0] in sections}
    return {path: selected.build(**values) for path, selected in chosen.items()}


def named_components(components: Components, checked: CheckedRecipe) -> dict[str, Any]:
    """Components by names that do not depend on list positions: loss, regularizers.r1, regularizers.r1#2, ..."""
    named: dict[str, Any] = {}
    for path, part in components.items():
        name = f"{path[0]}.{checked[path].entry.name}" if isinstance(path[-1], int) else dotted(path)
        named[numbered(name, named)] = part
    return named


def of_section(named: Mapping[str, Any], section: str) -> dict[str, Any]:
    """The components below a top-level key of the recipe, such as ``regularizers``, by their names without that key."""
    prefix = f"{section}."
    return {name.removeprefix(prefix): part for name, part in named.items() if name.startswith(prefix)}


def require_saved_and_trained(components: Components, checked: CheckedRecipe) -> None:
    """Raises: RecipeError: a component has a state that no checkpoint could hold, or parameters that nothing trains."""
    for path, part in components.items():
        try:
            require_state_dict_pair(part, type(part).__name__)
            if not isinstance(part, Game):  # which may have an optimizer of its own
                require_trained(part, checked.players, may_have_player=path[0] in WITH_PLAYER)
        except GankitError as error:
            raise checked.recipe.document.error(path, str(error)) from None


def trainable_components(named: Mapping[str, Any], processes: Processes) -> dict[str, Any]:
    """The losses and regularizers with parameters that require gradients, by name; with BatchNorm as in networks."""
    trainable = {
        name: part
        for name, part in named.items()
        if not isinstance(part, Game) and _trainable_parameter(part) is not None
    }
    return {name: processes.convert_batchnorm(part) for name, part in trainable.items()}  # in place


def require_trained(part: Any, players: Sequence[Player], *, may_have_player: bool = True) -> None:
    """Check that a component without parameters to train has none, or names the player that trains them.

    Args:
        part: a component other than a network.
        players: of the game.
        may_have_player: whether the component is a loss or a regularizer, which a player's optimizer can train.

    Raises:
        GankitError: no optimizer would update a parameter of this component.
    """
    parameter = _trainable_parameter(part)
    if parameter is None:
        return
    kind, player = type(part).__name__, getattr(part, "player", None)
    if not isinstance(part, nn.Module):
        raise GankitError(
            f"{kind}: its parameter '{parameter}' would neither be trained nor saved: make {kind} a torch.nn.Module, "
            "or freeze the parameter (requires_grad_(False))"
        )
    if player is None or not may_have_player:
        own = ", name the player that trains it (player = 'generator')" if may_have_player else ""
        raise GankitError(
            f"{kind}: no optimizer would train its parameter '{parameter}': move it into the generator or the "
            f"discriminator{own}, or freeze it (requires_grad_(False))"
        )
    if player not in players:
        lacking = " alone, because this game has no discriminator" if player in PLAYERS else ""
        known = " or ".join(map(repr, players))
        raise GankitError(f"{kind}.player, which trains its parameters, is {player!r}; it can be {known}{lacking}")
    if is_lazy(part.get_parameter(parameter)):
        raise GankitError(f"{kind}: its parameter '{parameter}' has no shape yet: give its layer a size")


def untrained_parameters_of(game: Game, optimizers: Iterable[torch.optim.Optimizer]) -> Notice | None:
    """A notice if a game without an optimizer of its own holds parameters that no optimizer of the run trains."""
    if any(isinstance(value, torch.optim.Optimizer) for value in vars(game).values()):
        return None
    trained = {id(p) for optimizer in optimizers for group in optimizer.param_groups for p in group["params"]}
    name = next((name for name, p in _parameters_of(game) if p.requires_grad and id(p) not in trained), None)
    if name is None:
        return None
    kind = type(game).__name__
    message = (
        f"{kind} holds the parameter '{name}', which no optimizer of the run trains and no checkpoint contains: make "
        "it a part of the generator or the discriminator, or wrap its module in gankit.Frozen"
    )
    return Notice("untrained_parameters", message)


def _trainable_parameter(part: Any) -> str | None:
    """The name of the first parameter that requires gradients; None if there is none."""
    return next((name for name, parameter in _parameters_of(part) if parameter.requires_grad), None)


def _parameters_of(part: Any) -> Iterator[tuple[str, nn.Parameter]]:
    """The parameters of a module, or of the modules and parameters that are attributes of another object."""
    if isinstance(part, nn.Module):
        yield from part.named_parameters()
        return
    for name, value in getattr(part, "__dict__", {}).items():
        if isinstance(value, nn.Parameter):
            yield name, value
        elif isinstance(value, nn.Module):
            yield from ((f"{name}.{inner}", parameter) for inner, parameter in value.named_parameters())
