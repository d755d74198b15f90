"""The candidates for a word of the command line: a command, an option, or a value, depending on the name in the help.

Commands and parameters are typed as Any because typer, depending on its version, uses click or its own copy of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ..files import expand_home
from ..runs.file_names import RECIPE, RESULTS
from ..sources import BUILTIN, MODELS
from .completion_cache import load_components
from .completion_keys import complete_override

Candidate = tuple[str, str]
"""A word, and its description, which may be empty."""


def candidates(ctx: Any, words: Sequence[str]) -> list[Candidate]:
    """The words that the last word may become. None lets the shell complete the names of files.

    Args:
        ctx: of typer, whose command is ``gankit``.
        words: those after ``gankit``. The last one is incomplete or empty.
    """
    *given, word = words
    found = _Line(ctx, given).continuations(word)
    return [(value, description) for value, description in found if value.startswith(word)]


class _Line:
    """The complete words of a command line: its command, and what they give for which parameters."""

    def __init__(self, ctx: Any, words: Sequence[str]) -> None:
        self.ctx, self.command = ctx, ctx.command
        self.arguments: list[str] = []
        self.plugins: list[str] = []
        self.pending: Any = None  # the option whose value is next
        for word in words:
            if self.pending is not None:
                self._take_value(word)
            elif word.startswith("-"):
                self._take_option(word)
            elif self._subcommands() and not self.arguments:
                self.command = self.command.get_command(ctx, word)
            else:
                self.arguments.append(word)
            if self.command is None:
                return

    def _take_option(self, word: str) -> None:
        name, equals, value = word.partition("=")
        option = self._options().get(name)
        self.pending = None if option is None or option.is_flag else option
        if equals and self.pending is not None:
            self._take_value(value)

    def _take_value(self, word: str) -> None:
        if self.pending.name == "plugin":
            self.plugins.append(word)
        self.pending = None

    def _subcommands(self) -> list[str]:
        return self.command.list_commands(self.ctx) if hasattr(self.command, "list_commands") else []

    def _options(self) -> dict[str, Any]:
        options = (param for param in self.command.params if param.param_type_name == "option" and not param.hidden)
        return {name: option for option in options for name in (*option.opts, *option.secondary_opts)}

    def continuations(self, word: str) -> Iterator[Candidate]:
        """Words that may follow, some of which do not begin with ``word``."""
        if self.command is None:
            return
        if self.pending is not None:
            yield from self._values(self.pending, word)
        elif word.startswith("-"):
            yield from ((name, option.help or "") for name, option in self._options().items())
            yield from (("--help", "Show this message and exit."),)
        else:
            for name in self._subcommands():
                command = self.command.get_command(self.ctx, name)
                yield name, (command.help or "").partition("\n")[0]
            own = [param for param in self.command.params if param.param_type_name == "argument"]
            if own and (len(self.arguments) < len(own) or own[-1].nargs == -1):
                yield from self._values(own[min(len(self.arguments), len(own) - 1)], word)

    def _values(self, param: Any, word: str) -> Iterator[Candidate]:
        """The values of a parameter, by its name in the help or, where it has a general one, in the code."""
        metavar = (param.metavar or "").strip("[]")
        if metavar == "RECIPE":
            yield from _files(word, (".yaml", ".yml"))
        elif param.name == "overrides":
            is_recipe = self.command.params[0].metavar == "RECIPE"
            path = Path(self.arguments[0]) if is_recipe else Path(self.arguments[0]) / RECIPE
            yield from complete_override(word, path, self.arguments[1:], load_components(self.plugins))
        elif metavar.startswith("RUN_DIR"):
            yield from ((str(path.parent), "") for path in sorted(Path(RESULTS).glob(f"*/{RECIPE}")))
            if "CHECKPOINT" in metavar:
                yield from ((f"{BUILTIN}{path.name}", "") for path in sorted(MODELS.iterdir()))
        elif metavar.startswith("KIND"):
            components = load_components(self.plugins)
            yield from ((kind, "") for kind in components.names)
            if "SECTION" in metavar:
                yield from ((name, "") for name in ("recipe", *components.sections))
        elif metavar == "NAME" and self.arguments and param.param_type_name == "argument":
            yield from load_components(self.plugins).of_kind(self.arguments[0])
        elif param.name in ("metrics", "features"):
            before = word.rpartition(",")[0] + "," if "," in word else ""
            found = load_components(self.plugins).of_kind(param.name)
            yield from ((before + name, description) for name, description in found)
        elif re.fullmatch(r"[a-z0-9-]+(\|[a-z0-9-]+)+", metavar):  # such as auto|cpu|cuda
            yield from ((value, "") for value in metavar.split("|"))


def _files(word: str, suffixes: Sequence[str]) -> Iterator[Candidate]:
    """Folders, and files with one of the suffixes, whose paths begin with ``word``."""
    before = word[: word.rfind("/") + 1]
    folder = expand_home(before or ".")
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if path.name.startswith(".") and not word.rpartition("/")[2].startswith("."):
            continue
        if path.is_dir():
            yield f"{before}{path.name}/", ""
        elif path.suffix in suffixes:
            yield f"{before}{path.name}", ""
