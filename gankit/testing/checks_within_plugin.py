"""Checks of networks, games, losses and regularizers, which need each other: small ones, or those of their plugin."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from itertools import product
from typing import Any

from ..assembly.dry_run import meta_device
from ..data.datasets import classes_of, spec_of, spec_of_run
from ..errors import GankitError
from ..injection import positional_names
from ..interfaces import DataSpec, ImageSpec
from ..messages import one_line
from ..registered_component import Entry
from .component_checks import build_component
from .game_check import check_game
from .term_checks import SmallDiscriminator, SmallGenerator, check_loss, check_regularizer

IMAGES = (ImageSpec(32, 32, 3), ImageSpec(32, 32, 3, classes=3), ImageSpec(64, 64, 1))
OF_NETWORKS = ("z", "labels", "image", "images")

Parametrized = dict[Entry, dict[str, Any]]  # components that can be built, and their parameters


class RefusalError(Exception):
    """A component refuses valid values that a check has chosen."""


def check_network_of_plugin(check: Any, entry: Entry, image: ImageSpec, entries: Parametrized) -> None:
    """Check a network, if necessary with fields of the data, or within a game of its plugin."""
    params = entries[entry]
    more = {"latent_dim": 16} if entry.kind == "generators" else {}
    failure: Exception | None = None
    invented = _with_fields(image, entry)
    own = _data_of_plugin(entries, image) if _fields_of(entry) else ()
    candidates: list[ImageSpec | DataSpec] = [*own, invented] if _fields_of(entry) else [image, invented]
    for data in candidates:
        try:
            with meta_device():
                build_component(entry.factory, params, data, **more)
        except (ValueError, KeyError) as error:  # KeyError: of a field that these data lack
            failure = failure or RefusalError(one_line(error))
            continue
        try:
            check(entry.factory, data, **params)
        except AssertionError as error:
            failure = error if data is not invented or failure is None else failure
        except Exception as error:
            if data is invented:
                failure = failure or RefusalError(f"it needs other data: {one_line(error)}")
            elif not isinstance(failure, AssertionError):
                failure = error
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


def _data_of_plugin(entries: Parametrized, image: ImageSpec) -> Iterator[DataSpec]:
    """The data of the plugin's own datasets, in the size of an image."""
    for entry, params in entries.items():
        if entry.kind == "datasets":
            with suppress(Exception):  # the dataset has a check of its own
                dataset = entry.factory(**params)
                classes = len(classes_of(dataset) or ())
                has_labels = bool(classes) or spec_of(dataset).label is not None
                yield spec_of_run(dataset, (image.height, image.width), has_labels, classes)


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
            except AssertionError as error:
                failure = failure if isinstance(failure, AssertionError) else error
            except Exception as error:  # a component may raise anything, for example for networks of another game
                failure = failure or error
            else:
                return None
    return failure


def check_game_of_plugin(entry: Entry, entries: Parametrized) -> None:
    """Check a game with small networks, or with those of its plugin."""
    generators, discriminators = (_with_small(entries, kind) for kind in ("generators", "discriminators"))
    if failure := _play([entry], generators, discriminators, entries):
        raise failure


def _own_factory(entries: Parametrized, kind: str) -> Callable[..., Any] | None:
    """Builds the first network of a kind that the plugin registers, if there is any."""
    for entry, params in entries.items():
        if entry.kind == kind:
            return lambda image, latent_dim=0: build_component(entry.factory, params, image, latent_dim=latent_dim)[0]
    return None


def check_term_of_plugin(entry: Entry, entries: Parametrized) -> None:
    """Check a loss or regularizer with small networks, without and with classes, or with those of its plugin."""
    check: Any = {"losses": check_loss, "regularizers": check_regularizer}[entry.kind]
    failure: Exception | None = None
    own = {kind: _own_factory(entries, f"{kind}s") for kind in ("generator", "discriminator")}
    for networks, image in (({}, IMAGES[0]), ({}, IMAGES[1]), ({key: own[key] for key in own if own[key]}, IMAGES[1])):
        try:
            check(entry.factory(**entries[entry]), image, **networks)
        except (GankitError, ValueError) as error:
            failure = failure or RefusalError(f"it needs other networks or labels: {one_line(error)}")
        except Exception as error:
            failure = error if failure is None or isinstance(failure, RefusalError) else failure
        else:
            return
    assert failure is not None
    raise failure
