"""All checks of all components that a plugin registers."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Any

from ..assembly.dry_run import meta_device
from ..assembly.selection import select
from ..errors import GankitError
from ..injection import positional_names
from ..interfaces import DataSpec, ImageSpec
from ..messages import failing_line, one_line
from ..recipe.located_document import Document
from ..registered_component import Entry, Selected
from ..registry import Registries
from .component_checks import (
    build_component,
    check_augmentation,
    check_callback,
    check_codec,
    check_dataset,
    check_discriminator,
    check_generator,
)
from .game_check import check_game
from .latent_and_optimizer_checks import check_latent, check_optimizer
from .score_checks import check_features, check_metric
from .term_checks import SmallDiscriminator, SmallGenerator, check_loss, check_regularizer

IMAGES = (ImageSpec(32, 32, 3), ImageSpec(32, 32, 3, classes=3), ImageSpec(64, 64, 1))
OF_NETWORKS = ("z", "labels", "image", "images")

Check = Callable[[], None]
Parametrized = dict[Entry, dict[str, Any]]  # components that can be built, and their parameters


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
        except (_RefusalError, GankitError) as error:  # it was raised on purpose
            not_checked.append(f"{what}: {one_line(error)}")
        except AssertionError as error:
            faults.append(f"{what}: {one_line(error)}")
        except Exception as error:  # a component may raise anything
            faults.append(f"{what}: {type(error).__name__}: {one_line(error)}{failing_line(error)}")
        else:
            passed.append(what)
    return CheckedComponent(entry.kind, entry.name, tuple(passed), tuple(faults), tuple(not_checked))


class _RefusalError(Exception):
    """A component refuses valid values that a check has chosen."""


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
    return {name: value.build() if isinstance(value, Selected) else value for name, value in values.items()}


def _checks(entry: Entry, entries: Parametrized) -> Iterator[tuple[str, Check]]:
    """What is checked, and the checks, which raise AssertionError."""
    factory, kind, params = entry.factory, entry.kind, entries[entry]
    if kind in ("generators", "discriminators", "augmentations", "codecs"):
        yield from _checks_of_networks(entry, entries)
    elif kind == "datasets":
        yield "items, classes, pickling", lambda: check_dataset(_built(entry, params))
    elif kind == "callbacks":
        yield "methods", lambda: check_callback(_built(entry, params))
    elif kind in ("losses", "regularizers"):
        yield "value and gradient", lambda: _check_term(entry, entries)
    elif kind == "latents":
        yield "shape, seed", lambda: check_latent(factory, **params)
    elif kind == "optimizers":
        yield "steps, saved state", lambda: check_optimizer(factory, **params)
    elif kind == "metrics":
        yield "scores of random values", lambda: check_metric(factory, **params)
    elif kind == "features":
        yield "features of random images", lambda: check_features(_built(entry, params))
    elif kind == "games":
        yield "two steps, microbatches, samples", lambda: _check_game(entry, entries)
    else:
        yield "conversion", lambda: _raise(_RefusalError("needs files: try gankit import"))


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
        yield what, partial(_check_network, checks[entry.kind], entry, image, entries)


def _check_network(check: Any, entry: Entry, image: ImageSpec, entries: Parametrized) -> None:
    """Check a network, if necessary with fields of the data, or within a game of its plugin."""
    params = entries[entry]
    more = {"latent_dim": 16} if entry.kind == "generators" else {}
    failure: Exception | None = None
    for data in (image, _with_fields(image, entry)):
        try:
            with meta_device():
                build_component(entry.factory, params, data, **more)
        except ValueError as error:
            failure = failure or _RefusalError(str(error))
            continue
        try:
            check(entry.factory, data, **params)
        except Exception as error:
            failure = failure if isinstance(failure, AssertionError) else error
        else:
            return
    assert failure is not None
    games = [other for other in entries if other.kind == "games"]
    if games and entry.kind in ("generators", "discriminators"):  # which may use the networks in their own way
        networks = {kind: _with_small(entries, kind) for kind in ("generators", "discriminators")} | {
            entry.kind: [entry]
        }
        if _play(games, networks["generators"], networks["discriminators"], entries) is None:
            return
    raise failure


def _with_small(entries: Iterable[Entry], kind: str) -> list[Entry | None]:
    """The networks of a kind, and None for a small one that any plugin can use."""
    return [*(entry for entry in entries if entry.kind == kind), None]


def _with_fields(image: ImageSpec, *entries: Entry | None) -> DataSpec:
    """Data with images as further fields: those that the networks ask for by name, or else ``source``."""
    names = [name for entry in entries if entry is not None for name in _fields_of(entry)] or ["source"]
    fields: dict[str, Any] = dict.fromkeys(names, image)
    return DataSpec(image=image, **fields)


def _fields_of(entry: Entry) -> list[str]:
    """The names of positional parameters of a network's ``forward`` that gankit does not know."""
    forward = getattr(entry.factory, "forward", None) if inspect.isclass(entry.factory) else None
    if forward is None or entry.kind not in ("generators", "discriminators"):
        return []
    names = positional_names(forward)[1:]
    names = names[1:] if entry.kind == "discriminators" else names  # the first one is the image to judge
    return [name for name in names if name not in OF_NETWORKS]


