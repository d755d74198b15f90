"""A recipe against the registries: every component, its parameters, and whether the whole fits together."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ..recipe.located_document import Document
from ..errors import GankitError, Problem
from ..interfaces import ImageSpec
from ..recipe.model import Recipe, in_order
from ..registry import Entry, Params, Registries
from ..training.callbacks import Callbacks
from ..interfaces import PLAYERS
from .dry_run import try_augmentation, try_discriminator, try_generator, try_optimizer
from ..recipe.validation import validate
from ..recipe.located_document import KeyPath

STAND_IN_CLASSES = 10  # for networks, while only the prepared data can say how many classes there are
MAX_SENTENCE = 500

SLOTS: Mapping[KeyPath, str] = {
    ("latent",): "latents",
    ("dataset",): "datasets",
    ("generator",): "generators",
    ("discriminator",): "discriminators",
    ("loss",): "losses",
    ("optimizers", "generator"): "optimizers",
    ("optimizers", "discriminator"): "optimizers",
    ("train", "game"): "games",
}
LISTS = ("regularizers", "augmentations", "callbacks")


@dataclass(frozen=True)
class Selected:
    """A component that a recipe names: its registration and its checked parameters."""

    entry: Entry[Any]
    params: Params

    def build(self, *context: Any) -> Any:
        """The component."""
        return self.entry.build(self.params, *context)


Choices = dict[KeyPath, Selected]


def choose(data: Mapping[str, Any], document: Document, registries: Registries) -> tuple[Choices, list[Problem]]:
    """Every component of a recipe's plain data that its registry knows, and every fault of the others."""
    choices: Choices = {}
    problems: list[Problem] = []
    for path, kind, name, params in _components(data):
        try:
            entry = getattr(registries, kind).get(name)
        except KeyError as error:
            problems.append(document.problem((*path, "name"), str(error.args[0])))
            continue
        checked, faults = validate(entry.schema, params, document, path)
        problems += faults
        if checked is not None:
            choices[path] = Selected(entry, checked)
    return choices, problems


def _components(data: Mapping[str, Any]) -> Iterator[tuple[KeyPath, str, str, dict[str, Any]]]:
    """Path, kind, name and parameters of each component; what is malformed is the structure's fault, not ours."""
    found: list[tuple[KeyPath, str, Any]] = []
    for path, kind in SLOTS.items():
        value: Any = data
        for key in path:
            value = value.get(key) if isinstance(value, Mapping) else None
        found.append((path, kind, value))
    for kind in LISTS:
        items = data.get(kind)
        found += (
            [((kind, index), kind, item) for index, item in enumerate(items)]
            if isinstance(items, (list, tuple))
            else []
        )
    for path, kind, value in found:
        spec = {"name": value} if isinstance(value, str) else value
        if isinstance(spec, Mapping) and isinstance(spec.get("name"), str):
            own = {"name", "dim"} if path == ("latent",) else {"name"}
            yield path, kind, spec["name"], {key: item for key, item in spec.items() if key not in own}


def resolved(recipe: Recipe, choices: Choices) -> Recipe:
    """The recipe with every default of its components filled in."""
    data = recipe.model_dump(mode="json")
    for path, chosen in choices.items():
        holder: Any = data
        for key in path[:-1]:
            holder = holder[key]
        dim = {"dim": recipe.latent.dim} if path == ("latent",) else {}
        holder[path[-1]] = {"name": chosen.entry.name, **dim, **chosen.params.model_dump(mode="json")}
    return Recipe.parse(data)


