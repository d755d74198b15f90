"""Parameters that are components themselves, such as the dataset that a dataset wraps.

In a signature, such a parameter has the annotation of a protocol, alone, with None, or in a list. In a recipe, it is a
component with a name and parameters. In `Params`, it is a `Selected`, which is built before the component around it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from .interfaces.data import Dataset
from .registered_component import Params, Selected

KINDS: Mapping[Any, str] = {Dataset: "datasets"}
"""The kind of component that a parameter with this annotation takes."""

SEQUENCES = (list, tuple, Sequence)

Select = Callable[[str, Any, tuple[str | int, ...]], Selected]
"""Called with the kind of a component, its data in the recipe, and its path in the parameters."""


@dataclass(frozen=True)
class _FromRecipe:
    """Accepts only a component that has been selected from a registry, and writes it as in a recipe."""

    kind: str

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            self._require, serialization=core_schema.plain_serializer_function_ser_schema(Selected.as_data)
        )

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"type": self.kind.removesuffix("s")}

    def _require(self, value: Any) -> Selected:
        if isinstance(value, Selected):
            return value
        raise PydanticCustomError("component", "Input should be a component that the recipe names")


def for_recipe(annotation: Any) -> Any:
    """The annotation of a parameter for pydantic: each protocol in it that a recipe can name accepts a `Selected`."""
    for protocol, kind in KINDS.items():
        if annotation is protocol:
            return Annotated[Any, _FromRecipe(kind)]
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Iterable:  # of which pydantic makes an iterator that can be read once only
        return for_recipe(list[args])  # type: ignore[valid-type]
    inner = tuple(map(for_recipe, args))
    if all(mine is theirs for mine, theirs in zip(inner, args, strict=True)):
        return annotation
    if origin is Annotated:
        return Annotated[inner]
    if origin in SEQUENCES:
        return (tuple if origin is tuple else list)[inner]
    if origin in (Union, UnionType) and NoneType in args and len(args) == 2:
        return inner[args[0] is NoneType] | None
    return annotation  # which pydantic refuses


def select_nested(schema: type[Params], params: Any, select: Select) -> Any:
    """Parameters from a recipe, with what ``select`` returns in place of each component in them."""
    if not isinstance(params, Mapping):
        return params
    types = {name: field.rebuild_annotation() for name, field in schema.model_fields.items()}
    return {key: _select_in(types.get(key), value, (key,), select) for key, value in params.items()}


def _select_in(annotation: Any, value: Any, path: tuple[str | int, ...], select: Select) -> Any:
    origin, args = get_origin(annotation), get_args(annotation)
    for part in args:
        if isinstance(part, _FromRecipe):
            return select(part.kind, value, path)
    if origin in SEQUENCES and isinstance(value, (list, tuple)):
        return [_select_in(args[0], item, (*path, index), select) for index, item in enumerate(value)]
    if origin is Annotated or (origin in (Union, UnionType) and value is not None):
        return _select_in(args[0], value, path, select)
    return value
