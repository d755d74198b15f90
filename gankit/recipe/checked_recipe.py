"""The result of checking a recipe: what a run is assembled, sampled and scored from."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from ..interfaces import PLAYERS, Player
from ..registered_component import Selected
from .located_document import KeyPath
from .model import Recipe


@dataclass(frozen=True)
class CheckedRecipe:
    """A recipe whose components are registered and have valid parameters.

    Attributes:
        recipe: with every default of its components filled in. Its document has the places for messages.
        components: the selected components with their checked parameters, by their path in the recipe.
        not_tried: what could not be checked without data, with the reason: callbacks that depend on the number of
            images, and networks and augmentations that the meta device cannot run. Such a network
            is tried before the first step instead; such an augmentation first runs in the first step.
        state_shapes: of the parameters and buffers of each network, by name, where the check could build it.
    """

    recipe: Recipe
    components: dict[KeyPath, Selected]
    not_tried: dict[KeyPath, str] = field(default_factory=dict)
    state_shapes: dict[Player, dict[str, tuple[int, ...]]] = field(default_factory=dict)

    def __getitem__(self, path: str | KeyPath) -> Selected:
        """The component at a path such as ``"generator"`` or ``("optimizers", "generator")``."""
        return self.components[(path,) if isinstance(path, str) else path]

    @cached_property
    def game(self) -> Any:
        """The game, to read what it declares; None if it cannot be built, which `gankit.Runtime.check` reports."""
        try:
            return self.build(("train", "game"))
        except Exception:  # a plugin's constructor may raise anything
            return None

    @cached_property
    def players(self) -> tuple[Player, ...]:
        """The players of the game; both if the game cannot be built."""
        known = getattr(self.game, "players", PLAYERS)
        return tuple(player for player in PLAYERS if player in known)

    def of_section(self, section: str) -> dict[KeyPath, Selected]:
        """The components below a top-level key, such as ``regularizers``."""
        return {path: selected for path, selected in self.components.items() if path[0] == section}

    def build(self, path: str | KeyPath, **given: Any) -> Any:
        """The component at ``path``, built with those of the values ``given`` that it asks for."""
        return self[path].build(**given)
