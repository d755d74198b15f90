"""Plain data against a pydantic model: every fault at its place, in the words of those who write recipes.

Pydantic's lax mode is kept (``1.0`` is a whole number), but for one thing: true and false are no numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from ..errors import Problem
from ..messages import did_you_mean
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
    "string_type": "a text",
    "string_too_short": "a text that is not empty",
    "path_type": "a path",
    "list_type": "a list",
    "tuple_type": "a list",
    "dict_type": "a mapping",
    "mapping_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
}


BRANCHES = ("<number>", "<schedule>", "<one>", "<both>", "<all>", "<each>")  # of our unions, which no recipe spells out


class _Flag(str):
    """A truth value as a word: pydantic takes it where a truth value belongs, and refuses it as a number."""

    __slots__ = ()


def validate(
    model: type[M], data: Any, document: Document | None = None, path: KeyPath = ()
) -> tuple[M | None, list[Problem]]:
    """``data``, which stands at ``path``, as ``model``; or None, and every fault of it."""
    document = document or Document({})
    try:
        checked, findings = _attempt(model, data)
        marked = _attempt(model, _with_flags(data))[1]
    except Exception as error:  # from a validator of a plugin's
        return None, [document.problem(path, f"cannot be checked: {type(error).__name__}: {error}")]
    flags = {
        _keys(finding): finding | {"input": finding["input"] == "true"}
        for finding in marked
        if isinstance(finding["input"], _Flag) and finding["type"] in ("int_parsing", "float_parsing")
    }
    findings = [finding for finding in findings if _keys(finding) not in flags] + list(flags.values())
    problems = [_problem(finding, document, path, model) for finding in findings if not _follows(finding)]
    return (None if problems else checked), problems


def _attempt(model: type[M], data: Any) -> tuple[M | None, list[ErrorDetails]]:
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
        # a section is a model as well, and so is a component, which a name alone can stand for
        component = finding.get("ctx", {}).get("class_name") in ("Component", "LatentSpec")
        meant = "the name of a component, or a mapping with its 'name'" if component else SHOULD_BE[kind]
        message = f"should be {meant}; got {short(given)}"
    else:
        text = (
            finding["msg"].replace("Input should", "should").replace("Tuple", "List").replace(" after validation", "")
        )
        message = f"{text[0].lower()}{text[1:]}; got {short(given)}"
    return document.problem(where, message, of_key=kind == "extra_forbidden")


def _follows(finding: ErrorDetails) -> bool:
    """Whether a list counts as too short only since its items have faults of their own."""
    given = finding["input"]
    return finding["type"] == "too_short" and isinstance(given, list) and len(given) >= finding["ctx"]["min_length"]


def _keys(finding: ErrorDetails) -> KeyPath:
    """The keys that lead to what was found."""
    loc = finding["loc"]
    own = loc[-1:] if finding["type"] == "extra_forbidden" else ()  # the user's own word, whatever it is
    return (*(part for part in loc[: len(loc) - len(own)] if part not in BRANCHES), *own)


def _known_keys(model: type[BaseModel] | None, loc: Iterable[str | int]) -> list[str]:
    """The keys that the mapping around the unknown key at ``loc`` may have."""
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


def short(value: Any) -> str:
    """A value for a message, cut where it is long."""
    text = repr(value)
    text = {"None": "null", "True": "true", "False": "false"}.get(text, text)
    return text if len(text) <= 80 else f"{text[:77]}..."
