"""The data of a run in the manifest of its checkpoints."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from ..interfaces import DataSpec, ImageSpec, VectorSpec
from ..interfaces.data_spec import IMAGE

BOUNDS = {"height": (1, 16_384), "width": (1, 16_384), "channels": (1, 4), "classes": (0, 1_000_000)}
MAX_FIELDS, MAX_VECTOR = 100, 1_000_000


def describe_data(data: DataSpec) -> dict[str, Any]:
    """The entries ``image`` and, if there are further fields, ``fields`` of a manifest."""
    fields = {name: _describe(spec) for name, spec in data.items() if name != IMAGE}
    return {"image": _describe(data.image)} | ({"fields": fields} if fields else {})


def read_data(manifest: Mapping[str, Any]) -> DataSpec:
    """The data that `describe_data` has described. Raises: ValueError, TypeError, KeyError: the entries are invalid."""
    fields = manifest.get("fields", {})
    if not isinstance(fields, Mapping) or len(fields) > MAX_FIELDS:
        raise ValueError("fields are not a mapping of a few names")
    image = _read(manifest["image"])
    if not isinstance(image, ImageSpec):
        raise ValueError("image is not the description of images")
    specs: dict[str, Any] = {str(name): _read(description) for name, description in fields.items()}
    return DataSpec(image=image, **specs)


def _describe(spec: ImageSpec | VectorSpec) -> dict[str, Any]:
    return {name: value for name, value in asdict(spec).items() if name != "scale"}


def _read(description: Any) -> ImageSpec | VectorSpec:
    """A spec from an untrusted file. Raises: ValueError or TypeError: it is invalid."""
    if isinstance(description, Mapping) and set(description) == {"size"}:
        size = description["size"]
        if type(size) is not int or not 1 <= size <= MAX_VECTOR:
            raise ValueError(f"a vector has the size {size!r}, not 1 to {MAX_VECTOR}")
        return VectorSpec(size)
    spec = ImageSpec(**description)
    for name, (low, high) in BOUNDS.items():
        value = getattr(spec, name)
        if not isinstance(value, int) or not low <= value <= high:
            raise ValueError(f"image.{name} is {value!r}, not {low} to {high}")
    if spec.scale != 1:
        raise ValueError(f"image.scale is {spec.scale!r}, not 1")
    return spec
