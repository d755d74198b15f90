"""Check a recipe against the registries: every component, its parameters, and whether the components fit together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from torch import nn

from ..calls import described, require_attributes, require_call
from ..data.datasets import classes_of, spec_of, spec_of_run, takes_report
from ..errors import GankitError, Problem, RecipeError
from ..game.game import Game
from ..injection import argument_names, constructor_arguments, select_arguments
from ..interfaces import DataSpec, ImageSpec, Player
from ..interfaces.data_spec import IMAGE
from ..messages import one_line, truncate
from ..recipe.checked_recipe import CheckedRecipe
from ..recipe.located_document import KeyPath, dotted
from ..recipe.model import Recipe, in_order
from ..registered_component import Selected
from ..registry import Registries
from ..training.callbacks import Callbacks
from .activation_checkpointing import check_activation_checkpointing
from .check_game import checked_game, problems_of_keys, problems_of_players
from .check_methods import check_loss, checked_regularizer, try_latent
from .codec import data_of_networks
from .dry_run import (
    NotTriedError,
    try_augmentation,
    try_discriminator,
    try_generator,
)
from .dry_turn import problems_of_terms
from .frozen_parameters import check_frozen_parameters
from .sampled_items import sampling_fields

PLACEHOLDER_CLASSES = 10  # for networks, if the number of classes is known only once the data is prepared
FITS = ("registries", "images")  # the values for a callback's `fits` that names none
MAX_SENTENCE = 500


def check_components(checked: CheckedRecipe, registries: Registries) -> CheckedRecipe:
    """Build every component without data or device and check that they fit together.

    Args:
        checked: the recipe with its components.
        registries: of the runtime, which callbacks may select further components from.

    Returns:
        The recipe with the results of the check.

    Raises:
        RecipeError: with every problem.
    """
    attempts = _Attempts(checked)
    attempts.problems += [*problems_of_players(checked), *_problems_of_encodings(checked.recipe)]
    if ("loss",) in checked.components:
        attempts.run(("loss",), lambda: check_loss(checked.build("loss"), checked.players))
    game = attempts.run(("train", "game"), lambda: checked_game(checked))
    attempts.problems += [] if game is None else problems_of_keys(checked, game)
    regularizers = attempts.run_each(
        "regularizers", lambda selected: checked_regularizer(selected.build(), checked.players)
    )
    images, exact = _count_of_dataset(checked)
    known: dict[str, Any] = {"registries": registries, "images": images, "data": None, "fields": None}
    data = _try_data(checked, attempts)
    shapes = {}
    if data is not None:
        networks, output = _try_networks(checked, attempts, data, game)
        generator = networks["generator"]
        if generator is not None and game is not None:
            known |= {"data": data, "fields": tuple(sampling_fields(generator, data, game))}
        if all(networks[player] is not None for player in checked.players):
            _try_terms(checked, attempts, regularizers, networks, output, data, game)
        attempts.problems += check_frozen_parameters(checked, networks)
        attempts.problems += check_activation_checkpointing(checked, networks)
        shapes = {player: _state_shapes(network) for player, network in networks.items() if network is not None}
    attempts.run_each("callbacks", lambda selected: _check_callback(selected, known, exact))
    if attempts.problems:
        raise RecipeError(in_order(attempts.problems))
    return replace(checked, not_tried=attempts.not_tried, state_shapes=shapes)


class _Attempts:
    """Runs the parts of a check, and collects their problems.

    Attributes:
        problems: of all parts.
        not_tried: for each component that the meta device cannot run, the reason.
    """

    def __init__(self, checked: CheckedRecipe) -> None:
        self._checked, self._document = checked, checked.recipe.document
        self.problems: list[Problem] = []
        self.not_tried: dict[KeyPath, str] = {}

    def run(self, path: KeyPath, build: Callable[[], Any]) -> Any:
        """The result of ``build``; None if it raises, which is a problem of the component at ``path``."""
        try:
            return build()
        except NotTriedError as reason:
            self.not_tried[path] = "; ".join((str(reason), *getattr(reason, "__notes__", ())))
        except RecipeError as error:
            self.problems += [self._document.problem(path, str(problem)) for problem in error.problems]
        except Exception as error:  # a plugin's constructor may raise anything
            self.problems.append(self._document.problem(path, _sentence(error)))
        return None

    def run_each(self, section: str, build: Callable[[Selected], Any]) -> dict[KeyPath, Any]:
        """The same for each component of a section."""
        components = self._checked.of_section(section).items()
        return {path: self.run(path, partial(build, selected)) for path, selected in components}


def _try_data(checked: CheckedRecipe, attempts: _Attempts) -> DataSpec | None:
    """The data as the networks see it; None if the dataset or the codec cannot be built."""
    datasets = checked["dataset"].with_nested(("dataset",))  # the innermost first: problems get their own places
    if not all(attempts.run(path, partial(_built_dataset, selected)) is not None for path, selected in datasets):
        return None
    data = attempts.run(("dataset",), lambda: _unprepared_data(checked, attempts.problems))
    return None if data is None else attempts.run(("codec",), partial(data_of_networks, checked, data))


def _try_networks(
    checked: CheckedRecipe, attempts: _Attempts, data: DataSpec, game: Game | None
) -> tuple[dict[Player, Any], Any]:
    """Run the latent, augmentations and networks. Returns: the networks, None for one that fails; D's output."""
    dim = checked.recipe.latent.dim
    values = constructor_arguments(data, dim)
    attempts.run(("latent",), lambda: try_latent(checked.build("latent", dim=dim), dim, data))
    attempts.run_each("augmentations", lambda selected: try_augmentation(lambda: selected.build(**values), data.image))
    generator = attempts.run(
        ("generator",), lambda: try_generator(lambda: checked.build("generator", **values), data, dim, game)
    )
    discriminator = output = None
    if ("discriminator",) in checked.components:
        discriminator, output = attempts.run(
            ("discriminator",), lambda: try_discriminator(lambda: checked.build("discriminator", **values), data)
        ) or (None, None)
    return {"generator": generator, "discriminator": discriminator}, output


