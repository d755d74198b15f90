"""Slower ways to compute, for networks that do not run in the fastest one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from itertools import product
from typing import Any, Literal

import torch
from torch import Tensor, nn

CHOICES = {"memory_format": "contiguous", "precision": "fp32"}


@dataclass(frozen=True)
class ComputeMode:
    """Where a network departs from the fastest way to compute.

    Attributes:
        memory_format: ``contiguous`` for weights and images in torch's standard layout; None for channels_last.
        precision: ``fp32`` instead of bf16 or fp16; None for the precision of the run.
    """

    memory_format: Literal["contiguous"] | None = None
    precision: Literal["fp32"] | None = None

    @classmethod
    def from_record(cls, record: Any) -> ComputeMode:
        """The mode that `record` describes. Raises: ValueError: it describes none."""
        if not isinstance(record, Mapping) or any(CHOICES.get(key) != value for key, value in record.items()):
            raise ValueError(f"{record!r:.80} is not a way to compute; expected any of {CHOICES}")
        return cls(**record)

    @classmethod
    def declared_by(cls, network: nn.Module) -> ComputeMode:
        """The mode that the network's class declares in attributes of these names.

        Networks with `torch.nn.InstanceNorm2d` compute in the contiguous layout: for a batch of one image in
        channels_last, its gradient is wrong (torch 2.14).

        Raises:
            ValueError: an attribute has another value.
        """
        declared = {name: value for name in CHOICES if isinstance(value := getattr(type(network), name, None), str)}
        for name, value in declared.items():
            if value != CHOICES[name]:
                raise ValueError(
                    f"the class {type(network).__name__} declares {name} = {value!r}; the only value is "
                    f"{CHOICES[name]!r}, and without the attribute gankit chooses"
                )
        if any(isinstance(module, nn.InstanceNorm2d) for module in network.modules()):
            declared["memory_format"] = "contiguous"
        return cls(**declared)  # type: ignore[arg-type]

    def record(self) -> dict[str, str]:
        """The mode as JSON data; empty for the fastest."""
        return {f.name: value for f in fields(self) if (value := getattr(self, f.name)) is not None}

    def merged_with(self, other: ComputeMode) -> ComputeMode:
        """The mode with the restrictions of both."""
        return ComputeMode(self.memory_format or other.memory_format, self.precision or other.precision)

    def fallbacks(self, precision: str) -> Iterator[ComputeMode]:
        """This mode, then slower ones, the fastest first, in a run of this precision."""
        precisions = [None, "fp32"] if self.precision is None and precision in ("bf16", "fp16") else [self.precision]
        formats = [None, "contiguous"] if self.memory_format is None else [self.memory_format]
        return (ComputeMode(layout, kind) for kind, layout in product(precisions, formats))  # type: ignore[arg-type]

    def in_layout(self, value: Any) -> Any:
        """A tensor, made contiguous if the network requires that. Other values as they are."""
        return value if self.memory_format is None or not isinstance(value, Tensor) else value.contiguous()


FASTEST = ComputeMode()


def to_channels_last(network: nn.Module) -> None:
    """Store all weights of four dimensions in channels_last layout."""
    for tensor in (*network.parameters(), *network.buffers()):
        if tensor.dim() == 4:
            tensor.data = tensor.data.contiguous(memory_format=torch.channels_last)
