"""Read a search space from YAML, and report every problem with its place."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..errors import Problem, RecipeError
from ..messages import did_you_mean, quote
from ..recipe import yaml_with_lines
from ..recipe.inheritance import parse, read_text
from ..recipe.located_document import Document, KeyPath
from ..recipe.model import in_order
from .space import Choice, Label, Numbers, Option, Setting, Space, to_word

NOUN = "search space"
RANGES = ("uniform", "log", "int")
KINDS = (*RANGES, "choice")
REFUSED = {
    "name": "belongs to the recipe; the directories of trials are numbered",
    "extends": "is supported in recipe files only",
    "segments": "belongs to the recipe; set the key itself",
    "callbacks": "should be the same in all trials, or their scores could not be compared; set it in the recipe",
}


def read_space(path: str | Path) -> Space:
    """The search space in a YAML file. Raises: RecipeError, with every problem."""
    return parse_space(read_space_text(path), str(path))


def read_space_text(path: str | Path) -> str:
    """The text of a file with a search space. Raises: RecipeError: it cannot be read."""
    return read_text(Path(path), noun=NOUN)


def parse_space(text: str, name: str) -> Space:
    """Parse YAML text. ``name`` is its file in messages. Raises: RecipeError, with every problem."""
    document = parse(text, name, NOUN)
    reader = _Reader(document)
    settings = [reader.setting(key, value) for key, value in document.data.items()]
    problems = [*document.problems, *reader.problems, *_overlaps(settings, document)]
    if not problems and not reader.found:
        message = "has no distribution: nothing to search; an example: {log: [1.0e-5, 1.0e-2]}"
        problems.append(Problem(document.values[()], "", message))
    if problems:
        raise RecipeError(in_order(problems))
    return Space(tuple(settings), document)


class _Reader:
    """Makes distributions of plain data, and collects the problems.

    Attributes:
        problems: all that were found.
        found: the number of distributions.
    """

    def __init__(self, document: Document) -> None:
        self.problems: list[Problem] = []
        self.found = 0
        self._document = document

    def setting(self, name: str, value: Any) -> Setting:
        keys = tuple(key.strip() for key in name.split(","))
        for key in keys:
            words = key.split(".")
            if not all(words) or len(words) > yaml_with_lines.MAX_DEPTH:
                self._report(
                    (name,), f"should be a recipe key, such as loader.batch_size; got {quote(key)}", of_key=True
                )
            elif words[0] in REFUSED:
                self._report((name,), REFUSED[words[0]], of_key=True)
        return Setting(name, keys, self.value(value, (name,)))

    def value(self, value: Any, path: KeyPath) -> Any:
        """The value with a distribution in place of each mapping that describes one."""
        if isinstance(value, dict):
            kinds = [kind for kind in KINDS if kind in value]
            if kinds and "name" not in value:  # with a name, it is a component with a parameter of this name
                return self._distribution(kinds, value, path)
            return {key: self.value(item, (*path, key)) for key, item in value.items()}
        if isinstance(value, list):
            return [self.value(item, (*path, index)) for index, item in enumerate(value)]
        return value

    def _distribution(self, kinds: Sequence[str], value: dict[str, Any], path: KeyPath) -> Numbers | Choice:
        self.found += 1
        kind = kinds[0]
        known = (kind, "step") if kind == "int" else (kind,)
        for key in value:
            if key in kinds[1:]:
                self._report((*path, key), f"a distribution is one of {', '.join(KINDS)}; got {' and '.join(kinds)}")
            elif key not in known:
                self._report((*path, key), f"unknown key of a distribution{did_you_mean(key, known)}", of_key=True)
        if kind == "choice":
            return self._choice(value[kind], (*path, kind))
        return self._numbers(kind, value, path)

    def _numbers(self, kind: Any, value: dict[str, Any], path: KeyPath) -> Numbers:
        ends, step, at = value[kind], value.get("step", 1), (*path, kind)
        is_kind = _is_whole if kind == "int" else _is_number
        noun = "whole numbers" if kind == "int" else "numbers"
        if not isinstance(ends, list) or len(ends) != 2 or not all(map(is_kind, ends)):
            return self._refuse(at, f"should be two {noun}, [lowest, highest]; got {quote(ends)}")
        low, high = ends
        if not math.isfinite(high - low):
            return self._refuse(at, f"the difference of both values is too large; got {quote(ends)}")
        if low >= high:
            return self._refuse(at, f"the lowest value should be below the highest one; got {quote(ends)}")
        if kind == "log" and low <= 0:
            return self._refuse(at, f"a logarithmic scale has positive numbers only; got {quote(ends)}")
        if kind == "int" and (not _is_whole(step) or step < 1 or (high - low) % step):
            message = f"should be a positive whole number that divides {high} - {low}; got {quote(step)}"
            return self._refuse((*path, "step"), message)
        return Numbers(kind, low, high, step if kind == "int" else 1)

    def _choice(self, options: Any, path: KeyPath) -> Numbers | Choice:
        if not isinstance(options, list) or not options:
            return self._refuse(path, f"should be a list of values; got {quote(options)}")
        for index, option in enumerate(options):
            if option in options[:index]:
                self._report((*path, index), f"given twice: {quote(option)}")
            if isinstance(option, float) and not math.isfinite(option):
                self._report((*path, index), f"should be a finite number; got {quote(option)}")
        values = [self.value(option, (*path, index)) for index, option in enumerate(options)]
        return Choice(tuple(map(Option, _labels(options), values)))

    def _report(self, path: KeyPath, message: str, of_key: bool = False) -> None:
        self.problems.append(self._document.problem(path, message, of_key))

    def _refuse(self, path: KeyPath, message: str) -> Numbers:
        """Report a problem. Returns: a stand-in for the distribution."""
        self._report(path, message)
        return Numbers("uniform", 0, 1)


def _labels(options: Sequence[Any]) -> list[Label]:
    """A label for each option: the option itself, or the names of its components, or if others have these, its text."""
    names = [_name(option) for option in options]
    return [
        to_word(option) if isinstance(option, (dict, list)) and names.count(name) > 1 else name
        for name, option in zip(names, options, strict=True)
    ]


def _name(option: Any) -> Label:
    """``hinge`` for ``{name: hinge, margin: 1}``, and ``[r1, r2]`` for a list of such components."""
    if isinstance(option, dict):
        return option["name"] if isinstance(option.get("name"), str) else to_word(option)
    return f"[{', '.join(str(_name(item)) for item in option)}]" if isinstance(option, list) else option


def _overlaps(settings: Sequence[Setting], document: Document) -> list[Problem]:
    """A problem for each key that is set twice, or whose parent is also set."""
    owners: dict[str, str] = {}
    problems = []
    for setting in settings:
        for key in setting.keys:
            if key in owners:
                message = f"sets {key}, as does {document.keys[owners[key],]}"
                problems.append(document.problem((setting.name,), message, of_key=True))
            owners[key] = setting.name
    for setting in settings:
        for key in setting.keys:
            words = key.split(".")
            parents = [parent for end in range(1, len(words)) if (parent := ".".join(words[:end])) in owners]
            if parents:
                message = f"is a part of {parents[0]}, which is also set; put it into the values there"
                problems.append(document.problem((setting.name,), message, of_key=True))
    return problems


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