def _play(
    games: Sequence[Entry],
    generators: Sequence[Entry | None],
    discriminators: Sequence[Entry | None],
    params: Parametrized,
) -> Exception | None:
    """Play games with networks, of which None stands for small ones, until one passes. Returns: the first failure."""
    failure: Exception | None = None
    for game, *players in product(games, generators, discriminators):
        factories = (SmallGenerator, SmallDiscriminator)
        networks = [
            small if player is None else partial(player.factory, **params[player])
            for small, player in zip(factories, players, strict=True)
        ]
        played: Any = game.factory
        for data in (IMAGES[1], _with_fields(IMAGES[0], *players)):
            try:
                check_game(played, data, *networks, **params[game])
            except Exception as error:  # a component may raise anything
                failure = failure or error
            else:
                return None
    return failure


def _check_game(entry: Entry, entries: Parametrized) -> None:
    generators, discriminators = (_with_small(entries, kind) for kind in ("generators", "discriminators"))
    if failure := _play([entry], generators, discriminators, entries):
        raise failure


def _built(entry: Entry, params: Mapping[str, Any]) -> Any:
    """The component. Raises: _RefusalError: it refuses the parameters."""
    try:
        return entry.factory(**params)
    except ValueError as error:
        example = f"{entry.kind}.{entry.name}.PARAMETER=VALUE"
        raise _RefusalError(f"{one_line(error)}; append parameters to the command: {example}") from error


def _own_factory(entries: Parametrized, kind: str) -> Callable[..., Any] | None:
    """Builds the first network of a kind that the plugin registers, if there is any."""
    for entry, params in entries.items():
        if entry.kind == kind:
            return lambda image, latent_dim=0: build_component(entry.factory, params, image, latent_dim=latent_dim)[0]
    return None


def _check_term(entry: Entry, entries: Parametrized) -> None:
    """Check a loss or regularizer with small networks, without and with classes, or with those of its plugin."""
    check: Any = {"losses": check_loss, "regularizers": check_regularizer}[entry.kind]
    failure: Exception | None = None
    own = {kind: _own_factory(entries, f"{kind}s") for kind in ("generator", "discriminator")}
    for networks, image in (({}, IMAGES[0]), ({}, IMAGES[1]), ({key: own[key] for key in own if own[key]}, IMAGES[1])):
        try:
            check(entry.factory(**entries[entry]), image, **networks)
        except (GankitError, ValueError) as error:
            failure = failure or _RefusalError(f"it needs other networks or labels: {one_line(error)}")
        except Exception as error:
            failure = error if failure is None or isinstance(failure, _RefusalError) else failure
        else:
            return
    assert failure is not None
    raise failure


def _raise(error: Exception) -> None:
    raise error
