"""Which values gankit passes to a constructor or network: those that its positional parameters name, as in pytest."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from inspect import Parameter
from typing import Any

from .messages import did_you_mean, truncate

POSITIONAL = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)


def argument_names(
    function: Callable[..., Any],
    known: Sequence[str],
    by_position: Sequence[str],
    what: str,
    first: str | None = None,
    strict: bool = False,
) -> tuple[str, ...]:
    """The names of the values for the positional parameters of a function, in their order.

    If all parameters have known names, each receives the value of its name. If none has, they receive the values
    ``by_position``, so that code from elsewhere works unchanged. Unless ``strict`` is set, so do parameters of which
    some have known names, if these are at their own position.

    Args:
        function: a class, function or bound method.
        known: the names of all values.
        by_position: those that a function with other names receives. It may take fewer.
        what: the function in messages, such as ``MyGenerator.forward``.
        first: the value of the first parameter, whatever its name.
        strict: whether a function may not mix known and unknown names.

    Raises:
        ValueError: the function mixes known and unknown names, or needs more values.
    """
    try:
        parameters = parameters_of(function)
    except (TypeError, ValueError):  # of some functions that are not written in Python
        return tuple(by_position)
    for parameter in parameters:
        if parameter.kind is Parameter.KEYWORD_ONLY and parameter.name in known:
            raise ValueError(f"{what}: gankit passes {parameter.name!r} by position; put it before the '*'")
    if any(parameter.kind is Parameter.VAR_POSITIONAL for parameter in parameters):
        return tuple(by_position)
    positional = [parameter for parameter in parameters if parameter.kind in POSITIONAL]
    names = own_names = [parameter.name for parameter in positional]
    if first is not None and names:
        names = [first, *names[1:]]
    if all(name in known for name in names) and len(set(names)) == len(names):
        return tuple(names)
    required = [parameter for parameter in positional if parameter.default is Parameter.empty]
    others = names if first is None else names[1:]
    fits = not strict or not any(name in known for name in others)
    fits &= all(name not in known or name == value for name, value in zip(names, by_position, strict=False))
    beyond = names[len(by_position) :]
    if fits and len(required) <= len(by_position) and not any(name in known for name in beyond):
        return tuple(by_position[: len(names)])
    own = truncate(", ".join(own_names))
    if first in own_names[1:]:
        raise ValueError(f"{what}({own}): gankit passes {first!r} first; put it before the other parameters")
    unknown = next((name for name in names if name not in known), names[-1])
    raise ValueError(
        f"{what}({own}) asks for {unknown!r}{did_you_mean(unknown, known)}; gankit passes {', '.join(known)} by "
        f"name, or ({', '.join(by_position)}) by position; put other parameters after a '*'"
    )


def parameters_of(function: Callable[..., Any]) -> list[Parameter]:
    """The parameters of a function or class. Raises: TypeError, ValueError: its signature cannot be read.

    A module that defines no ``__init__`` has none; that of `torch.nn.Module` takes any and uses none.
    """
    init = getattr(function, "__init__", None)
    if inspect.isclass(function) and getattr(init, "__module__", "") == "torch.nn.modules.module":
        return []
    return [*inspect.signature(function).parameters.values()]


def select_arguments(names: Sequence[str], values: Mapping[str, Any]) -> list[Any]:
    """The values of these names, in their order."""
    return [values[name] for name in names]


def constructor_arguments(data: Any, latent_dim: int) -> dict[str, Any]:
    """The values for the constructors of networks and augmentations: ``image``, ``latent_dim`` and ``data``."""
    return {"image": data.image, "latent_dim": latent_dim, "data": data}


def forward_names(player: str, network: Any, fields: Sequence[str] = ()) -> tuple[str, ...]:
    """The names of the values for ``forward`` of G or D, in their order.

    Args:
        player: ``generator`` or ``discriminator``.
        network: the module.
        fields: the names of the further fields of the data.

    Raises:
        ValueError: it asks for something that does not exist.
    """
    first = "z" if player == "generator" else "images"
    known, by_position = (first, "labels", "image", *fields), (first, "labels")
    what = f"{type(network).__name__}.forward"
    return argument_names(network.forward, known, by_position, what, None if first == "z" else first, bool(fields))


def positional_names(function: Callable[..., Any]) -> tuple[str, ...]:
    """The names of a function's positional parameters; none if its signature cannot be read."""
    return tuple(parameter.name for parameter in _positional(function))


def default_values(function: Callable[..., Any]) -> dict[str, Any]:
    """The defaults of a function's positional parameters that have one; none if its signature cannot be read."""
    return {p.name: p.default for p in _positional(function) if p.default is not Parameter.empty}


def _positional(function: Callable[..., Any]) -> list[Parameter]:
    try:
        return [p for p in inspect.signature(function).parameters.values() if p.kind in POSITIONAL]
    except (TypeError, ValueError):  # of some functions that are not written in Python
        return []


def position_hint(network: Any, names: Sequence[str], fields: Sequence[str] = ()) -> str | None:
    """A phrase for a network that fails: which parameters with other names received values by position.

    Args:
        network: the module.
        names: of the values that it received.
        fields: the names of the further fields of the data.
    """
    for name, value in zip(positional_names(network.forward)[1:], names[1:], strict=False):
        if name != value:
            known = ", ".join((names[0], "labels", "image", *fields))
            suggestion = did_you_mean(name, (names[0], "labels", "image", *fields))
            return f"its parameter '{name}' received '{value}', by position: it is none of {known}{suggestion}"
    return None
