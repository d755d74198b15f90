"""What can go wrong, one class a culprit. The command line prints these as messages, never as tracebacks."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

MAX_MESSAGE = 1000


class GankitError(Exception):
    """The parent of every error that gankit raises on purpose."""


@dataclass(frozen=True)
class Problem:
    """One fault of a recipe.

    Attributes:
        place: where it stands: ``file:line:column``, or ``command line`` for an override.
        path: the dotted key, such as ``generator.width``; empty for a fault of the file as a whole.
        message: what is wrong, what was given, and what to do.
    """

    place: str
    path: str
    message: str

    def __post_init__(self) -> None:
        if len(self.message) > MAX_MESSAGE:  # it quotes what was given, and that is a stranger's
            object.__setattr__(self, "message", f"{self.message[: MAX_MESSAGE - 3]}...")

    def __str__(self) -> str:
        return ": ".join(part for part in (self.place, self.path, self.message) if part)


class RecipeError(GankitError):
    """A recipe that cannot run; carries every problem found, in the order of the file."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class PluginError(GankitError):
    """A plugin that was asked for and cannot be loaded."""


class RegistrationError(GankitError):
    """A component that cannot be registered: its name is taken or its signature is no schema."""


class DataError(GankitError):
    """A data set that is missing, damaged, empty or too small."""


class CheckpointError(GankitError):
    """A checkpoint that is missing, damaged, altered or made for other networks."""
