"""The sections of a recipe as pydantic models. The parameters of components are validated later, by registries."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    PositiveFloat,
    PositiveInt,
    field_validator,
    model_validator,
)
from pydantic_core import core_schema

from ..files import user_path
from ..messages import quote
from ..schedule import Scheduled
from ..strict_model import StrictModel
from .located_document import LENGTHS
from .segments import LENGTH_KEYS, SEGMENTS
from .weight_selection import CheckpointActivations, Freeze

Length = Annotated[int, Field(gt=0, lt=2**63)]
DEVICE = r"auto|cpu|mps|cuda(:\d{1,3})?"


class Component(BaseModel):
    """A registered component and its parameters, ``{name: adam, lr: 2e-4}``, or its name alone."""

    model_config = ConfigDict(extra="allow", frozen=True)

    name: Annotated[str, Field(min_length=1)]

    @model_validator(mode="before")
    @classmethod
    def _from_name(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value

    @property
    def params(self) -> dict[str, Any]:
        """The parameters as given in the recipe."""
        return dict(self.model_extra or {})


def matching(pattern: str, meaning: str) -> AfterValidator:
    """Require a string to match ``pattern``; ``meaning`` describes the pattern in the error."""

    def check(value: str) -> str:
        if not re.fullmatch(pattern, value):
            raise ValueError(f"should be {meaning}; got {quote(value)}")
        return value

    return AfterValidator(check)


Side = Annotated[int, Field(ge=1, le=16_384)]


class _SideOrPair:
    """Accepts a pair or one number for both. Validation errors refer only to the form that was given."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        one = core_schema.no_info_after_validator_function(lambda side: (side, side), handler.generate_schema(Side))
        return core_schema.tagged_union_schema(
            {"<one>": one, "<both>": handler(source)},
            discriminator=lambda value: "<both>" if isinstance(value, (list, tuple)) else "<one>",
        )


class Image(StrictModel):
    """The images of the run.

    Attributes:
        size: height and width in pixels; the recipe gives ``[height, width]`` or one number for both.
    """

    size: Annotated[tuple[Side, Side], _SideOrPair()]


class LatentSpec(Component):
    """The distribution of the latents.

    Attributes:
        name: of the distribution.
        dim: the number of dimensions.
    """

    dim: PositiveInt = 100


class Loader(StrictModel):
    """How batches of real images are loaded.

    Attributes:
        batch_size: images per batch, over all processes.
        cache: where decoded images are kept: on the training ``device``, in ``memory``, or ``none`` (they are decoded
            in each epoch). ``auto`` uses the device for up to 1 GiB and memory for up to 4 GiB.
        fit: for images with another aspect ratio than the run's: ``crop`` resizes the short side, then crops; ``pad``
            resizes the long side, then fills the rest with black; ``stretch`` resizes both sides.
        crop: position of the crop if ``fit`` is ``crop``: ``center``, or ``random``, a new position each time an image
            is loaded. Randomly cropped images are not cached.
        flip: mirror real images horizontally with probability 1/2.
        workers: number of processes that decode images if they are not cached; None chooses a number.
        encodings: a folder written by ``gankit data encode``, with the encodings of the recipe's codec. They are then
            cached in place of images.
    """

    batch_size: PositiveInt = 64
    cache: Literal["auto", "device", "memory", "none"] = "auto"
    fit: Literal["crop", "pad", "stretch"] = "crop"
    crop: Literal["center", "random"] = "center"
    flip: bool = False
    workers: Annotated[int, Field(ge=0, le=256)] | None = None
    encodings: Annotated[Path, AfterValidator(user_path)] | None = None

    @model_validator(mode="after")
    def _require_uncached(self) -> Loader:
        if self.crop == "random" and (self.fit != "crop" or self.cache not in ("auto", "none")):
            raise ValueError("crop: random crops each image anew, which needs fit: crop, and cache: auto or none")
        if self.crop == "random" and self.encodings is not None:
            raise ValueError("encodings: they are of center crops; set crop: center, or remove them")
        return self


ADAM = {"name": "adam", "lr": 2e-4, "betas": (0.5, 0.999)}
"""The settings of DCGAN (arXiv 1511.06434), which most recipes use."""


class Optimizers(StrictModel):
    """One optimizer for each network. Parameters without a name change those of the default.

    Attributes:
        generator: the optimizer of G.
        discriminator: the optimizer of D. Games without a discriminator refuse it.
    """

    generator: Component = Component.model_validate(ADAM)
    discriminator: Component | None = Component.model_validate(ADAM)

    @field_validator("generator", "discriminator", mode="before")
    @classmethod
    def _change_default(cls, value: Any) -> Any:
        return {**ADAM, **value} if isinstance(value, Mapping) and "name" not in value else value


