"""The properties of the controls of sampling options, read from the signature of the generator."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from ..errors import GankitError, RecipeError
from ..messages import quote
from ..recipe.overrides import read_options
from ..registered_component import Params

Kind = Literal["boolean", "choice", "integer", "number", "text"]


@dataclass(frozen=True)
class OptionField:
    """A sampling option.

    Attributes:
        name: of the parameter.
        kind: of its values; ``text`` is written as on the command line.
        default: its value without the user's choice.
        choices: its values, if they can be listed.
        limits: the smallest and the largest number; None unless both exist.
        nullable: whether it may be None, which an empty control means; otherwise, an empty control means the default.
    """

    name: str
    kind: Kind
    default: Any
    choices: tuple[Any, ...] = ()
    limits: tuple[float, float] | None = None
    nullable: bool = False

    @property
    def text(self) -> str:
        """The default as the text of a control."""
        if self.default is None or isinstance(self.default, str):
            return self.default or ""
        return json.dumps(self.default, default=str)


def option_fields(options: type[Params], defaults: Mapping[str, Any]) -> Iterator[OptionField]:
    """The sampling options of a generator.

    Args:
        options: their schema.
        defaults: values that replace the defaults of the schema.
    """
    described = options.model_json_schema().get("properties", {})
    for name, field in options.model_fields.items():
        default = defaults.get(name, field.get_default(call_default_factory=True))
        every = described[name].get("anyOf", [described[name]])
        types = [part for part in every if part.get("type") != "null"]
        found = _option_field(name, default, types[0] if len(types) == 1 else {})
        yield replace(found, nullable=len(types) < len(every))


def _option_field(name: str, default: Any, described: Mapping[str, Any]) -> OptionField:
    """The option of a JSON schema."""
    if "enum" in described:
        return OptionField(name, "choice", default, tuple(described["enum"]))
    kind = described.get("type")
    if kind == "boolean" and default is not None:
        return OptionField(name, "boolean", default)
    if kind in ("integer", "number") and default is not None:
        has_limits = {"minimum", "maximum"} <= {*described}
        return OptionField(
            name, kind, default, (), (described["minimum"], described["maximum"]) if has_limits else None
        )
    return OptionField(name, "text", default)


def read_option_values(fields: Sequence[OptionField], values: Sequence[Any]) -> dict[str, Any]:
    """Sampling options by name from the values of their controls.

    Raises:
        GankitError: a text is not valid YAML.
    """
    return {field.name: _read_value(field, value) for field, value in zip(fields, values, strict=True)}


def _read_value(field: OptionField, value: Any) -> Any:
    if value in (None, ""):
        return None if field.nullable else field.default
    return _read_text(field, value) if field.kind == "text" else value


def _read_text(field: OptionField, text: str) -> Any:
    if text == field.text:
        return field.default
    try:
        return read_options([f"{field.name}={text}"])[field.name]
    except RecipeError:
        raise GankitError(f"sampling option '{field.name}': {quote(text)} is not a valid value in YAML") from None
