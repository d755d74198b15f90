"""The base class of what recipes hold: sections, and the parameters of components."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, field_validator

from .files import expand_user_paths


class StrictModel(BaseModel):
    """A mapping of known keys. Paths in it may begin with ``~``."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, validate_default=True)

    @field_validator("*")
    @classmethod
    def _expand_paths(cls, value: Any) -> Any:
        return expand_user_paths(value)
