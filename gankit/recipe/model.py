"""The recipe as a pydantic model. The parameters of components are validated later, by their registries."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    Field,
    NonNegativeInt,
    PrivateAttr,
    model_validator,
)

from ..docstrings import described_names
from ..errors import Problem, RecipeError
from ..strict_model import StrictModel
from . import yaml_with_lines
from .inheritance import read_named_document
from .located_document import LENGTHS, Document, lengths_in
from .sections import EMA, Component, Image, LatentSpec, Loader, Optimizers, Segment, Train, length_problem, matching
from .segments import SEGMENTS, document_at
from .validation import validate
from .weight_selection import Initialize, PathOrInitialize

NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}"


class Recipe(StrictModel):
    """A training run.

    Attributes:
        name: name of the run and of its directory; by default, the name of the recipe's file without its suffix.
        seed: seed of all random numbers.
        image: the images of the run.
        conditional: whether the networks receive class labels.
        latent: the distribution of the latents.
        dataset: the real images.
        loader: how batches of real images are loaded.
        codec: encodes the images; the networks are trained on the encodings, and samples are decoded.
        generator: the network G.
        discriminator: the network D. Games without a discriminator refuse it, and the loss.
        loss: the loss of both networks.
        regularizers: terms added to the loss, such as gradient penalties.
        augmentations: applied to all images that D sees.
        optimizers: one for each network.
        train: the length of the run and the settings of a step.
        ema: an exponential moving average of G's weights.
        callbacks: components that are called during the run; metrics_log and health are part of every run.
        report: whether the run writes its page, report.html (see the callback report).
        initialize: the run or checkpoint whose weights the run starts from, or a mapping that selects them.
        segments: settings that change at a given step.
    """

    name: Annotated[
        str,
        matching(NAME, "up to 100 letters, digits, '.', '_' and '-', beginning with a letter or digit"),
        Field(json_schema_extra={"default": "name of the file", "pattern": f"^{NAME}$"}),
    ]
    seed: Annotated[NonNegativeInt, Field(lt=2**63)] = 0
    image: Image
    conditional: bool = False
    latent: LatentSpec = LatentSpec(name="normal")
    dataset: Component
    loader: Loader = Loader()
    codec: Component | None = None
    generator: Component
    discriminator: Component | None = None
    loss: Component | None = Component(name="bce")
    regularizers: tuple[Component, ...] = ()
    augmentations: tuple[Component, ...] = ()
    optimizers: Optimizers = Optimizers()
    train: Train
    ema: EMA | None = None
    callbacks: tuple[Component, ...] = ()
    report: bool = True
    initialize: PathOrInitialize | None = None
    segments: tuple[Segment, ...] = ()

    _document: Document = PrivateAttr(default_factory=lambda: Document({}))

    @classmethod
    def load(cls, path: str | Path, overrides: Sequence[str] = ()) -> Recipe:
        """Read a YAML file and apply ``KEY=VALUE`` overrides. Raises: RecipeError, with every problem."""
        return cls.from_document(read_named_document(path, overrides))

    @classmethod
    def parse(cls, data: Mapping[str, Any]) -> Recipe:
        """Make a recipe from plain data. Raises: RecipeError, with every problem."""
        return cls.from_document(Document(dict(data)))

    @classmethod
    def from_document(cls, document: Document) -> Recipe:
        """Make a recipe from a document. Raises: RecipeError, with every problem."""
        recipe, problems = cls.attempt(document)
        if recipe is None or problems:
            raise RecipeError(problems)
        return recipe

    @classmethod
    def attempt(cls, document: Document) -> tuple[Recipe | None, list[Problem]]:
        """Make a recipe from a document. Returns: the recipe, or None if it is invalid; and every problem."""
        recipe, problems = validate(cls, document.data, document)
        train = document.data.get("train")
        if recipe is None and isinstance(train, dict) and (message := length_problem(given := lengths_in(train))):
            # pydantic skips this check if other keys of the section are invalid, and reports it without the key
            problems = [problem for problem in problems if problem.message != message]
            problems.append(document.problem(("train", *given[1:2]), message, of_key=True))
        if recipe is not None:
            recipe._document = document
        return recipe, in_order([*document.problems, *problems])

    @model_validator(mode="after")
    def _require_order(self) -> Recipe:
        steps = [segment.step for segment in self.segments]
        if steps != sorted(set(steps)):
            raise ValueError(f"segments should be in the order of their steps, each with another step; got {steps}")
        return self

    def at(self, step: float) -> Recipe:
        """The settings after ``step`` steps: with the segments up to it applied, and the later ones left.

        Raises:
            RecipeError: a segment sets an unknown key or an invalid value.
        """
        return Recipe.from_document(document_at(self._document, step)) if self.segments else self

    @property
    def document(self) -> Document:
        """The document that the recipe was made from, which locates problems."""
        return self._document

    def to_yaml(self) -> str:
        """Format the recipe as YAML, which loads to an equal recipe."""
        data = self.model_dump(mode="json")
        if not self.segments:
            del data[SEGMENTS]
        # games without a discriminator refuse these keys, even with the default as their value
        for holder, section, key in ((self, data, "loss"), (self.optimizers, data["optimizers"], "discriminator")):
            if key not in holder.model_fields_set:
                del section[key]
        if self.codec is None:
            del data["codec"]
        data["train"] = {key: value for key, value in data["train"].items() if key not in LENGTHS or value is not None}
        return yaml_with_lines.write(data)

    def __eq__(self, other: object) -> bool:
        """Whether both have equal content; their files may differ."""
        return isinstance(other, Recipe) and self.model_dump() == other.model_dump()


def sections() -> dict[str, type[BaseModel]]:
    """The sections of a recipe: the keys that have keys of their own."""
    return {
        "image": Image,
        "latent": LatentSpec,
        "loader": Loader,
        "optimizers": Optimizers,
        "train": Train,
        "ema": EMA,
        "initialize": Initialize,
        "segments": Segment,
    }


def attribute_texts(model: type[BaseModel]) -> dict[str, str]:
    """The descriptions of a model's keys, from the section ``Attributes:`` of its docstring."""
    return described_names(inspect.getdoc(model) or "", "Attributes")


def in_order(problems: Iterable[Problem]) -> list[Problem]:
    """Sort problems by file, line and column."""

    def key(problem: Problem) -> tuple[str, int, int]:
        match = re.fullmatch(r"(.*):(\d+):(\d+)", problem.place)
        return (match[1], int(match[2]), int(match[3])) if match else (problem.place, 0, 0)

    return sorted(problems, key=key)
