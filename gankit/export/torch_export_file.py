"""Files of `torch.export`: writing a program, and running it again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from .program import Program, quiet

METADATA = "metadata.json"  # an additional file in the archive


def write_torch_export(program: Program, metadata: Mapping[str, str], path: Path) -> None:
    """Write the file."""
    with path.open("wb") as file, quiet():
        torch.export.save(program.traced, file, extra_files={METADATA: json.dumps(dict(metadata))})


class TorchProgram:
    """A program in a file."""

    def __init__(self, path: Path) -> None:
        with path.open("rb") as file, quiet():
            self.module = torch.export.load(file).module()

    def __call__(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """The images of inputs by name."""
        with torch.no_grad():
            images: Tensor = self.module(**inputs)
        return images
