"""Parameters that change during training, such as learning rates, betas, penalty weights and probabilities."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler, NonNegativeInt, PositiveInt
from pydantic_core import core_schema


class Schedule(BaseModel):
    """A ramp from ``start`` to ``end`` over ``over_images`` real images; constant before and afterwards.

    The ramp begins after ``after_images`` real images, by default with the first one.

    It satisfies a bound such as ``ge=0`` if both of its ends do, because it is monotonic.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    start: float
    end: float
    over_images: PositiveInt
    after_images: NonNegativeInt = 0
    shape: Literal["linear", "cosine"] = "linear"

    def at(self, images: int) -> float:
        """The value after D has seen ``images`` real images."""
        done = min(1.0, max(0, images - self.after_images) / self.over_images)
        if self.shape == "cosine":
            done = (1 - math.cos(math.pi * done)) / 2
        return self.start + (self.end - self.start) * done

    def __ge__(self, bound: float) -> bool:
        return min(self.start, self.end) >= bound

    def __gt__(self, bound: float) -> bool:
        return min(self.start, self.end) > bound

    def __le__(self, bound: float) -> bool:
        return max(self.start, self.end) <= bound

    def __lt__(self, bound: float) -> bool:
        return max(self.start, self.end) < bound


@dataclass(frozen=True)
class _NumberOrSchedule:
    """Accepts a number or a `Schedule`. Validation errors refer only to the form that was given."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        return core_schema.tagged_union_schema(
            {"<number>": handler(source), "<schedule>": handler.generate_schema(Schedule)},
            discriminator=lambda value: "<schedule>" if isinstance(value, (Mapping, Schedule)) else "<number>",
        )


Scheduled = Annotated[float, _NumberOrSchedule()]
"""A parameter that is a number or ``{start:, end:, over_images:, after_images:, shape: linear|cosine}`` in the recipe.

The component is built with the initial number. It must keep it in an attribute with the name of the parameter, which
gankit keeps at the current value.
"""


def has_schedule(value: Any) -> bool:
    """Whether a validated parameter is or contains a `Schedule`."""
    if isinstance(value, Schedule):
        return True
    if isinstance(value, BaseModel):
        return any(has_schedule(getattr(value, name)) for name in type(value).model_fields)
    if isinstance(value, Mapping):
        return any(map(has_schedule, value.values()))
    return isinstance(value, (tuple, list)) and any(map(has_schedule, value))


def at_images(value: Any, images: int) -> Any:
    """The parameter with each `Schedule` in it replaced by its value after ``images`` real images."""
    if isinstance(value, Schedule):
        return value.at(images)
    if not has_schedule(value):
        return value
    if isinstance(value, BaseModel):
        changed = {name: at_images(getattr(value, name), images) for name in type(value).model_fields}
        return value.model_copy(update=changed)
    if isinstance(value, Mapping):
        return {key: at_images(item, images) for key, item in value.items()}
    return type(value)(at_images(item, images) for item in value)
