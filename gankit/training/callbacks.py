"""The callbacks of a run: their names, calls and states."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from ..calls import require_call, require_no_misspelling
from ..errors import GankitError
from ..interfaces import CALLBACK_METHODS, Run

STATE_METHODS = ("state_dict", "load_state_dict")
CALLBACKS, CHECKPOINTS = "callbacks", "writing checkpoints"


class Callbacks:
    """The callbacks of a run in order, each under a unique name.

    Attributes:
        named: the callbacks by name.
        end_phase: called with the name of each phase that ends: before the callbacks and after each one, for profiling.
    """

    def __init__(self, named: Iterable[tuple[str, Any]] = ()) -> None:
        self.end_phase: Callable[[str], None] = lambda phase: None
        self.named: dict[str, Any] = {}
        for name, callback in named:
            self.add(name, callback)

    def add(self, name: str, callback: Any) -> None:
        """Append a callback.

        Raises:
            GankitError: it has no ``on_*`` method, one that does not take a run, or one that is unknown or misspelt.
        """
        methods = [method for method in dir(callback) if method.startswith("on_")]
        unknown = sorted(set(methods) - set(CALLBACK_METHODS))
        try:
            require_no_misspelling(callback, (*CALLBACK_METHODS, "fits", *STATE_METHODS))
            if unknown or not methods:
                fault = f"unknown method '{unknown[0]}'" if unknown else "no on_* method"
                raise ValueError(f"{fault}; a callback has any of {', '.join(CALLBACK_METHODS)}")
            for method in methods:
                require_call(callback, method, ("run",))
        except ValueError as error:
            raise GankitError(f"callback '{name}': {error}") from None
        require_state_dict_pair(callback, f"callback '{name}'")
        self.named[numbered(name, self.named)] = callback

    def call(self, method: str, run: Run) -> list[Exception]:
        """Call ``method`` of each callback that has it. Returns: the errors, each with a note that names the callback.

        After an error the others are still called, so that all have seen the step if it is saved. An error in
        ``on_run_start`` stops at once.
        """
        self.end_phase(CHECKPOINTS if method == "on_checkpoint" else CALLBACKS)
        errors: list[Exception] = []
        for name, callback in self.named.items():
            try:
                if hasattr(callback, method):
                    getattr(callback, method)(run)
            except Exception as error:
                error.add_note(f"callback '{name}', {method}")
                errors.append(error)
            self.end_phase(name)
            if errors and method == "on_run_start":
                break
        return errors


def errors_of(function: Callable[..., None], *args: Any) -> list[Exception]:
    """Call ``function``. Returns: the error that it raised, in a list; empty if it raised none."""
    try:
        function(*args)
    except Exception as error:
        return [error]
    return []


def raise_first(errors: Sequence[Exception]) -> None:
    """Raise the first of the errors, if there are any, with the others as notes."""
    if errors:
        for another in errors[1:]:
            errors[0].add_note(f"then {type(another).__name__}: {another}")
        raise errors[0]


def require_state_dict_pair(component: Any, name: str) -> None:
    """Raises: GankitError: it has only one of ``state_dict`` and ``load_state_dict``."""
    present = [method for method in STATE_METHODS if hasattr(component, method)]
    if len(present) == 1:
        raise GankitError(f"{name}: has only {present[0]}; a state in checkpoints needs {' and '.join(STATE_METHODS)}")


def numbered(name: str, known: Iterable[str]) -> str:
    """The name, with ``#2``, ``#3`` and so on after it if it is already among ``known``."""
    number = 1 + sum(other.partition("#")[0] == name for other in known)
    return name if number == 1 else f"{name}#{number}"
