"""All checks of all components that a plugin registers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from ..assembly.selection import select
from ..errors import GankitError
from ..messages import failing_line, one_line
from ..recipe.located_document import Document
from ..registered_component import Entry, built
from ..registry import Registries
from .checks_within_plugin import (
    IMAGES,
    Parametrized,
    RefusalError,
    check_game_of_plugin,
    check_network_of_plugin,
    check_term_of_plugin,
)
from .component_checks import (
    check_augmentation,
    check_callback,
    check_codec,
    check_dataset,
    check_discriminator,
    check_generator,
)
from .latent_and_optimizer_checks import check_latent, check_optimizer
from .score_checks import check_features, check_metric

Check = Callable[[], None]


@dataclass(frozen=True)
class CheckedComponent:
    """The result of the checks of a component.

    Attributes:
        kind: such as ``generators``.
        name: in recipes.
        passed: what was checked.
        faults: what to change.
        not_checked: what could not be checked, with the reason.
    """

    kind: str
    name: str
    passed: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()
    not_checked: tuple[str, ...] = ()


def check_plugin(
    components: Mapping[str, Sequence[str]], registries: Registries, params: Mapping[str, Any] | None = None
) -> Iterator[CheckedComponent]:
    """Check components one after the other.

    Args:
        components: their names by kind, as in `gankit.plugin_loader.Plugin.components`.
        registries: of the runtime that has loaded them.
        params: the parameters of components by kind and name, such as ``{"datasets": {"mine": {"path": "photos"}}}``.
            The other parameters have their defaults.

    Raises:
        GankitError: a value in ``params`` is not valid.
    """
    entries = [getattr(registries, kind).get(name) for kind, names in components.items() for name in names]
    usable: Parametrized = {}
    incomplete: dict[Entry, str] = {}
    for entry in entries:
        try:
            given = (params or {}).get(entry.kind, {}).get(entry.name, {})
            usable[entry] = _parameters(entry, given, registries)
        except ValueError as error:
            incomplete[entry] = str(error)
    for entry in entries:
        if entry in incomplete:
            yield CheckedComponent(entry.kind, entry.name, not_checked=(incomplete[entry],))
        else:
            yield _check_component(entry, usable)


def _check_component(entry: Entry, entries: Parametrized) -> CheckedComponent:
    passed, faults, not_checked = [], [], []
    for what, check in _checks(entry, entries):
        try:
            check()
        except (RefusalError, GankitError) as error:  # it was raised on purpose
            not_checked.append(f"{what}: {one_line(error)}")
        except AssertionError as error:
            faults.append(f"{what}: {one_line(error)}")
        except Exception as error:  # a component may raise anything
            faults.append(f"{what}: {type(error).__name__}: {one_line(error)}{failing_line(error)}")
        else:
            passed.append(what)
    return CheckedComponent(entry.kind, entry.name, tuple(passed), tuple(faults), tuple(not_checked))


def _parameters(entry: Entry, given: Mapping[str, Any], registries: Registries) -> dict[str, Any]:
    """The parameters from the defaults and ``given``.

    Raises:
        GankitError: one of ``given`` is wrong.
        ValueError: they are incomplete.
    """
    kinds = entry.schema.model_json_schema().get("properties", {})
    wrapped = {
        name: {"name": "shapes", "count": 16}
        for name, field in entry.schema.model_fields.items()
        if field.is_required() and kinds[name].get("type") == "dataset"
    }
    place = (entry.kind, entry.name)
    selected, problems = select(registries, entry.kind, entry.name, {**wrapped, **given}, Document({}), place)
    if selected is None:
        faults = "; ".join(str(problem) for problem in problems)
        if any(f"{problem.path}.".startswith(f"{'.'.join((*place, name))}.") for problem in problems for name in given):
            raise GankitError(faults)
        raise ValueError(f"{faults}; append parameters to the command: {entry.kind}.{entry.name}.PARAMETER=VALUE")
    values = selected.params.at(0)
    return {name: built(value, {}) for name, value in values.items()}


def _checks(entry: Entry, entries: Parametrized) -> Iterator[tuple[str, Check]]:
    """The name of what is checked, and the checks, which raise AssertionError."""
    factory, kind, params = entry.factory, entry.kind, entries[entry]
    if kind in ("generators", "discriminators", "augmentations", "codecs"):
        yield from _checks_of_networks(entry, entries)
    elif kind == "datasets":
        yield "items, classes, pickling", lambda: check_dataset(_built(entry, params))
    elif kind == "callbacks":
        yield "methods", lambda: check_callback(_built(entry, params))
    elif kind in ("losses", "regularizers"):
        yield "value and gradient", lambda: check_term_of_plugin(entry, entries)
    elif kind == "latents":
        yield "shape, seed", lambda: check_latent(factory, **params)
    elif kind == "optimizers":
        yield "steps, saved state", lambda: check_optimizer(factory, **params)
    elif kind == "metrics":
        yield "scores of random values", lambda: check_metric(factory, **params)
    elif kind == "features":
        yield "features of random images", lambda: check_features(_built(entry, params))
    elif kind == "games":
        yield "two steps, microbatches, samples", lambda: check_game_of_plugin(entry, entries)
    else:
        yield "conversion", lambda: _raise(RefusalError("needs files: try gankit import"))


def _checks_of_networks(entry: Entry, entries: Parametrized) -> Iterator[tuple[str, Check]]:
    checks: dict[str, Any] = {
        "generators": check_generator,
        "discriminators": check_discriminator,
        "augmentations": check_augmentation,
        "codecs": check_codec,
    }
    for image in IMAGES:
        classes = f", {image.classes} classes" if image.classes else ""
        what = f"images {image.channels}x{image.height}x{image.width}{classes}"
        yield what, partial(check_network_of_plugin, checks[entry.kind], entry, image, entries)


def _built(entry: Entry, params: Mapping[str, Any]) -> Any:
    """The component. Raises: RefusalError: it refuses the parameters."""
    try:
        return entry.factory(**params)
    except ValueError as error:
        example = f"{entry.kind}.{entry.name}.PARAMETER=VALUE"
        raise RefusalError(f"{one_line(error)}; append parameters to the command: {example}") from error


def _raise(error: Exception) -> None:
    raise error