def fit_together(recipe: Recipe, choices: Choices) -> list[Problem]:
    """Faults that show only when the components are built: without data, and on no device."""
    problems: list[Problem] = []

    def attempt(path: KeyPath, build: Callable[[], Any]) -> Any:
        try:
            return build()
        except Exception as error:  # a plugin's constructor may raise anything; the user sees one sentence
            problems.append(recipe.document.problem(path, _sentence(error)))
            return None

    def attempt_each(kind: str, build: Callable[[Selected], Any]) -> dict[KeyPath, Any]:
        paths = [path for path in choices if path[0] == kind]
        return {path: attempt(path, lambda path=path: build(choices[path])) for path in paths}  # type: ignore[misc]

    attempt(("latent",), lambda: _having(choices["latent",].build(recipe.latent.dim), ("sample",), "latent"))
    attempt(("loss",), lambda: _having(choices["loss",].build(), PLAYERS, "loss"))
    attempt(("train", "game"), lambda: _having(choices["train", "game"].build(), ("step",), "game"))
    regularizers = attempt_each("regularizers", lambda chosen: _regularizer(chosen.build()))
    attempt_each("optimizers", lambda chosen: try_optimizer(chosen.build))
    attempt_each("callbacks", lambda chosen: Callbacks([(chosen.entry.name, chosen.build())]))
    image = attempt(("dataset",), lambda: _image(recipe, choices["dataset",].build(), problems))
    if image is not None:
        dim = recipe.latent.dim
        generator, discriminator = choices["generator",], choices["discriminator",]
        attempt_each("augmentations", lambda chosen: try_augmentation(lambda: chosen.build(image), image))
        network = attempt(("generator",), lambda: try_generator(lambda: generator.build(image, dim), image, dim))
        output = attempt(("discriminator",), lambda: try_discriminator(lambda: discriminator.build(image), image))
        if network is not None and output is not None:
            for path, regularizer in regularizers.items():
                if hasattr(regularizer, "fits"):
                    attempt(path, lambda regularizer=regularizer: regularizer.fits(network, output, image))  # type: ignore[misc]
    return in_order(problems)


def _image(recipe: Recipe, dataset: Any, problems: list[Problem]) -> ImageSpec | None:
    """The run's images as far as a data set knows them that is not prepared."""
    _having(dataset, ("prepare", "spec", "classes", "split", "__len__", "__getitem__"), "dataset")
    spec, classes = dataset.spec, dataset.classes
    if not isinstance(spec, ImageSpec) or not 1 <= spec.channels <= 4:
        given = f"{spec.channels} channels" if isinstance(spec, ImageSpec) else repr(spec)
        raise ValueError(f"its images are {given}; gankit takes an ImageSpec with 1 to 4 channels")
    if recipe.conditional and classes is None:
        message = f"is true, but dataset '{recipe.dataset.name}' has no labels; use labelled data or conditional: false"
        problems.append(recipe.document.problem(("conditional",), message))
    count = len(classes or ()) or STAND_IN_CLASSES
    return ImageSpec(*recipe.image.size, spec.channels, count if recipe.conditional else 0)


def _sentence(error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    text = text if isinstance(error, (ValueError, GankitError)) else f"{type(error).__name__}: {text}"
    return text if len(text) <= MAX_SENTENCE else f"{text[: MAX_SENTENCE - 3]}..."


def _having(component: Any, names: Iterable[str], what: str) -> Any:
    """The component. Raises: TypeError: it lacks one of the attributes of its kind."""
    lacking = [name for name in names if not hasattr(component, name)]
    if lacking:
        raise ValueError(f"{type(component).__name__} is no {what}: it has no {' and no '.join(lacking)}")
    return component


def _regularizer(regularizer: Any) -> Any:
    """The regularizer. Raises: ValueError: it has no turn of either player, or no interval."""
    interval = getattr(regularizer, "interval", None)
    if not any(hasattr(regularizer, player) for player in PLAYERS):
        raise ValueError(f"{type(regularizer).__name__} is no regularizer: it has neither {' nor '.join(PLAYERS)}")
    if not isinstance(interval, int) or interval < 1:
        raise ValueError(f"a regularizer's interval is a whole number of turns from 1 on; its own is {interval!r}")
    return regularizer
