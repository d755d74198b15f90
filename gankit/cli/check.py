"""``gankit check``: check a recipe."""

from __future__ import annotations

import json
from typing import Any

from .console import Overrides, PluginOption, RecipeFile, make_runtime, make_table, output_console, print_message


def check(recipe: RecipeFile, overrides: Overrides = None, plugin: PluginOption = None) -> None:
    """Check a recipe without its data, without network and without training, and print it with all defaults.

    Examples:

      gankit check recipes/dcgan_cifar10.yaml

      gankit check recipes/dcgan_cifar10.yaml image.size=96 generator.width=32
    """
    from ..assembly.initial_weights import require_initial_weights
    from ..device.find_device import slow_precision
    from ..recipe.weight_selection import Initialize

    checked = make_runtime(plugin).load_checked(recipe, overrides or ())
    initialize, train, document = checked.recipe.initialize, checked.recipe.train, checked.recipe.document
    is_on_hub = initialize is not None and Initialize.parse(initialize).is_on_hub
    if not is_on_hub:
        require_initial_weights(checked)
    rows = [
        ("" if index else key, line)
        for key, value in checked.recipe.model_dump(mode="json").items()
        if key != "segments" or value
        for index, line in enumerate(_lines(value))
    ]
    output_console().print(f"{recipe} is valid", style="italic")
    output_console().print(make_table(rows))
    if (slow := slow_precision(train.precision, train.device)) is not None:
        print_message(str(document.problem(("train", "precision"), slow)), "note")
    for path, reason in checked.not_tried.items():
        message = f"not tried without data ({reason}); it will be tried when training starts"
        print_message(str(document.problem(path, message)), "note")
    if is_on_hub:
        message = "these weights are downloaded and compared with the networks when training starts"
        print_message(str(document.problem(("initialize",), message)), "note")


def _lines(value: Any) -> list[str]:
    """The lines of a section: one for each component or group of settings."""
    if isinstance(value, list):
        return [line for item in value for line in _lines(item)] or ["none"]
    if isinstance(value, dict) and "name" in value:
        rest = {key: item for key, item in value.items() if key != "name"}
        return [f"{value['name']}  {_pairs(rest)}".rstrip()]
    if isinstance(value, dict) and any(isinstance(item, dict) for item in value.values()):
        return [f"{key}: {line}" for key, item in value.items() for line in _lines(item)]
    return [_pairs(value) if isinstance(value, dict) else "none" if value is None else _text(value)]


def _pairs(values: dict[str, Any]) -> str:
    return "  ".join(f"{key}={_text(value)}" for key, value in values.items() if value is not None)


def _text(value: Any) -> str:
    """A value as written in a recipe."""
    return value if isinstance(value, str) else json.dumps(value)
