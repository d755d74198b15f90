"""Check a recipe against the registries: every component, its parameters, and whether the components fit together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial, reduce
from typing import Any

import torch

from ..calls import described, require_attributes, require_call, require_methods, require_no_misspelling
from ..data.datasets import classes_of, spec_of, spec_of_run
from ..device.seeding import preserved_random_state
from ..errors import GankitError, Problem, RecipeError
from ..game.game import Game, has_own_generate
from ..game.lazy_regularization import interval_of
from ..game.returned_values import require_latents
from ..injection import network_context
from ..interfaces import DISCRIMINATOR_KEYS, GAME_KEYS, PLAYERS, DataSpec, ImageSpec, Player
from ..interfaces.data_spec import IMAGE
from ..messages import one_line, truncate
from ..recipe.checked_recipe import CheckedRecipe
from ..recipe.located_document import KeyPath, item_at
from ..recipe.model import in_order
from ..registered_component import Selected
from ..registry import Registries, signature_schema
from ..training.callbacks import STATE_METHODS, Callbacks
from .codec import data_of_networks
from .components import require_trained
from .dry_run import (
    NotTriedError,
    labels_of_two,
    try_augmentation,
    try_discriminator,
    try_generator,
)
from .frozen_parameters import check_frozen_parameters
from .selection import MICROBATCH, OF_DISCRIMINATOR, absent_paths, honoured_keys

PLACEHOLDER_CLASSES = 10  # for networks, if the number of classes is known only once the data is prepared
MAX_SENTENCE = 500
TURN = ("turn",)  # the argument of most methods


def check_components(checked: CheckedRecipe, registries: Registries) -> tuple[list[Problem], dict[KeyPath, str]]:
    """Build every component without data or device and check that they fit together.

    Args:
        checked: the recipe with its components.
        registries: of the runtime, which callbacks may select further components from.

    Returns:
        All problems, and for each component that the meta device cannot run, the reason.
    """
    recipe = checked.recipe
    problems = [*_problems_of_players(checked)]
    not_tried: dict[KeyPath, str] = {}

    def attempt(path: KeyPath, build: Callable[[], Any]) -> Any:
        try:
            return build()
        except NotTriedError as reason:
            not_tried[path] = str(reason)
        except RecipeError as error:
            problems.extend(recipe.document.problem(path, str(problem)) for problem in error.problems)
        except Exception as error:  # a plugin's constructor may raise anything
            problems.append(recipe.document.problem(path, _sentence(error)))
        return None

    def attempt_each(section: str, build: Callable[[Selected], Any]) -> dict[KeyPath, Any]:
        return {path: attempt(path, partial(build, selected)) for path, selected in checked.of_section(section).items()}

    dim = recipe.latent.dim
    if ("loss",) in checked.components:
        attempt(("loss",), lambda: _check_loss(checked.build("loss"), checked.players))
    game = attempt(("train", "game"), lambda: _checked_game(checked, problems)) or Game()
    players = checked.players
    regularizers = attempt_each("regularizers", lambda selected: _checked_regularizer(selected.build(), players))
    count = _count_of_dataset(checked)
    attempt_each("callbacks", lambda selected: _check_callback(selected, registries, count))
    datasets = checked["dataset"].with_nested(("dataset",))  # the innermost first: problems get their own places
    built = all(attempt(path, partial(_built_dataset, selected)) is not None for path, selected in datasets)
    data = attempt(("dataset",), lambda: _data_of_run(checked, problems)) if built else None
    data = None if data is None else attempt(("codec",), partial(data_of_networks, checked, data))
    if data is not None:
        image, context = data.image, network_context(data, dim)
        attempt(("latent",), lambda: _try_latent(checked.build("latent", dim=dim), dim, data))
        attempt_each("augmentations", lambda selected: try_augmentation(lambda: selected.build(**context), image))
        generator = attempt(
            ("generator",), lambda: try_generator(lambda: checked.build("generator", **context), data, dim, game)
        )
        output = None
        if ("discriminator",) in checked.components:
            output = attempt(
                ("discriminator",), lambda: try_discriminator(lambda: checked.build("discriminator", **context), data)
            )
        if generator is not None and (output is not None or "discriminator" not in players):
            for path, regularizer in regularizers.items():
                if hasattr(regularizer, "fits"):
                    attempt(path, lambda regularizer=regularizer: regularizer.fits(generator, output, image))  # type: ignore[misc]
        problems += check_frozen_parameters(checked, context, not_tried)
    return in_order(problems), not_tried


def _data_of_run(checked: CheckedRecipe, problems: list[Problem]) -> DataSpec:
    """The data as the networks see it, as far as the dataset knows it before it is prepared."""
    recipe, dataset = checked.recipe, checked.build("dataset")
    given = getattr(dataset, "spec", None)
    if given is not None and not isinstance(given, (ImageSpec, DataSpec)):
        raise ValueError(f"its `spec` is {described(given)}; gankit takes an ImageSpec or a DataSpec")
    spec, classes = spec_of(dataset), classes_of(dataset)
    for name, field in spec.items():
        if isinstance(field, ImageSpec) and not 1 <= field.channels <= 4:
            what = "images" if name == IMAGE else f"field {name!r}"
            raise ValueError(f"its {what} have {field.channels} channels; gankit takes 1 to 4")
    if recipe.conditional and classes is None and spec.label is None:
        message = f"is true, but dataset '{recipe.dataset.name}' has no labels; use labelled data or conditional: false"
        problems.append(recipe.document.problem(("conditional",), message))
    return spec_of_run(dataset, recipe.image.size, recipe.conditional, len(classes or ()) or PLACEHOLDER_CLASSES)


def _built_dataset(selected: Selected) -> Any:
    """The dataset. Raises: ValueError: it is not one; or what its constructor raises."""
    dataset = selected.build()
    require_attributes(dataset, ("__len__", "__getitem__"), "dataset")
    return dataset


def _count_of_dataset(checked: CheckedRecipe) -> int | None:
    """The number of real images; None if the dataset does not know it before it is prepared, or cannot be built."""
    try:
        return len(checked.build("dataset")) or None
    except Exception:  # reported where the dataset is checked
        return None


def _check_callback(selected: Selected, registries: Registries, images: int | None) -> None:
    """Raises: NotTriedError: it depends on the number of images, which is not known. GankitError: it does not fit."""
    callback = selected.build()
    Callbacks([(selected.entry.name, callback)])
    if hasattr(callback, "fits"):
        callback.fits(registries, images)
        if images is None:
            raise NotTriedError("the number of real images is not known")


def _no_effect(checked: CheckedRecipe, why: str) -> str:
    game = checked.recipe.train.game.name
    return f"has no effect, because the game '{game}' {why}; remove it or use another game"


def _problems_of_players(checked: CheckedRecipe) -> Iterator[Problem]:
    """The components that the recipe lacks, or has although its game does not."""
    recipe, document, absent = checked.recipe, checked.recipe.document, absent_paths(checked)
    for path in (*OF_DISCRIMINATOR, ("loss",)):
        if path in absent:
            if reduce(item_at, path, document.data) is not None:
                why = "does not use it" if "discriminator" in checked.players else "has no discriminator"
                yield document.problem(path, _no_effect(checked, why))
        elif path not in checked.components:
            yield document.problem(path, f"is missing; the game '{recipe.train.game.name}' requires it")


def _checked_game(checked: CheckedRecipe, problems: list[Problem]) -> Game:
    """The game. Adds a problem for each key that the recipe sets and the game does not use.

    Raises:
        ValueError: the component is not a game.
    """
    recipe, game = checked.recipe, checked.build(("train", "game"))
    if not isinstance(game, Game):
        raise ValueError(
            f"{type(game).__name__} is not a gankit.Game: make it a subclass with step(self), which takes batches from "
            "self.next_batch() and updates a player by self.update(player, batch)"
        )
    _with_optional(game, {"step": (), "terms": TURN, "generate": ("generator", "inputs")}, "game", "setup")
    if not isinstance(game.players, (tuple, list)) or {*game.players} not in ({*PLAYERS}, {"generator"}):
        raise ValueError(
            f"{type(game).__name__}.players is {game.players!r}; it should be ('generator', 'discriminator'), or "
            "('generator',) for a game without a discriminator"
        )
    if has_own_generate(game):
        signature_schema(game.generate, ("generator", "inputs"), f"{type(game).__name__}.generate")
    honours = getattr(game, "honours", ())
    unknown = [key for key in honours if key not in GAME_KEYS] if isinstance(honours, (tuple, list)) else [honours]
    if unknown:
        raise ValueError(
            f"{type(game).__name__}.honours has {unknown[0]!r}; it should be a tuple with any of {', '.join(GAME_KEYS)}"
        )
    used = honoured_keys(checked)
    for key in GAME_KEYS:
        path = tuple(key.split("."))
        section = recipe.train if path[0] == "train" else recipe
        if key in used or key == "loss":
            continue
        if getattr(section, path[-1]) != type(section).model_fields[path[-1]].default:
            lacks = key in DISCRIMINATOR_KEYS and "discriminator" not in checked.players
            message = _no_effect(checked, "has no discriminator" if lacks else "does not use it")
            if key == MICROBATCH and game.whole_batch:
                name = recipe.train.game.name
                message = f"cannot be used, because the game '{name}' needs the whole batch at once; remove it"
            elif not lacks:
                message += f". If the code of {type(game).__name__} does use it, add {key!r} to its attribute `honours`"
            problems.append(recipe.document.problem(path, message))
    return game


def _sentence(error: Exception) -> str:
    kind = "" if isinstance(error, (ValueError, GankitError)) else f"{type(error).__name__}: "
    notes = "".join(f"; {note}" for note in getattr(error, "__notes__", ()))
    return truncate(kind + one_line(error), MAX_SENTENCE) + notes


def _with_optional(component: Any, methods: Mapping[str, Sequence[str]], kind: str, *optional: str) -> None:
    """The same as `require_methods`, with ``after`` where the component has it, and no misspelt optional methods."""
    require_methods(component, {**methods, **({"after": TURN} if hasattr(component, "after") else {})}, kind)
    require_no_misspelling(component, (*methods, "after", *STATE_METHODS, *optional))


def _try_latent(latent: Any, dim: int, data: DataSpec) -> None:
    """Draw two latents on the CPU. Raises: ValueError: they are not two latents of this dimension."""
    _with_optional(latent, {"sample": ("n", "labels", "generator")}, "latent", "between")
    random = torch.Generator()
    with preserved_random_state():
        latents = latent.sample(2, labels_of_two(data), random)
    require_latents(latents, 2, random.device)
    if latents.shape[1:] != (dim,):
        raise ValueError(
            f"`sample` returns {described(latents)} for two latents; expected [2, {dim}], since latent.dim is {dim}"
        )


def _check_loss(loss: Any, players: Sequence[Player]) -> None:
    """Raises: ValueError or GankitError: it lacks a term, or has parameters that no player trains."""
    _with_optional(loss, dict.fromkeys(PLAYERS, TURN), "loss")
    require_trained(loss, players)


def _checked_regularizer(regularizer: Any, players: Sequence[Player]) -> Any:
    """The regularizer. Raises: ValueError or GankitError: it does not fit the game, or has an invalid interval."""
    interval = interval_of(regularizer)
    if hasattr(regularizer, "discriminator") and not any(hasattr(regularizer, player) for player in players):
        raise ValueError(f"{type(regularizer).__name__} acts on the discriminator alone, which this game does not have")
    if not any(hasattr(regularizer, player) for player in PLAYERS):
        either = " and ".join(f"`{player}`" for player in PLAYERS)
        raise ValueError(f"{type(regularizer).__name__} is not a regularizer: it lacks both {either}")
    if not isinstance(interval, int) or interval < 1:
        raise ValueError(f"a regularizer's `interval` should be a whole number of turns, 1 or more; it is {interval!r}")
    methods = [player for player in PLAYERS if hasattr(regularizer, player)]
    _with_optional(regularizer, dict.fromkeys(methods, TURN), "regularizer", "fits", *PLAYERS)
    if hasattr(regularizer, "fits"):
        require_call(regularizer, "fits", ("generator", "output", "image"))
    require_trained(regularizer, players)
    return regularizer
