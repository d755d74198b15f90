"""The recipe: what a run is made of, as checked data.

This file knows the structure; what a component's parameters mean is its registry's to say (`gankit.runtime`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    PrivateAttr,
    model_serializer,
    model_validator,
)
from pydantic_core import core_schema

from ..errors import Problem, RecipeError
from ..schedule import Scheduled
from . import yaml_with_lines
from .inheritance import read_document
from .located_document import LENGTHS, Document, lengths_in
from .validation import validate

DEVICE = r"auto|cpu|mps|cuda(:\d{1,3})?"


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, validate_default=True)


class Component(BaseModel):
    """A registered component and its parameters, ``{name: adam, lr: 2e-4}``, or its name alone."""

    model_config = ConfigDict(extra="allow", frozen=True)

    name: Annotated[str, Field(min_length=1)]

    @model_validator(mode="before")
    @classmethod
    def _name_alone(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value

    @property
    def params(self) -> dict[str, Any]:
        """The parameters, as given."""
        return dict(self.model_extra or {})

    @model_serializer
    def _flat(self) -> dict[str, Any]:
        return {"name": self.name, **self.params}


def _matching(pattern: str, meaning: str) -> AfterValidator:
    """A text of this pattern; the error says what it means."""

    def check(value: str) -> str:
        if not re.fullmatch(pattern, value):
            raise ValueError(f"should be {meaning}; got {value!r}")
        return value

    return AfterValidator(check)


Side = Annotated[int, Field(ge=1, le=16_384)]


class _OneForBoth:
    """Lets a pair be given as the one number that both are; an error speaks of the form that was meant."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        one = core_schema.no_info_after_validator_function(lambda side: (side, side), handler.generate_schema(Side))
        return core_schema.tagged_union_schema(
            {"<one>": one, "<both>": handler(source)},
            discriminator=lambda value: "<both>" if isinstance(value, (list, tuple)) else "<one>",
        )


class Image(_Section):
    """``size``: one side, or [height, width], in pixels."""

    size: Annotated[tuple[Side, Side], _OneForBoth()]


class LatentSpec(Component):
    """The latents' distribution and how many dimensions it has."""

    dim: PositiveInt = 100

    @model_serializer
    def _flat(self) -> dict[str, Any]:
        return {"name": self.name, "dim": self.dim, **self.params}


class Loader(_Section):
    """How real images reach the game.

    Attributes:
        batch_size: images a turn, over all processes.
        cache: where the decoded set is kept: on the training ``device``, in ``memory``, or nowhere (``none``: decoded
            again each epoch); ``auto`` takes the first of these for a set of up to 1 GiB and the second for up to 4.
        flip: mirror half of the real images.
        workers: processes that decode where nothing is cached; None chooses.
    """

    batch_size: PositiveInt = 64
    cache: Literal["auto", "device", "memory", "none"] = "auto"
    flip: bool = False
    workers: Annotated[int, Field(ge=0, le=256)] | None = None


class Optimizers(_Section):
    """One optimizer a network."""

    generator: Component
    discriminator: Component


class Train(_Section):
    """How long and how to train: exactly one of ``epochs``, ``steps`` (updates of G) and ``images`` (reals shown to D).

    Attributes:
        discriminator_steps: D's turns for each of G's.
        precision: ``auto`` is bf16 where the hardware computes it, else fp32.
        tf32: on CUDA, let fp32's products and convolutions run on the tensor cores, which round to 10 bits of mantissa
            (TF32); false computes with all 23.
        fresh_fakes: draw new fakes for G's turn in place of the last that D saw.
        microbatch: split each batch into parts of this size, to save memory; implies fresh fakes.
        clip_gradient: the largest norm of a network's gradient.
        compile: run G, D and gradient penalties through ``torch.compile`` while training, on CUDA as CUDA graphs. It
            needs a C++ compiler, and the first steps take as long as compiling does, once for each size of batch.
        deterministic: refuse operations that do not repeat bit for bit.
        kernels: ``auto`` takes faster convolutions than torch's where there are (in bf16 on the CPU), ``torch`` none.
        max_hours: end, with a checkpoint, after the step in which training has gone on for so long; a resumed run has
            as long again.
        game: the rules of a step.
    """

    epochs: PositiveInt | None = None
    steps: PositiveInt | None = None
    images: PositiveInt | None = None
    discriminator_steps: PositiveInt = 1
    precision: Literal["auto", "fp64", "fp32", "bf16"] = "auto"
    tf32: bool = True
    device: Annotated[str, _matching(DEVICE, "auto, cpu, mps, cuda or cuda:N")] = "auto"
    fresh_fakes: bool = False
    microbatch: PositiveInt | None = None
    clip_gradient: PositiveFloat | None = None
    compile: bool = False
    deterministic: bool = False
    kernels: Literal["auto", "torch"] = "auto"
    max_hours: PositiveFloat | None = None
    game: Component = Component(name="adversarial")

    @model_validator(mode="after")
    def _one_length(self) -> Train:
        if fault := length_fault([length for length in LENGTHS if getattr(self, length) is not None]):
            raise ValueError(fault)
        return self


