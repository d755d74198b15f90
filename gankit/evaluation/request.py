"""What is asked of an evaluation, and the components that its names mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import torch

from ..assembly.selection import select
from ..device.find_device import find_device
from ..errors import GankitError, Problem, RecipeError
from ..messages import did_you_mean
from ..recipe.located_document import Document, KeyPath
from ..recipe.model import Component, Recipe
from ..recipe.overrides import apply_overrides
from ..recipe.validation import validate
from ..registry import Registries, Selected

PRECISION = "fp32"


@dataclass(frozen=True)
class Request:
    """How to evaluate. Two runs evaluated by one request have comparable scores, if it names the real images too.

    Attributes:
        metrics: names.
        features: the extractor's name.
        params: of these components: a mapping such as ``{"kid": {"subset_size": 500}}``, or ``KEY=VALUE`` words such as
            ``kid.subset_size=500``.
        samples: generated images.
        real_samples: real ones; None for as many as there are generated ones. All where there are fewer.
        seed: of the generated images, or of the choice among a folder's.
        real: the data set with the real images, as data or as YAML; None for the run's own.
        recipe: a recipe whose data set it is; for images that belong to no run.
        size: one side or (height, width) to bring both to first; None leaves the generated ones as they are.
        device: ``auto``, ``cpu``, ``mps``, ``cuda`` or ``cuda:N``.
        ema: use the averaged weights, where there are any.
        options: sampling options of the generator, such as ``{"truncation": 0.7}``.

    Raises:
        GankitError: a number out of its range.
    """

    metrics: Sequence[str]
    features: str
    params: Sequence[str] | Mapping[str, Mapping[str, Any]] = ()
    samples: int = 10_000
    real_samples: int | None = None
    seed: int = 0
    real: str | Mapping[str, Any] | None = None
    recipe: Path | None = None
    size: int | tuple[int, int] | None = None
    device: str = "auto"
    ema: bool = True
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        sides = self.sides or (1, 1)
        counts = {"samples": self.samples, "real_samples": self.real_samples, "size": min(sides)}
        for name, value in counts.items():
            if value is not None and value < 1:
                raise GankitError(f"{name} is a whole number from 1 on; got {value}")
        if not 0 <= self.seed < 2**63:
            raise GankitError(f"seed is a whole number from 0 to 2^63 - 1; got {self.seed}")

    @property
    def sides(self) -> tuple[int, int] | None:
        """Height and width, where a size is asked for."""
        return (self.size, self.size) if isinstance(self.size, int) else self.size

    def find_device(self) -> torch.device:
        """Where to compute. Raises: GankitError: there is no such device."""
        return find_device(self.device, "--device")


class Scorers(NamedTuple):
    """The components that a request names."""

    metrics: Sequence[Selected]
    features: Selected


def select_scorers(registries: Registries, request: Request) -> Scorers:
    """The metrics and the extractor. Raises: RecipeError with every fault of their names and parameters."""
    given = request.params
    document = Document(dict(given) if isinstance(given, Mapping) else {})
    if not isinstance(given, Mapping):
        apply_overrides(document, given)
    names = list(dict.fromkeys(request.metrics))
    problems = list(document.problems)
    if not names:
        known = ", ".join(entry.name for entry in registries.metrics)
        problems.append(Problem("", "metrics", f"none is named; known: {known}"))
    for key in document.data:
        if key not in (*names, request.features):
            hint = did_you_mean(str(key), (*names, request.features))
            problems.append(document.problem((key,), f"no metric and no features of this evaluation{hint}"))
    chosen = []
    for registry, name in (*((registries.metrics, name) for name in names), (registries.features, request.features)):
        if name not in registry:
            problems.append(Problem("", registry.kind, registry.unknown(name)))
            continue
        selected, faults = select(registry, name, document.data.get(name, {}), document, (name,))
        problems += faults
        if selected is not None:
            chosen.append(selected)
    if problems:
        raise RecipeError(problems)
    return Scorers(chosen[:-1], chosen[-1])


def names_with_logits(registries: Registries) -> list[str]:
    """Names of the extractors that have logits, as far as their classes tell."""
    return [entry.name for entry in registries.features if hasattr(entry.factory, "logits")]


def select_real(registries: Registries, request: Request, run_recipe: Path | None, what: str) -> Selected:
    """The data set of the real images: the one that is named, a recipe's, or the run's own.

    Args:
        run_recipe: the recipe of the run that is evaluated, if it is one.
        what: is evaluated, for the message.

    Raises:
        GankitError: none is named, or what is named cannot be.
    """
    if request.real is not None:
        document, path = Document({}), ("real",)
        if isinstance(request.real, str):
            apply_overrides(document, [f"real={request.real}"])
        else:
            document.data["real"] = dict(request.real)
        component, problems = validate(Component, document.data.get("real"), document, path)
        problems = document.problems or problems
    elif (file := request.recipe or run_recipe) is not None:
        recipe = Recipe.load(file)
        document, path, component, problems = recipe.document, ("dataset",), recipe.dataset, []
    else:
        raise GankitError(
            f"{what} does not say what the real images are; name their data set, such as "
            "--real '{name: cifar10, split: test}', or a recipe with --recipe"
        )
    if component is None or problems:
        raise RecipeError(problems)
    return select_dataset(registries, component, document, path)


def select_dataset(registries: Registries, component: Component, document: Document, path: KeyPath) -> Selected:
    """The dataset that a component of a document names. Raises: RecipeError: it does not exist."""
    selected, problems = select(registries.datasets, component.name, component.params, document, path)
    if selected is None:
        raise RecipeError(problems)
    return selected
