"""The metadata of an exported file: names with JSON values that describe the generator."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from .. import __version__
from ..runs.checkpoint import Checkpoint
from ..sampling.trained_generator import TrainedGenerator
from .program import Program

# entries of a checkpoint's manifest; the others belong to the training, or to the machine that it ran on
RECORDED = ("generator", "latent", "image", "fields", "classes", "game", "codec", "step", "images", "imported")


def describe(checkpoint: Checkpoint, generator: TrainedGenerator, program: Program | None) -> dict[str, str]:
    """The metadata of a file.

    Args:
        checkpoint: that the generator was loaded from.
        generator: the trained generator.
        program: whose inputs and options are recorded; None for a file of weights.

    Returns:
        JSON by name: the entries of the manifest that describe the generator; ``gankit``, the version; ``weights``, the
        name and the SHA-256 of their file in the checkpoint; and ``inputs`` and ``options`` of a program.
    """
    name = generator.saved_as
    found: dict[str, Any] = {key: checkpoint.manifest[key] for key in RECORDED if key in checkpoint.manifest}
    found |= {"gankit": __version__, "weights": {"name": name, "sha256": checkpoint.sha256_of(name)}}
    if program is not None:
        defaults = {option: about.default for option, about in program.options.inputs.items()}
        inputs = {name: list(shape) for name, shape in program.shapes.items() if name != "images"}
        found |= {"inputs": inputs, "options": {"fixed": dict(program.options.fixed), "inputs": defaults}}
    return {key: json.dumps(value, default=str) for key, value in found.items()}


def read(metadata: Mapping[str, str], names: tuple[str, ...] = RECORDED) -> dict[str, Any]:
    """Entries of the metadata of a file by name."""
    return {name: json.loads(metadata[name]) for name in names if name in metadata}
