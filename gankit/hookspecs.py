"""The hooks that plugins implement.

A plugin is a module or object with functions marked ``@gankit.hookimpl``. An installed package declares it under
``[project.entry-points.gankit]``; a file or module is loaded with ``--plugin`` or ``Runtime(plugins=[...])``.
"""

from __future__ import annotations

from collections.abc import Sequence

import pluggy

from .recipe.model import Recipe
from .registry import Registries

hookspec = pluggy.HookspecMarker("gankit")
hookimpl = pluggy.HookimplMarker("gankit")
"""Decorator that marks a function of a plugin as the implementation of the hook of the same name."""


class Hooks:
    """All hooks. A plugin implements one or more, and may omit arguments that it does not use."""

    @hookspec
    def register(self, registries: Registries) -> None:
        """Register components: ``registries.generators.add("mine", MyGenerator)``."""

    @hookspec
    def run_callbacks(self, recipe: Recipe) -> Sequence[object]:
        """Callbacks for every run, such as an experiment tracker, in addition to those of the recipe."""
        return ()
