"""Export a trained generator as a file, after comparing the file with gankit's own generator."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from ..errors import GankitError
from ..files import output_file
from ..messages import did_you_mean, quote
from ..runs.checkpoint import Checkpoint, find_checkpoint
from ..runs.file_names import MANIFEST
from ..runs.resolve_source import resolve_source
from ..runtime import Runtime
from ..sampling.trained_generator import TrainedGenerator
from .metadata import describe
from .onnx_file import OnnxProgram, require_packages, write_onnx
from .options import choose_options
from .parity import Case, cases, largest_difference
from .program import Program, program_inputs, trace
from .safetensors_file import load_safetensors, write_safetensors
from .torch_export_file import TorchProgram, write_torch_export

SUFFIXES = {"safetensors": ".safetensors", "torch-export": ".pt2", "onnx": ".onnx"}
TOLERANCE = 1e-4


@dataclass(frozen=True)
class Exported:
    """An exported file.

    Attributes:
        path: the file.
        checkpoint: that it was exported from.
        ema: whether it has the weights of the EMA.
        difference: the largest absolute difference of its images, in [-1, 1], from those of gankit.
        shapes: those of the inputs of a program and of its ``images``, with letters for dynamic sizes.
        fixed: the sampling options of a program that are not inputs.
    """

    path: Path
    checkpoint: Path
    ema: bool
    difference: float
    shapes: Mapping[str, tuple[int | str, ...]] = field(default_factory=dict)
    fixed: Mapping[str, Any] = field(default_factory=dict)


def export(
    source: str | Path,
    path: str | Path,
    format: str,
    options: Mapping[str, Any] | None = None,
    tolerance: float = TOLERANCE,
    runtime: Runtime | None = None,
) -> Exported:
    """Write a trained generator as a file that other programs run or load without gankit.

    The file is compared with gankit's own generator, and written only if their images agree.

    Args:
        source: a run directory (its newest checkpoint), a checkpoint, ``hub:owner/name`` or ``builtin:NAME``.
        path: the file to write, in an existing folder.
        format: ``onnx`` or ``torch-export`` for a program, ``safetensors`` for the weights.
        options: values of sampling options that a program is fixed to, by name. Other options whose default is a number
            become inputs of the program if possible. The value ``input`` makes any option that takes numbers an input.
        tolerance: the largest absolute difference of images in [-1, 1].
        runtime: with the components; None creates one with the installed plugins.

    Raises:
        GankitError: an argument is invalid, a package is missing, the generator cannot be exported or differs from the
            file, or the file cannot be written.
    """
    path, options = Path(path), options or {}
    _require_valid(path, format, options, tolerance)
    checkpoint = Checkpoint.open(find_checkpoint(resolve_source(source).path))
    runtime = runtime or Runtime()
    generator = runtime.load_generator(checkpoint)
    chosen = choose_options(generator, options)
    program = None if format == "safetensors" else trace(generator, chosen)
    metadata = describe(checkpoint, generator, program)
    with output_file(path) as temporary:
        if program is None:
            write_safetensors(generator, metadata, temporary)
            run = _run_weights(generator, temporary, runtime)
        else:
            chosen = program.options
            run = _run_program(generator, program, _write_program(format, program, metadata, temporary))
        resizable = None if program is None else program.resizable
        difference = largest_difference(generator, [*cases(generator, chosen, resizable)], run)
        if not difference <= tolerance:
            raise GankitError(
                f"{path}: not written: its images differ from those of gankit by up to {difference:.2g}, more than "
                f"the tolerance of {tolerance:g}"
            )
    shapes, fixed = ({}, {}) if program is None else (program.shapes, program.options.fixed)
    return Exported(path, generator.checkpoint, generator.ema, difference, shapes, fixed)


def _require_valid(path: Path, format: str, options: Mapping[str, Any], tolerance: float) -> None:
    """Raises: GankitError: an argument is invalid, or a package is missing."""
    if format not in SUFFIXES:
        raise GankitError(f"--format {quote(format)}: unknown format{did_you_mean(format, SUFFIXES)}")
    if path.suffix.lower() != SUFFIXES[format]:
        given = f"has the suffix {path.suffix}" if path.suffix else "has no suffix"
        raise GankitError(f"{path}: {given}; a file in the format {format} has the suffix {SUFFIXES[format]}")
    if not path.parent.is_dir():
        raise GankitError(f"{path}: {path.parent} is not an existing folder; create it first")
    if path.is_dir():
        raise GankitError(f"{path}: is a folder; give the name of a file")
    if (path.parent / MANIFEST).is_file():
        raise GankitError(f"{path}: is in the folder of a checkpoint, which stays as it is; choose another folder")
    if not tolerance > 0:
        raise GankitError(f"--tolerance {tolerance:g}: must be above 0")
    if format == "safetensors" and options:
        raise GankitError(
            f"--format safetensors: stores weights, which have no sampling options; remove {next(iter(options))}"
        )
    if format == "onnx":
        require_packages()


def _write_program(
    format: str, program: Program, metadata: Mapping[str, str], path: Path
) -> OnnxProgram | TorchProgram:
    """Write a program, and read it again."""
    if format == "onnx":
        write_onnx(program, metadata, path)
        return OnnxProgram(path)
    write_torch_export(program, metadata, path)
    return TorchProgram(path)


def _run_program(
    generator: TrainedGenerator, program: Program, written: OnnxProgram | TorchProgram
) -> Callable[[Case], Tensor]:
    return lambda case: written(program_inputs(generator, case.drawn, program.options, case.values))


def _run_weights(generator: TrainedGenerator, path: Path, runtime: Runtime) -> Callable[[Case], Tensor]:
    data = generator.sampling.data
    assert data is not None  # of a checkpoint
    network = load_safetensors(path, runtime.registries, data)
    return lambda case: generator.sampling.generate(network, case.drawn, case.options)
