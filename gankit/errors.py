"""Exceptions. The command line prints them as messages without a traceback."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from .messages import truncate

MAX_MESSAGE = 1000


class GankitError(Exception):
    """The base class of all errors that gankit raises on purpose."""


@dataclass(frozen=True)
class Problem:
    """A problem of a recipe.

    Attributes:
        place: ``file:line:column``, or ``command line: WORD`` for an override.
        path: the dotted key, such as ``generator.width``; empty for a problem of the whole file.
        message: the problem, the value that was given, and the remedy.
    """

    place: str
    path: str
    message: str

    def __str__(self) -> str:
        return ": ".join(part for part in (self.place, self.path, truncate(self.message, MAX_MESSAGE)) if part)


class RecipeError(GankitError):
    """A recipe that cannot run. ``problems`` has all that were found, in the order of the file."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))

    def __reduce__(self) -> tuple[type[RecipeError], tuple[tuple[Problem, ...]]]:
        """For copies in other processes: the default would build them from the message."""
        return type(self), (self.problems,)


class PluginError(GankitError):
    """A requested plugin that cannot be loaded."""


class RegistrationError(GankitError):
    """A component that cannot be registered: its name is taken or invalid, or its signature has no schema."""


class DataError(GankitError):
    """A dataset that is missing, damaged, empty or too small."""


class MissingFieldError(KeyError):
    """A field that the data lacks, such as ``turn["source"]`` for a dataset that has only images."""


class CheckpointError(GankitError):
    """A checkpoint that is missing, damaged, altered, or does not fit the networks."""
