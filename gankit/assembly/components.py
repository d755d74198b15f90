"""Everything that takes part in a step beside the networks, by its path in the recipe."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from .selection import Selections
from ..errors import GankitError, RecipeError
from ..interfaces import ImageSpec
from ..recipe.model import Recipe
from ..training.callbacks import require_state_dict_pair
from ..recipe.located_document import KeyPath, dotted

Components = Mapping[KeyPath, Any]


def build_components(choices: Selections, image: ImageSpec, latent_dim: int) -> Components:
    """Latent, loss, regularizers, augmentations and the rules of the game."""
    contexts: dict[str, tuple[Any, ...]] = {
        "latent": (latent_dim,),
        "loss": (),
        "train": (),
        "regularizers": (),
        "augmentations": (image,),
    }
    return {path: chosen.build(*contexts[str(path[0])]) for path, chosen in choices.items() if path[0] in contexts}


def names_of(components: Components, choices: Selections) -> dict[str, Any]:
    """Components by names that stay theirs when a list is reordered: loss, regularizers.r1, regularizers.r1#2, ..."""
    named: dict[str, Any] = {}
    for path, part in components.items():
        name = f"{path[0]}.{choices[path].entry.name}" if isinstance(path[-1], int) else dotted(path)
        number = 1 + sum(known.partition("#")[0] == name for known in named)
        named[name if number == 1 else f"{name}#{number}"] = part
    return named


def require_nothing_lost(components: Components, recipe: Recipe) -> None:
    """Raises: RecipeError: what a component has would be lost silently: half of a state, or weights to be trained."""
    for path, part in components.items():
        try:
            require_state_dict_pair(part, f"{type(part).__name__}")
        except GankitError as error:
            raise RecipeError([recipe.document.problem(path, str(error))]) from None
        if isinstance(part, nn.Module):
            _require_nothing_to_train(part, path, recipe)


def _require_nothing_to_train(part: nn.Module, path: KeyPath, recipe: Recipe) -> None:
    """Raises: RecipeError: no optimizer holds what would have to be trained."""
    weight = next((name for name, parameter in part.named_parameters() if parameter.requires_grad), None)
    if weight is not None:
        message = (
            f"{type(part).__name__}: no optimizer would train its parameter '{weight}': "
            "put what learns into the generator or the discriminator, or freeze it (requires_grad_(False))"
        )
        raise RecipeError([recipe.document.problem(path, message)])
