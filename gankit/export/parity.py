"""Compares the images of an exported file with those of gankit's own generator."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..errors import GankitError
from ..messages import one_line, truncate
from ..sampling.sample_inputs import SampleInputs
from ..sampling.trained_generator import TrainedGenerator
from .options import ProgramOptions
from .program_inputs import ResizableField, draw_inputs

BATCHES = (1, 3, 8)
MAX_FAULT = 400  # characters


@dataclass(frozen=True)
class Case:
    """A batch of images to compare.

    Attributes:
        drawn: the inputs.
        values: of the options that are inputs of the program.
        options: all sampling options.
    """

    drawn: SampleInputs
    values: Mapping[str, float]
    options: Mapping[str, Any]


def cases(
    generator: TrainedGenerator, options: ProgramOptions, resizable: ResizableField | None = None
) -> Iterator[Case]:
    """Batches of `BATCHES` images, with different seeds, labels, values of options, and sizes of a resizable field."""
    for seed, count in enumerate(BATCHES):
        values = {name: option.values[seed % len(option.values)] for name, option in options.inputs.items()}
        drawn = draw_inputs(generator, count, seed, resizable if seed else None)
        yield Case(drawn, values, {**options.fixed, **values})


def largest_difference(generator: TrainedGenerator, compared: Sequence[Case], run: Callable[[Case], Tensor]) -> float:
    """The largest absolute difference of pixels in [-1, 1] between ``run`` and the generator.

    Raises:
        GankitError: ``run`` fails, or its images have another shape.
    """
    differences = []
    for case in compared:
        own = generator.sampling.generate(generator.module, case.drawn, case.options)
        try:
            other = run(case)
        except Exception as error:  # of many kinds, from torch and ONNX Runtime
            fault = truncate(f"{type(error).__name__}: {one_line(error)}", MAX_FAULT)
            raise GankitError(
                f"{generator.checkpoint}: the exported file cannot generate {len(case.drawn)} images: {fault}"
            ) from error
        if other.shape != own.shape:
            raise GankitError(
                f"{generator.checkpoint}: the exported file generates images {[*other.shape]}; expected {[*own.shape]}"
            )
        is_same = (own == other) | (own.isnan() & other.isnan())
        differences.append((own - other).abs().masked_fill(is_same, 0).max())
    return float(torch.stack(differences).max())
