"""Checks of what gankit calls and what it gets back, with messages that say what was expected."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .messages import truncate


def require_attributes(component: Any, names: Iterable[str], kind: str) -> None:
    """Raises: ValueError: the component lacks one of the attributes that its kind needs."""
    missing = [f"`{name}`" for name in names if not hasattr(component, name)]
    if missing:
        raise ValueError(f"{type(component).__name__} is not a {kind}: it lacks {' and '.join(missing)}")


def require_methods(component: Any, methods: Mapping[str, Sequence[str]], kind: str) -> None:
    """Check the methods of a component.

    Args:
        component: of any kind.
        methods: the names of the arguments that gankit passes by position, by the name of the method.
        kind: of the component.

    Raises:
        ValueError: a method is missing, or cannot be called with these arguments.
    """
    require_attributes(component, methods, kind)
    for name, arguments in methods.items():
        require_call(component, name, arguments)


def require_no_misspelling(component: Any, methods: Iterable[str]) -> None:
    """Raises: ValueError: the component's class has a method whose name is almost one of ``methods``.

    A misspelt optional method would be ignored silently.
    """
    known = {*methods}
    own = {
        name
        for kind in type(component).__mro__
        if not kind.__module__.startswith(("gankit.", "torch.", "builtins"))
        for name, value in vars(kind).items()
        if callable(value) and not name.startswith("_") and len(name) > 3  # `fit` may well be its own
    }
    for name in sorted(own - known):
        if close := difflib.get_close_matches(name, known, n=1, cutoff=0.85):
            raise ValueError(f"{type(component).__name__} has a method {name!r}; did you mean '{close[0]}'?")


def require_call(component: Any, method: str, arguments: Sequence[str]) -> None:
    """Raises: ValueError: the method cannot be called with these positional arguments."""
    name, function = f"{type(component).__name__}.{method}", getattr(component, method)
    if not callable(function):
        raise ValueError(f"{name} is {described(function)}; expected a method {method}({', '.join(arguments)})")
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # of some functions that are not written in Python
        return
    try:
        signature.bind(*arguments)
    except TypeError as error:
        own = truncate(", ".join(str(parameter).partition(":")[0] for parameter in signature.parameters.values()))
        raise ValueError(
            f"{name}({own}) cannot be called as {method}({', '.join(arguments)}), as gankit calls it: {error}; "
            f"make it accept ({', '.join(arguments)})"
        ) from None


def described(value: Any) -> str:
    """A returned value in a message: a tensor's shape, a mapping's keys, or a type."""
    if value is None:
        return "None (is a `return` missing?)"
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return str(list(value.shape))
    if isinstance(value, Mapping):
        return truncate(f"a {type(value).__name__} with the keys {', '.join(map(repr, value)) or '(none)'}")
    article = "an" if type(value).__name__[0] in "aeio" else "a"
    return f"{article} {type(value).__name__}"