def _state_shapes(network: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape) for name, value in network.state_dict().items() if hasattr(value, "shape")}


def _try_terms(
    checked: CheckedRecipe,
    attempts: _Attempts,
    regularizers: Mapping[KeyPath, Any],
    networks: Mapping[Player, Any],
    output: Any,
    data: DataSpec,
    game: Game | None,
) -> None:
    """Check that regularizers fit the networks, and compute the terms of a turn."""
    for path, regularizer in regularizers.items():
        if hasattr(regularizer, "fits"):
            attempts.run(path, partial(regularizer.fits, networks["generator"], output, data.image))
    if game is not None:
        faulty = {problem.path for problem in attempts.problems}
        tried = [path for path in (("loss",), *regularizers) if dotted(path) not in faulty]
        of_players = {player: networks[player] for player in checked.players}
        attempts.problems += problems_of_terms(checked, tried, of_players, output, data, game)


def _problems_of_encodings(recipe: Recipe) -> Iterator[Problem]:
    """Encodings that no codec could decode."""
    if recipe.loader.encodings is not None and recipe.codec is None:
        message = "has no effect without a codec; add `codec:`, or remove it"
        yield recipe.document.problem(("loader", "encodings"), message)


def _unprepared_data(checked: CheckedRecipe, problems: list[Problem]) -> DataSpec:
    """The data before a codec encodes the images, as far as the dataset knows it before it is prepared."""
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
        message = (
            f"is true, but dataset '{recipe.dataset.name}' names no classes: use labeled data with an attribute "
            "`classes`, `labels` or `targets`, or set conditional: false"
        )
        problems.append(recipe.document.problem(("conditional",), message))
    return spec_of_run(dataset, recipe.image.size, recipe.conditional, len(classes or ()) or PLACEHOLDER_CLASSES)


def _built_dataset(selected: Selected) -> Any:
    """The dataset. Raises: ValueError: it is not one; or what its constructor raises."""
    dataset = selected.build()
    require_attributes(dataset, ("__len__", "__getitem__"), "dataset")
    if hasattr(dataset, "prepare") and not takes_report(dataset):
        require_call(dataset, "prepare", ())
    return dataset


def _count_of_dataset(checked: CheckedRecipe) -> tuple[int | None, bool]:
    """The number of real images, and whether it is exact and not just an upper bound.

    The number is None if the dataset knows neither before it is prepared, or cannot be built.
    """
    try:
        dataset = checked.build("dataset")
        if hasattr(dataset, "max_images"):
            return dataset.max_images(), False
        count = len(dataset)
        return (count, True) if count else (None, False)
    except Exception:  # reported where the dataset is checked
        return None, False


def _check_callback(selected: Selected, known: Mapping[str, Any], exact: bool) -> None:
    """Raises: NotTriedError: it depends on the number of images, which is not known. GankitError: it does not fit."""
    callback = selected.build()
    Callbacks([(selected.entry.name, callback)])
    if hasattr(callback, "fits"):
        what = f"{type(callback).__name__}.fits"
        names = argument_names(callback.fits, [*known], FITS, what)
        callback.fits(*select_arguments(names, known))
        if "images" in names and not exact:
            raise NotTriedError("the exact number of real images is not known")


def _sentence(error: Exception) -> str:
    kind = "" if isinstance(error, (ValueError, GankitError)) else f"{type(error).__name__}: "
    notes = "".join(f"; {note}" for note in getattr(error, "__notes__", ()))
    return truncate(kind + one_line(error), MAX_SENTENCE) + notes