class Train(StrictModel):
    """The length of the run and the settings of a step. Exactly one of the first three keys sets the length.

    Attributes:
        epochs: passes over the data.
        steps: training steps.
        images: real images that training uses.
        discriminator_steps: updates of D per step.
        precision: ``auto`` is bf16 where the hardware supports it, otherwise fp32. ``fp16`` is for CUDA devices without
            bf16; it scales the losses, and skips updates whose gradients overflow.
        tf32: on CUDA, run fp32 matrix products and convolutions on tensor cores, in TF32 (10 bits of mantissa instead
            of 23).
        device: the device for training; auto chooses CUDA, MPS or the CPU.
        fresh_fakes: generate new images for G's update instead of reusing those of D's last update.
        joint_pass: run D once on real and generated images together in its turn, instead of once on each. The first
            images that a regularizer such as ``consistency`` passes to D are included. D runs separately if a gradient
            penalty comes first, and with ``compile`` in all turns with regularizers.
        microbatch: split each batch into parts of this many images to save memory; implies fresh_fakes.
        clip_gradient: the maximum norm of a network's gradient.
        compile: run G, D and gradient penalties through ``torch.compile`` in training, on CUDA with CUDA graphs. It
            requires a C++ compiler. Each batch size is compiled in its first step.
        cuda_graphs: on CUDA, record the kernels of each turn as CUDA graphs, which saves the time that Python takes to
            launch them. It requires terms that compute nothing in Python that changes from turn to turn.
        deterministic: refuse operations that are not reproducible bit for bit.
        kernels: ``auto`` uses faster convolutions and a faster spectral norm than torch's (bf16 on the CPU); ``torch``
            does not.
        max_hours: end the run with a checkpoint after the step that exceeds this time. A resumed run has the full time
            again.
        final_checkpoint: write a checkpoint of the last whole step when the run ends, unless it fails during an update.
        game: the training algorithm.
        freeze: patterns of the names of parameters that are not trained, for the generator and the discriminator.
        checkpoint_activations: patterns of the names of modules whose activations the backward computes again, which
            saves memory; for the generator and the discriminator.
    """

    epochs: Length | None = None
    steps: Length | None = None
    images: Length | None = None
    discriminator_steps: PositiveInt = 1
    precision: Literal["auto", "fp64", "fp32", "bf16", "fp16"] = "auto"
    tf32: bool = True
    device: Annotated[
        str,
        matching(DEVICE, "auto, cpu, mps, cuda or cuda:N"),
        Field(json_schema_extra={"pattern": f"^({DEVICE})$"}),
    ] = "auto"
    fresh_fakes: bool = False
    joint_pass: bool = False
    microbatch: PositiveInt | None = None
    clip_gradient: PositiveFloat | None = None
    compile: bool = False
    cuda_graphs: bool = False
    deterministic: bool = False
    kernels: Literal["auto", "torch"] = "auto"
    max_hours: PositiveFloat | None = None
    final_checkpoint: bool = True
    game: Component = Component(name="adversarial")
    freeze: Freeze | None = None
    checkpoint_activations: CheckpointActivations | None = None

    @model_validator(mode="after")
    def _require_one_length(self) -> Train:
        if message := length_problem([length for length in LENGTHS if getattr(self, length) is not None]):
            raise ValueError(message)
        return self

    @model_validator(mode="after")
    def _require_eager(self) -> Train:
        if self.compile and self.checkpoint_activations is not None:
            raise ValueError("checkpoint_activations needs compile: false; remove one of the two")
        if self.compile and self.cuda_graphs:
            raise ValueError("compile uses CUDA graphs itself; remove cuda_graphs")
        if self.cuda_graphs and self.checkpoint_activations is not None:
            raise ValueError(
                "cuda_graphs needs activations that are kept: computed again, they would draw other random numbers; "
                "remove checkpoint_activations or cuda_graphs"
            )
        if self.cuda_graphs and self.precision == "fp16":
            raise ValueError("cuda_graphs needs a precision other than fp16, whose loss scale changes during training")
        return self


def length_problem(given: Sequence[str]) -> str | None:
    """The message if not exactly one training length is given."""
    if len(given) == 1:
        return None
    return f"give exactly one of {', '.join(LENGTHS)}; got {' and '.join(given) or 'none'}"


class EMA(StrictModel):
    """An exponential moving average of G's weights (arXiv 1710.10196), which samples are generated with.

    Attributes:
        half_life_images: the half-life of the average, in real images that training uses.
        ramp_up: limits the half-life to this fraction of the images seen so far; None for no limit. An average that
            ``initialize`` loads has no limit.
    """

    half_life_images: Annotated[Scheduled, Field(ge=0)]
    ramp_up: PositiveFloat | None = 0.05


class Segment(StrictModel):
    """Settings that change during the run.

    Attributes:
        step: after which they change, with a checkpoint there.
        set: the new values by dotted key, such as ``optimizers.generator.lr``, as for overrides.
    """

    step: PositiveInt
    set: Annotated[dict[str, Any], Field(min_length=1)]

    @model_validator(mode="after")
    def _require_settings(self) -> Segment:
        for key, value in self.set.items():
            if not all(key.split(".")) or key.partition(".")[0] in (SEGMENTS, "extends"):
                raise ValueError(f"a segment cannot set {quote(key)}")
            inner = [f"{key}.{name}" for name in value] if isinstance(value, dict) else []
            if lengths := [name for name in (key, *inner) if name in LENGTH_KEYS]:
                raise ValueError(f"a segment cannot set {lengths[0]}; the length belongs to the recipe's `train`")
        return self
