"""The components of a step besides the networks, by their path in the recipe."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from ..errors import GankitError, RecipeError
from ..recipe.checked_recipe import CheckedRecipe
from ..recipe.located_document import KeyPath, dotted
from ..recipe.model import Recipe
from ..training.callbacks import require_state_dict_pair

Components = Mapping[KeyPath, Any]


def build_components(checked: CheckedRecipe, context: Mapping[str, Any]) -> Components:
    """Latent, loss, regularizers, augmentations and the game."""
    sections = ("latent", "loss", "train", "regularizers", "augmentations")
    values = {**context, "dim": checked.recipe.latent.dim}
    chosen = {path: selected for path, selected in checked.components.items() if path[0] in sections}
    return {path: selected.build(**values) for path, selected in chosen.items()}


def named_components(components: Components, checked: CheckedRecipe) -> dict[str, Any]:
    """Components by names that do not depend on list positions: loss, regularizers.r1, regularizers.r1#2, ..."""
    named: dict[str, Any] = {}
    for path, part in components.items():
        name = f"{path[0]}.{checked[path].entry.name}" if isinstance(path[-1], int) else dotted(path)
        number = 1 + sum(known.partition("#")[0] == name for known in named)
        named[name if number == 1 else f"{name}#{number}"] = part
    return named


def of_section(named: Mapping[str, Any], section: str) -> dict[str, Any]:
    """The components below a top-level key of the recipe, such as ``regularizers``, by their names without that key."""
    prefix = f"{section}."
    return {name.removeprefix(prefix): part for name, part in named.items() if name.startswith(prefix)}


def require_checkpointed_and_trained(components: Components, recipe: Recipe) -> None:
    """Raises: RecipeError: a component has a state that no checkpoint could hold, or parameters that nothing trains."""
    for path, part in components.items():
        try:
            require_state_dict_pair(part, type(part).__name__)
            if isinstance(part, nn.Module):
                _require_no_trainable_parameters(part)
        except GankitError as error:
            raise RecipeError([recipe.document.problem(path, str(error))]) from None


def _require_no_trainable_parameters(part: nn.Module) -> None:
    """Raises: GankitError: no optimizer would update a parameter of this component."""
    if trainable := [name for name, p in part.named_parameters() if p.requires_grad]:
        raise GankitError(
            f"{type(part).__name__}: no optimizer would train its parameter '{trainable[0]}': "
            "move it into the generator or the discriminator, or freeze it (requires_grad_(False))"
        )
