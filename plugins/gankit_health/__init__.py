"""Health checks of a running training: findings with measured values and advice, in plain sentences."""

import gankit

from .callback import Health


@gankit.hookimpl
def register(registries: gankit.Registries) -> None:
    """Register the callback under the name ``health``."""
    registries.callbacks.add("health", Health)


@gankit.hookimpl
def run_callbacks(recipe: gankit.Recipe) -> list[Health]:
    """Add the callback to every run whose recipe does not list it."""
    named = any(callback.name == "health" for callback in recipe.callbacks)
    return [] if named else [Health()]
