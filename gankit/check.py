"""A recipe against the registries: every component, its parameters, and whether the whole fits together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from pydantic import ValidationError
from torch import Tensor, nn

from .document import Document, KeyPath
from .errors import GankitError, Problem
from .interfaces import ImageSpec
from .recipe import Recipe, in_order, validation_problems
from .registry import Entry, Params, Registries
from .training.callback import Callbacks
from .training.turn import PlayerTurn

STAND_IN_CLASSES = 10  # for networks, while only the prepared data can say how many classes there are

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
class Chosen:
    """A component that a recipe names: its registration and its checked parameters."""

    entry: Entry[Any]
    params: Params

    def build(self, *context: Any) -> Any:
        """The component."""
        return self.entry.build(self.params, *context)


Choices = dict[KeyPath, Chosen]


def choose(data: Mapping[str, Any], document: Document, registries: Registries) -> tuple[Choices, list[Problem]]:
    """Every component of a recipe's plain data that its registry knows, and every fault of the others."""
    choices: Choices = {}
    problems: list[Problem] = []
    for path, kind, name, params in _components(data):
        try:
            entry = getattr(registries, kind).get(name)
            choices[path] = Chosen(entry, entry.schema.model_validate(params))
        except KeyError as error:
            problems.append(document.problem((*path, "name"), str(error.args[0])))
        except ValidationError as error:
            problems += validation_problems(error, document, path, entry.schema)
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


def fit_together(recipe: Recipe, choices: Choices) -> list[Problem]:
    """Faults that show only when the components are built: without data, and on no device."""
    problems: list[Problem] = []

    def attempt(path: KeyPath, build: Callable[[], Any]) -> Any:
        try:
            return build()
        except Exception as error:  # a plugin's constructor may raise anything; the user sees one sentence
            problems.append(recipe.document.problem(path, _sentence(error)))
            return None

    dataset = attempt(("dataset",), choices["dataset",].build)
    attempt(("latent",), lambda: choices["latent",].build(recipe.latent.dim))
    for path in [("loss",), ("train", "game"), *(p for p in choices if p[0] == "regularizers")]:
        attempt(path, choices[path].build)
    for path in [p for p in choices if p[0] == "callbacks"]:
        attempt(path, lambda p=path: Callbacks([(choices[p].entry.name, choices[p].build())]))  # type: ignore[misc]
    for side in ("generator", "discriminator"):
        attempt(("optimizers", side), lambda s=side: choices["optimizers", s].build([nn.Parameter(torch.zeros(1))]))  # type: ignore[misc]
    if dataset is None:
        return in_order(problems)
    classes = dataset.classes
    if recipe.conditional and classes is None:
        message = f"is true, but dataset '{recipe.dataset.name}' has no labels; use labelled data or conditional: false"
        problems.append(recipe.document.problem(("conditional",), message))
    count = len(classes or ()) or STAND_IN_CLASSES
    image = ImageSpec(*recipe.image.size, dataset.spec.channels, count if recipe.conditional else 0)
    if not 1 <= image.channels <= 4:
        problems.append(recipe.document.problem(("dataset",), f"has {image.channels} channels; gankit takes 1 to 4"))
        return in_order(problems)
    for path in [p for p in choices if p[0] == "augmentations"]:
        attempt(path, lambda p=path: choices[p].build(image))  # type: ignore[misc]
    attempt(("generator",), lambda: _try(lambda: _run_generator(choices, image, recipe.latent.dim)))
    attempt(("discriminator",), lambda: _try(lambda: _run_discriminator(choices, image)))
    return in_order(problems)


def _sentence(error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if isinstance(error, (ValueError, GankitError)) else f"{type(error).__name__}: {text}"


def _try(run: Callable[[], None]) -> None:
    """Run on the meta device, which costs nothing; what fails there is tried on the CPU, which has the last word."""
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        try:
            with torch.device("meta"):
                run()
        except (ValueError, GankitError):
            raise
        except Exception:  # some networks compute with numbers that the meta device does not have
            with torch.device("cpu"):
                run()


def _labels(image: ImageSpec) -> Tensor | None:
    return torch.zeros(2, dtype=torch.int64) if image.classes else None


def _run_generator(choices: Choices, image: ImageSpec, latent_dim: int) -> None:
    network = choices["generator",].build(image, latent_dim)
    images = network(torch.zeros(2, latent_dim), _labels(image))
    wanted = (2, image.channels, image.height, image.width)
    if not isinstance(images, Tensor) or tuple(images.shape) != wanted:
        given = list(images.shape) if isinstance(images, Tensor) else type(images).__name__
        raise ValueError(f"makes {given} of two latents; the recipe's images are {list(wanted)}")


def _run_discriminator(choices: Choices, image: ImageSpec) -> None:
    network = choices["discriminator",].build(image)
    output = network(torch.zeros(2, image.channels, image.height, image.width), _labels(image))
    heads = PlayerTurn._heads(output)
    if not heads or any(head.shape[:1] != (2,) for head in heads):
        raise ValueError(f"makes logits {[list(head.shape) for head in heads]} of two images; the first side must be 2")
