"""Compares held-out data with the data that it stands for."""

from __future__ import annotations

import gankit


def require_same_fields(spec: gankit.DataSpec, held_out: gankit.DataSpec) -> None:
    """Raises: ValueError: the held-out data has other fields, or images of other channels or another scale."""
    if (found := _described(held_out)) != (expected := _described(spec)):
        raise ValueError(f"the held-out data has the fields {found}; expected those of the training data, {expected}")


def _described(spec: gankit.DataSpec) -> str:
    return ", ".join(
        f"{name} ({field.channels} channels{f', scale {field.scale:g}' if field.scale != 1 else ''})"
        if isinstance(field, gankit.ImageSpec)
        else f"{name} ({field.size} numbers)"
        for name, field in sorted(spec.items())
    )
