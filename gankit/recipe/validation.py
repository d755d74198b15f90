"""Validate data with a pydantic model, and report every problem with its place in the recipe.

Validation uses pydantic's lax mode (``1.0`` is a whole number), except that true and false are not numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from ..errors import Problem
from ..messages import did_you_mean, truncate
from ..schedule import Schedule
from .located_document import Document, KeyPath

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

# tags of unions, which pydantic includes in the location of an error
BRANCHES = ("<number>", "<schedule>", "<one>", "<both>", "<all>", "<each>")


class _Flag(str):
    """``"true"`` or ``"false"``: pydantic accepts it as a bool, but not as a number."""

    __slots__ = ()


def validate(
    model: type[M], data: Any, document: Document | None = None, path: KeyPath = ()
) -> tuple[M | None, list[Problem]]:
    """Validate the data at ``path`` of a document. Returns: the model, or None if it is invalid; and all problems."""
    document = document or Document({})
    try:
        checked, findings = _run_validation(model, data)
        with_flags = _run_validation(model, _with_flags(data))[1]
    except Exception as error:  # from a plugin's validator
        return None, [document.problem(path, f"cannot be checked: {type(error).__name__}: {error}")]
    flags = {
        _keys(finding): finding | {"input": finding["input"] == "true"}
        for finding in with_flags
        if isinstance(finding["input"], _Flag) and finding["type"] in ("int_parsing", "float_parsing")
    }
    findings = [finding for finding in findings if _keys(finding) not in flags] + list(flags.values())
    problems = [_problem(finding, document, path, model) for finding in findings if not _is_consequence(finding)]
    return (None if problems else checked), problems


def _run_validation(model: type[M], data: Any) -> tuple[M | None, list[ErrorDetails]]:
    try:
        return model.model_validate(data), []
    except ValidationError as error:
        return None, error.errors(include_url=False)


def _with_flags(data: Any) -> Any:
    if isinstance(data, bool):
        return _Flag(str(data).lower())
    if isinstance(data, Mapping):
        return {key: _with_flags(value) for key, value in data.items()}
    return [_with_flags(item) for item in data] if isinstance(data, (list, tuple)) else data


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
    return list(model.model_fields) if model else []


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The first model in an annotation such as ``list[Item] | None``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := _model_in(part))), None)


def _format(value: Any) -> str:
    """A value in the notation of YAML, truncated."""
    text = repr(value)
    return truncate({"None": "null", "True": "true", "False": "false"}.get(text, text), 80)
