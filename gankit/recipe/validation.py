"""Validate data with a pydantic model, and report every problem with its place in the recipe.

Validation uses pydantic's lax mode (``1.0`` is a whole number), except that true and false are not numbers.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from ..errors import Problem
from ..messages import did_you_mean, truncate
from ..schedule import Schedule
from .located_document import COMMAND_LINE, Document, KeyPath, dotted

M = TypeVar("M", bound=BaseModel)

SHOULD_BE = {
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "string_type": "a string",
    "string_too_short": "a non-empty string",
    "path_type": "a path",
    "list_type": "a list",
    "tuple_type": "a list",
    "dict_type": "a mapping",
    "mapping_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
}

TEXT_EXPECTED = ("string_type", "path_type", "literal_error")
"""Findings where YAML may have read text as a number, or as true or false."""

# tags of unions, which pydantic includes in the location of an error
BRANCHES = ("<number>", "<schedule>", "<one>", "<both>", "<all>", "<each>", "<path>", "<from>")


def validate(
    model: type[M], data: Any, document: Document | None = None, path: KeyPath = ()
) -> tuple[M | None, list[Problem]]:
    """Validate the data at ``path`` of a document. Returns: the model, or None if it is invalid; and all problems."""
    document = document or Document({})
    checked, findings, flags = None, [], {}
    try:
        flags = _flags_for_numbers(model, data)
        checked = model.model_validate(data)
    except ValidationError as error:
        findings = error.errors(include_url=False)
    except Exception as error:  # from a plugin's validator
        return None, [document.problem(path, f"cannot be checked: {type(error).__name__}: {error}")]
    findings = [finding for finding in findings if _keys(finding) not in flags] + list(flags.values())
    problems = [_problem(finding, document, path, model) for finding in findings if not _is_consequence(finding)]
    problems += [
        document.problem((*path, *keys), f"unknown parameter{did_you_mean(str(keys[-1]), known)}", of_key=True)
        for keys, known in _ignored_keys(checked, data)
    ]
    return (None if problems else checked), problems


def _ignored_keys(value: Any, data: Any, path: KeyPath = ()) -> Iterator[tuple[KeyPath, list[str]]]:
    """The keys in the data that a model of a plugin ignores, as pydantic's do by default, and the keys it knows."""
    inner: Iterable[tuple[str | int, Any, Any]] = ()
    if isinstance(data, Mapping):
        if isinstance(value, BaseModel):
            names = {field.alias or name: name for name, field in type(value).model_fields.items()}
            ignores = type(value).model_config.get("extra", "ignore") == "ignore"
        elif is_dataclass(value):
            names, ignores = {field.name: field.name for field in fields(value)}, True
        else:
            names, ignores = {}, False
        if ignores:
            yield from (((*path, key), [*names]) for key in data if key not in names and key not in names.values())
        if names:
            inner = ((key, getattr(value, names[key], None), data[key]) for key in data if key in names)
        elif isinstance(value, Mapping):
            inner = ((key, value[key], data[key]) for key in data if key in value)
    elif isinstance(data, (list, tuple)) and isinstance(value, (list, tuple)):
        inner = ((index, own, given) for index, (own, given) in enumerate(zip(value, data, strict=False)))
    for key, own, given in inner:
        yield from _ignored_keys(own, given, (*path, key))


def _flags_for_numbers(model: type[BaseModel], data: Any) -> dict[KeyPath, ErrorDetails]:
    """A finding for each true or false in the data in place of a number, by path.

    Only pydantic's strict mode refuses them. Its other findings are ignored.
    """
    try:  # as JSON, because strict mode refuses a list in place of a tuple otherwise
        model.model_validate_json(json.dumps(data, default=str, skipkeys=True), strict=True)
    except ValidationError as error:
        found = [f for f in error.errors(include_url=False) if f["type"] in ("int_type", "float_type")]
        # defaults are validated too, but are not in the data
        return {_keys(f): f for f in found if isinstance(f["input"], bool) and f["loc"][0] in data}
    return {}


def _problem(finding: ErrorDetails, document: Document, path: KeyPath, model: type[BaseModel]) -> Problem:
    kind, given = finding["type"], finding["input"]
    where = (*path, *_keys(finding))
    if kind == "extra_forbidden":
        noun = "parameter" if path else "key"
        message = f"unknown {noun}{did_you_mean(str(where[-1]), _known_keys(model, finding['loc']))}"
    elif kind == "missing":
        message = "is missing; it is required"
    elif kind == "value_error":
        message = str(finding["ctx"]["error"])
    elif kind in SHOULD_BE:
        # sections and components are both models, but a component can be given by its name alone
        component = finding.get("ctx", {}).get("class_name") in ("Component", "LatentSpec")
        expected = "the name of a component, or a mapping with its 'name'" if component else SHOULD_BE[kind]
        message = f"should be {expected}; got {_format(given)}"
    else:
        text = (
            finding["msg"].replace("Input should", "should").replace("Tuple", "List").replace(" after validation", "")
        )
        message = f"{text[0].lower()}{text[1:]}; got {_format(given)}"
    if kind in TEXT_EXPECTED and isinstance(given, (bool, int, float)):
        text = f'"{_format(given)}"'
        shell = (
            f", on the command line '{dotted(where)}={text}'" if document.place(where).startswith(COMMAND_LINE) else ""
        )
        message += f"; put it in quotes to make it text: {text}{shell}"
    return document.problem(where, message, of_key=kind == "extra_forbidden")


def _is_consequence(finding: ErrorDetails) -> bool:
    """Whether a list is reported as too short only because some of its items are invalid."""
    given = finding["input"]
    return finding["type"] == "too_short" and isinstance(given, list) and len(given) >= finding["ctx"]["min_length"]


def _keys(finding: ErrorDetails) -> KeyPath:
    """The path of a finding in the data: its location without the tags of unions."""
    loc = finding["loc"]
    own = loc[-1:] if finding["type"] == "extra_forbidden" else ()  # an unknown key may look like a tag
    return (*(part for part in loc[: len(loc) - len(own)] if part not in BRANCHES), *own)


def _known_keys(model: type[BaseModel] | None, loc: Iterable[str | int]) -> list[str]:
    """The valid keys of the mapping that has the unknown key at ``loc``."""
    for part in tuple(loc)[:-1]:
        if part == "<schedule>":
            model = Schedule
        elif isinstance(part, str) and part not in BRANCHES:
            model = _model_in(model.model_fields[part].annotation) if model and part in model.model_fields else None
    return [field.alias or name for name, field in model.model_fields.items()] if model else []


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The first model in an annotation such as ``list[Item] | None``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := _model_in(part))), None)


def _format(value: Any) -> str:
    """A value in the notation of YAML, truncated."""
    text = repr(value)
    return truncate({"None": "null", "True": "true", "False": "false"}.get(text, text), 80)
