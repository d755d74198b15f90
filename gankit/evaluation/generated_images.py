"""The images to score: of a generator, or of a folder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from ..data.resize import resize
from ..device.seeding import EVALUATE
from ..errors import CheckpointError, GankitError
from ..recipe.validation import validate
from ..runs.checkpoint import Checkpoint, find_checkpoint
from ..runs.file_names import CHECKPOINTS, MANIFEST, RECIPE
from ..runtime import Runtime
from ..sampling.trained_generator import TrainedGenerator
from .extractor import BATCH, deterministic_fp32
from .folder_images import FolderImages
from .record import EvaluatedSource
from .request import Request


class EvaluatedImages(Protocol):
    """Images to score.

    Attributes:
        info: where they come from.
        size: height and width in pixels.
        options: sampling options that differ from the generator's defaults.
    """

    info: EvaluatedSource
    size: tuple[int, int]
    options: Mapping[str, Any]

    def batches(self) -> Iterator[Tensor]:
        """All images, uint8 [n c h w]."""


class GeneratedImages:
    """Images of a generator. Each batch depends only on the seed and the batch's number.

    Raises:
        GankitError: the request has a sampling option that the generator lacks.
    """

    def __init__(self, generator: TrainedGenerator, info: EvaluatedSource, request: Request) -> None:
        image = generator.image
        self.info, self.size = info, request.height_and_width or (image.height, image.width)
        given = request.options
        self.options: Mapping[str, Any] = _non_default_options(generator, given) if given else {}
        self._generator, self._count, self._seed = generator, request.samples, request.seed

    def batches(self) -> Iterator[Tensor]:
        """All images, uint8 [n c h w], in the size of the evaluation."""
        return map(self.batch, range(len(self)))

    def __len__(self) -> int:
        """The number of batches."""
        return len(range(0, self._count, BATCH))

    def batch(self, number: int) -> Tensor:
        """Batch ``number``, uint8 [n c h w]; batches can be generated in any order."""
        entropy = np.random.SeedSequence(self._seed, spawn_key=(EVALUATE, number))
        seed = int(entropy.generate_state(1, np.uint64)[0] >> 1)
        with deterministic_fp32():
            images = self._generator.sample(min(BATCH, self._count - number * BATCH), seed, **self.options)
        return resize(images, *self.size)


def open_generated_images(
    runtime: Runtime, source: Path, request: Request, channels: int, real: str, device: torch.device
) -> EvaluatedImages:
    """The images of a run, a checkpoint or a folder.

    Args:
        runtime: loads the generator.
        source: a run directory, a checkpoint or a folder of images.
        request: how to evaluate.
        channels: of the real images.
        real: name of the real images' dataset, for error messages.
        device: of the generator.

    Raises:
        GankitError: the source does not exist, or its images differ from the real ones in the number of channels.
    """
    checkpoint = checkpoint_of(source)
    if checkpoint is None:
        if request.options:
            raise GankitError(
                f"{source}: sampling options do not apply to a folder of images; remove {', '.join(request.options)}"
            )
        return FolderImages(source, channels, request.samples, request.seed, request.height_and_width)
    opened = Checkpoint.open(checkpoint)
    generator = runtime.load_generator(checkpoint, str(device), ema=request.ema)
    require_channels(str(checkpoint), generator.image.channels, channels, real)
    run = run_of(source)
    info = EvaluatedSource(
        kind="checkpoint" if source == checkpoint else "run",
        path=str(source),
        run=None if run is None else run.resolve().name,
        checkpoint=checkpoint.name,
        step=opened.step,
        ema=generator.ema,
        weights=opened.sha256_of("generator_ema" if generator.ema else "generator"),
    )
    return GeneratedImages(generator, info, request)


def require_channels(source: str, generated: int, expected: int, real: str) -> None:
    """Raises: GankitError: ``source`` generates images with another number of channels than dataset ``real``."""
    if generated != expected:
        raise GankitError(
            f"{source}: generates images with {_channels(generated)}, but the real images ('{real}') have "
            f"{_channels(expected)}; choose real images with {_channels(generated)} with --real"
        )


def checkpoint_of(source: Path) -> Path | None:
    """The checkpoint that ``source`` refers to; None if it is a folder of other files.

    Raises:
        CheckpointError: it is not a folder.
    """
    if (source / MANIFEST).is_file() or (source / RECIPE).is_file() or (source / CHECKPOINTS).is_dir():
        return find_checkpoint(source)
    if source.is_dir():
        return None
    fault = "is a file" if source.exists() else "no such folder"
    raise CheckpointError(f"{source}: {fault}; pass a run directory, a checkpoint or a folder of images")


def run_of(source: Path) -> Path | None:
    """The run directory that ``source`` is, or that contains it as a checkpoint."""
    candidates = [source, source.absolute().parent.parent] if (source / MANIFEST).is_file() else [source]
    return next((run for run in candidates if (run / RECIPE).is_file()), None)


def _non_default_options(generator: TrainedGenerator, options: Mapping[str, Any]) -> dict[str, Any]:
    """The validated options that differ from the generator's defaults."""
    known = generator.options.model_fields
    params, problems = validate(generator.options, {name: options[name] for name in options if name in known})
    faults = [f"there is no sampling option '{name}'" for name in options if name not in known]
    faults += [f"sampling option '{problem.path}' {problem.message}" for problem in problems]
    if params is None or faults:
        own = f"this generator has {', '.join(known)}" if known else "this generator has none"
        raise GankitError(f"{generator.checkpoint}: {'; '.join(faults)}; {own}")
    return params.model_dump(mode="json", exclude_defaults=True)


def _channels(count: int) -> str:
    return f"{count} channel{'s' if count != 1 else ''}"
