"""A search space: distributions of recipe values. A value may contain distributions at any depth."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Protocol

from ..recipe import yaml_with_lines
from ..recipe.located_document import Document, KeyPath

Label = str | int | float | bool | None
"""An option of a choice, as Optuna stores it."""


class Draw(Protocol):
    """Draws values: an `optuna.trial.Trial` or `optuna.trial.FixedTrial`."""

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        """A real number in [low, high], uniform or log-uniform a priori."""

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1) -> int:
        """``low``, ``low + step``, ... up to ``high``."""

    def suggest_categorical(self, name: str, choices: Any) -> Any:
        """One of the choices."""


@dataclass(frozen=True)
class Numbers:
    """A range of numbers, both ends included.

    Attributes:
        kind: ``uniform``, ``log`` (log-uniform) or ``int``.
        low: the smallest number.
        high: the largest number.
        step: between whole numbers.
    """

    kind: Literal["uniform", "log", "int"]
    low: float
    high: float
    step: int = 1


class Option(NamedTuple):
    """An option of a choice: how it is called, and its value, which may contain distributions."""

    label: Label
    value: Any


@dataclass(frozen=True)
class Choice:
    """One of several values."""

    options: tuple[Option, ...]


class Example(NamedTuple):
    """A value without distributions, and the path of the option that it shows in the document of the space."""

    value: Any
    path: KeyPath


@dataclass(frozen=True)
class Setting:
    """An entry of a space.

    Attributes:
        name: its key in the file.
        keys: the recipe keys that it sets, all to the same value.
        value: a distribution, or plain data that may contain distributions.
    """

    name: str
    keys: tuple[str, ...]
    value: Any


@dataclass(frozen=True)
class Space:
    """A search space.

    Attributes:
        settings: its entries.
        document: locates problems.
    """

    settings: tuple[Setting, ...]
    document: Document = field(compare=False)

    def draw(self, trial: Draw) -> list[str]:
        """Draw a value for each setting. Returns: ``KEY=VALUE`` overrides of the recipe."""
        drawn = [(setting.keys, draw_value(setting.value, setting.name, trial)) for setting in self.settings]
        return [f"{key}={to_word(value)}" for keys, value in drawn for key in keys]


def draw_value(value: Any, name: str, trial: Draw) -> Any:
    """The value with each distribution in it replaced by a value drawn from it.

    Args:
        value: a distribution, or plain data that may contain distributions.
        name: of the parameter in the study. Distributions inside an option are named after it, such as
            ``generator[biggan].width``, since they exist only if it is chosen.
        trial: draws.
    """
    if isinstance(value, Numbers):
        if value.kind == "int":
            return trial.suggest_int(name, int(value.low), int(value.high), step=value.step)
        return trial.suggest_float(name, value.low, value.high, log=value.kind == "log")
    if isinstance(value, Choice):
        label = trial.suggest_categorical(name, [option.label for option in value.options])
        chosen = next(option for option in value.options if option.label == label)
        return draw_value(chosen.value, f"{name}[{label}]", trial)
    if isinstance(value, dict):
        return {key: draw_value(item, f"{name}.{key}", trial) for key, item in value.items()}
    if isinstance(value, list):
        return [draw_value(item, f"{name}.{index}", trial) for index, item in enumerate(value)]
    return value


def examples(value: Any, path: KeyPath) -> Iterator[Example]:
    """Values in which both ends of each range and each option of each choice occur.

    Args:
        value: a distribution, or plain data that may contain distributions.
        path: of the value in the document of the space.
    """
    if isinstance(value, Numbers):
        yield from (Example(end, path) for end in (value.low, value.high))
    elif isinstance(value, Choice):
        for index, option in enumerate(value.options):
            yield from examples(option.value, (*path, "choice", index))
    elif isinstance(value, (dict, list)):
        items = [*(value.items() if isinstance(value, dict) else enumerate(value))]
        found = {key: [*examples(item, (*path, key))] for key, item in items}
        first = {key: own[0].value for key, own in found.items()}
        yield Example(first if isinstance(value, dict) else [*first.values()], path)
        for key, own in found.items():
            for example in own[1:]:
                changed = {**first, key: example.value}
                yield Example(changed if isinstance(value, dict) else [*changed.values()], example.path)
    else:
        yield Example(value, path)


def to_word(value: Any) -> str:
    """Plain data as the value of an override: a simple string as it is, everything else as JSON, which is YAML."""
    if (
        isinstance(value, str)
        and re.fullmatch(r"[A-Za-z][\w./-]*", value)
        and yaml_with_lines.read(value, "").data == value
    ):
        return value
    return json.dumps(value, ensure_ascii=False)


def shortened(word: str) -> str:
    """An override for people to read: its numbers have four digits."""
    key, _, text = word.partition("=")
    return f"{key}={to_word(_rounded(yaml_with_lines.read(text, '').data))}"


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.4g}")
    if isinstance(value, list):
        return [*map(_rounded, value)]
    return {key: _rounded(item) for key, item in value.items()} if isinstance(value, dict) else value
