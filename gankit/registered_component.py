"""A registered component, and one that a recipe selects with checked parameters."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from .injection import select_arguments
from .schedule import at_images, has_schedule
from .strict_model import StrictModel


class Params(StrictModel):
    """The base class of all schemas: a component's parameters from the recipe."""

    def at(self, images: int) -> dict[str, Any]:
        """Keyword arguments for the factory, with schedules at their value after ``images`` real images."""
        return {name: at_images(getattr(self, name), images) for name in type(self).model_fields}

    @cached_property
    def scheduled(self) -> tuple[str, ...]:
        """Names of the parameters that are or contain a schedule."""
        return tuple(name for name in type(self).model_fields if has_schedule(getattr(self, name)))


@dataclass(frozen=True)
class Entry:
    """A registered component.

    Attributes:
        kind: the plural of its kind, such as ``generators``.
        name: in recipes.
        plugin: the name of the plugin that registered it.
        factory: the class or function that builds it.
        arguments: the names of the values that its positional parameters receive.
        schema: of the factory's keyword-only parameters.
    """

    kind: str
    name: str
    plugin: str
    factory: Callable[..., Any]
    arguments: tuple[str, ...]
    schema: type[Params]

    @property
    def summary(self) -> str:
        """The first line of the factory's docstring."""
        return self.documentation.partition("\n")[0]

    @property
    def documentation(self) -> str:
        """The factory's own docstring, and not one that it inherits from a class of torch."""
        return inspect.cleandoc(self.factory.__doc__ or "")

    def build(self, params: Params, **given: Any) -> Any:
        """Build the component from values of gankit and parameters of the recipe, with schedules at their start."""
        values = {name: built(value, given) for name, value in params.at(0).items()}
        component = self.factory(*select_arguments(self.arguments, given), **values)
        if self.kind != "optimizers":  # whose settings are in its parameter groups
            _require_attributes(component, params.scheduled)
        return component


@dataclass(frozen=True, repr=False)
class Selected:
    """A registered component that a recipe or checkpoint uses, with validated parameters.

    A parameter that takes a component, such as the dataset that a dataset wraps, is itself a `Selected`.
    """

    entry: Entry
    params: Params

    def build(self, **given: Any) -> Any:
        """Build the component with those of the values ``given`` that it asks for."""
        return self.entry.build(self.params, **given)

    def plain_params(self) -> dict[str, Any]:
        """The parameters as JSON data."""
        return self.params.model_dump(mode="json")

    def params_without_paths(self) -> dict[str, Any]:
        """The parameters as plain data, without paths, for records that hold a hash of the files' content."""
        paths = {name for name, value in self.params if isinstance(value, Path)}
        return self.params.model_dump(mode="json", exclude=paths)

    def as_data(self) -> dict[str, Any]:
        """The component as in a recipe, with all of its parameters, as JSON data."""
        return {"name": self.entry.name, **self.plain_params()}

    def __repr__(self) -> str:
        return repr(self.as_data())

    def with_nested(self, path: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], Selected]]:
        """This component at ``path``, after those inside its parameters, each with its path."""
        for name in type(self.params).model_fields:
            value = getattr(self.params, name)
            for key, item in enumerate(value) if isinstance(value, (list, tuple)) else [(None, value)]:
                if isinstance(item, Selected):
                    yield from item.with_nested((*path, name) if key is None else (*path, name, key))
        yield path, self


def _require_attributes(component: Any, names: Iterable[str]) -> None:
    """Raises: ValueError: the component does not keep a scheduled parameter in an attribute that can be set."""
    for name in names:
        if not hasattr(component, name) or name in getattr(component, "_buffers", ()):
            raise ValueError(
                f"{type(component).__name__} keeps {name!r} in no attribute of that name (self.{name} = {name}), so a "
                "schedule would have no effect; give it a number"
            )


def built(value: Any, given: Mapping[str, Any]) -> Any:
    """The value of a parameter, with each component in it built; a copy, which the component may change."""
    if isinstance(value, (list, tuple)) and any(isinstance(item, Selected) for item in value):
        return type(value)(built(item, given) for item in value)
    return value.build(**given) if isinstance(value, Selected) else copy.deepcopy(value)
