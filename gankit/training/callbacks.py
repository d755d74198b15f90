"""Callbacks, called in turn; their names, and their states."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from ..errors import GankitError
from ..interfaces import CALLBACK_METHODS, Run


class Callbacks:
    """The callbacks of a run, in order, each under a name of its own."""

    def __init__(self, named: Iterable[tuple[str, Any]] = ()) -> None:
        self._named: dict[str, Any] = {}
        for name, callback in named:
            self.add(name, callback)

    def add(self, name: str, callback: Any) -> None:
        """Append a callback. Raises: GankitError: it has no ``on_*`` method, or one that nobody calls."""
        methods = [method for method in dir(callback) if method.startswith("on_")]
        unknown = sorted(set(methods) - set(CALLBACK_METHODS))
        if unknown or not methods:
            fault = f"unknown method '{unknown[0]}'" if unknown else "no on_* method"
            raise GankitError(f"callback '{name}': {fault}; a callback has any of {', '.join(CALLBACK_METHODS)}")
        require_state_dict_pair(callback, f"callback '{name}'")
        number = 1 + sum(known.partition("#")[0] == name for known in self._named)
        self._named[name if number == 1 else f"{name}#{number}"] = callback

    def call(self, method: str, run: Run) -> None:
        """Call ``method`` of each that has it. What one raises has a note that says which it was."""
        for name, callback in self.items():
            _call(name, callback, method, run)

    def call_all(self, method: str, run: Run) -> list[Exception]:
        """The same, of all of them whatever the others raise. Returns that."""
        raised = []
        for name, callback in self.items():
            try:
                _call(name, callback, method, run)
            except Exception as error:
                raised.append(error)
        return raised

    def stateful(self) -> dict[str, Any]:
        """Those that have something to remember, by name."""
        return {name: callback for name, callback in self._named.items() if hasattr(callback, "state_dict")}

    def items(self) -> Iterator[tuple[str, Any]]:
        """Each with its name, in order."""
        return iter(self._named.items())

    def __iter__(self) -> Iterator[Any]:
        return iter(self._named.values())


def _call(name: str, callback: Any, method: str, run: Run) -> None:
    if not hasattr(callback, method):
        return
    try:
        getattr(callback, method)(run)
    except Exception as error:
        error.add_note(f"callback '{name}', {method}")
        raise


def require_state_dict_pair(component: Any, what: str) -> None:
    """Raises: GankitError: it can say its state or take one up, but not both."""
    halves = ("state_dict", "load_state_dict")
    has = [half for half in halves if hasattr(component, half)]
    if len(has) == 1:
        raise GankitError(f"{what}: has {has[0]} alone; to be checkpointed it needs {' and '.join(halves)}")
