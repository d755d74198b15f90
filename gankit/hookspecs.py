"""The whole plugin API.

A plugin is a module (or an object) with functions marked ``@gankit.hookimpl``. An installed one is found by a line
under ``[project.entry-points.gankit]``; a file or module comes by ``--plugin`` or ``Runtime(plugins=[...])``.
"""

from __future__ import annotations

from collections.abc import Sequence

import pluggy

from .recipe.model import Recipe
from .registry import Registries

hookspec = pluggy.HookspecMarker("gankit")
hookimpl = pluggy.HookimplMarker("gankit")


class Hooks:
    """The hooks that a plugin may implement; it may leave out the arguments that it does not use."""

    @hookspec
    def register(self, registries: Registries) -> None:
        """Put components into the registries: ``registries.generators.add("mine", MyGenerator)``."""

    @hookspec
    def run_callbacks(self, recipe: Recipe) -> Sequence[object]:
        """Callbacks for every run, such as a tracker, beside those that the recipe names."""
        return ()
