"""What a control of a sampling option must know, read from the signature of the generator."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ..recipe.overrides import read_options
from ..registered_component import Params

Kind = Literal["boolean", "choice", "integer", "number", "text"]


@dataclass(frozen=True)
class OptionField:
    """A sampling option.

    Attributes:
        name: of the parameter.
        kind: of its values; ``text`` is written as on the command line, and may be empty.
        default: its value without the user's choice.
        choices: its values, if they can be listed.
        least: the smallest number, which may be excluded; None without such a limit.
        most: the largest number, likewise.
    """

    name: str
    kind: Kind
    default: Any
    choices: tuple[Any, ...] = ()
    least: float | None = None
    most: float | None = None


def option_fields(options: type[Params], defaults: Mapping[str, Any]) -> Iterator[OptionField]:
    """The sampling options of a generator.

    Args:
        options: their schema.
        defaults: values that replace the defaults of the schema.
    """
    described = options.model_json_schema().get("properties", {})
    for name, field in options.model_fields.items():
        default = defaults.get(name, field.get_default(call_default_factory=True))
        # None is chosen by an empty control
        types = [part for part in described[name].get("anyOf", [described[name]]) if part.get("type") != "null"]
        yield _option_field(name, default, types[0] if len(types) == 1 else {})


def _option_field(name: str, default: Any, described: Mapping[str, Any]) -> OptionField:
    """The option of a JSON schema."""
    if "enum" in described:
        return OptionField(name, "choice", default, tuple(described["enum"]))
    kind = described.get("type")
    if kind == "boolean":
        return OptionField(name, "boolean", default)
    if kind in ("integer", "number") and default is not None:
        limits = (described.get(word, described.get(f"exclusive{word.title()}")) for word in ("minimum", "maximum"))
        return OptionField(name, kind, default, (), *limits)
    return OptionField(name, "text", default)


def read_option_values(fields: Sequence[OptionField], values: Sequence[Any]) -> dict[str, Any]:
    """Sampling options by name from the values of their controls, without those that are empty.

    Raises:
        GankitError: a text is not valid YAML.
    """
    given = [(field, value) for field, value in zip(fields, values, strict=True) if value not in (None, "")]
    return {
        field.name: read_options([f"{field.name}={value}"])[field.name] if field.kind == "text" else value
        for field, value in given
    }
