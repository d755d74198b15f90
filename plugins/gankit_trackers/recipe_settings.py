"""A recipe as a flat list of settings."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import gankit

Setting = str | float | bool


def recipe_settings(recipe: gankit.Recipe) -> dict[str, Setting]:
    """The values of a recipe by dotted key, such as ``generator.width``, without those that are null.

    A component in a list is named as on the command line: ``callbacks.checkpoint.every``, or by its position if there
    are several of the name. Lists of values are written as JSON.
    """
    return dict(_flattened("", recipe.model_dump(mode="json")))


def _flattened(key: str, value: Any) -> Iterator[tuple[str, Setting]]:
    if isinstance(value, list) and any(isinstance(item, dict) for item in value):
        names = [item.get("name") if isinstance(item, dict) else None for item in value]
        counts = Counter(names)
        keys = [name if name and counts[name] == 1 else index for index, name in enumerate(names)]
        value = dict(zip(keys, value, strict=True))
    if isinstance(value, dict):
        for name, item in value.items():
            yield from _flattened(f"{key}.{name}" if key else str(name), item)
    elif isinstance(value, list):
        yield key, json.dumps(value)
    elif value is not None:
        yield key, value