def length_fault(given: Sequence[str]) -> str | None:
    """What is wrong with the training lengths given, if anything is."""
    if len(given) == 1:
        return None
    said = f"{' and '.join(given)} are given" if given else "none is given"
    return f"give exactly one of {', '.join(LENGTHS)}; {said}"


class EMA(_Section):
    """An exponential moving average of G (arXiv 1710.10196), which samples are then drawn from.

    Attributes:
        half_life_images: real images after which a weight counts half.
        ramp_up: early on, the half-life is at most this share of the images seen; None for no ramp.
    """

    half_life_images: Annotated[Scheduled, Field(ge=0)]
    ramp_up: PositiveFloat | None = 0.05


class Recipe(_Section):
    """A whole training run. Built by `load` or `parse`, which say where each fault stands."""

    name: Annotated[str, _matching(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", "up to 100 letters, digits, '.', '_' and '-'")]
    seed: Annotated[NonNegativeInt, Field(lt=2**63)] = 0
    image: Image
    conditional: bool = False
    latent: LatentSpec = LatentSpec(name="normal")
    dataset: Component
    loader: Loader = Loader()
    generator: Component
    discriminator: Component
    loss: Component
    regularizers: tuple[Component, ...] = ()
    augmentations: tuple[Component, ...] = ()
    optimizers: Optimizers
    train: Train
    ema: EMA | None = None
    callbacks: tuple[Component, ...] = ()
    initialize: Path | None = None

    _document: Document = PrivateAttr(default_factory=lambda: Document({}))

    @classmethod
    def load(cls, path: str | Path, overrides: Sequence[str] = ()) -> Recipe:
        """The recipe in a YAML file, with ``KEY=VALUE`` overrides. Raises: RecipeError with every fault found."""
        return cls.from_document(read_document(path, overrides))

    @classmethod
    def parse(cls, data: Mapping[str, Any]) -> Recipe:
        """The recipe in plain data. Raises: RecipeError."""
        return cls.from_document(Document(dict(data)))

    @classmethod
    def from_document(cls, document: Document) -> Recipe:
        """The recipe in a document. Raises: RecipeError."""
        recipe, problems = cls.attempt(document)
        if recipe is None or problems:
            raise RecipeError(problems)
        return recipe

    @classmethod
    def attempt(cls, document: Document) -> tuple[Recipe | None, list[Problem]]:
        """The recipe, if the structure holds, and every fault of it."""
        recipe, faults = validate(cls, document.data, document)
        train = document.data.get("train")
        if recipe is None and isinstance(train, dict) and (fault := length_fault(given := lengths_in(train))):
            # said here, since pydantic stops at the faults of the section's keys, and of the key that is one too many
            faults = [problem for problem in faults if problem.message != fault]
            faults.append(document.problem(("train", *given[1:2]), fault, of_key=True))
        if recipe is not None:
            recipe._document = document
        return recipe, in_order([*document.problems, *faults])

    @property
    def document(self) -> Document:
        """Where everything stands, for messages."""
        return self._document

    def to_yaml(self) -> str:
        """The recipe as YAML that loads to an equal recipe."""
        data = self.model_dump(mode="json")
        data["train"] = {key: value for key, value in data["train"].items() if key not in LENGTHS or value is not None}
        return yaml_with_lines.write(data)

    def __eq__(self, other: object) -> bool:
        """Whether both say the same, wherever they were read."""
        return isinstance(other, Recipe) and self.model_dump() == other.model_dump()

    def __hash__(self) -> int:
        return hash(self.to_yaml())


def in_order(problems: Iterable[Problem]) -> list[Problem]:
    """Problems in the order of the file, those of one file together."""

    def key(problem: Problem) -> tuple[str, int, int]:
        match = re.fullmatch(r"(.*):(\d+):(\d+)", problem.place)
        return (match[1], int(match[2]), int(match[3])) if match else (problem.place, 0, 0)

    return sorted(problems, key=key)
