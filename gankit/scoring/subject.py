"""The generated images: those of a checkpoint's generator, or those in a folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..data.resize import resize
from ..errors import CheckpointError, GankitError
from ..evaluation.extractor import BATCH
from ..evaluation.folder import FolderImages
from ..evaluation.record import Subject
from ..generator import TrainedGenerator, generator_from
from ..runtime import Runtime
from ..training.checkpoint import FOLDER, MANIFEST, Checkpoint, find_checkpoint
from ..training.directory import RECIPE
from .request import Request

EVALUATE = 6  # what a seed is for; the others are in `training.randomness`


class GeneratedImages:
    """Images of a generator, in batches, each of which is a function of the seed and its number alone."""

    def __init__(
        self, generator: TrainedGenerator, about: Subject, count: int, seed: int, size: tuple[int, int] | None
    ) -> None:
        image = generator.image
        self.about, self.size = about, size or (image.height, image.width)
        self._generator, self._count, self._seed = generator, count, seed

    def batches(self) -> Iterator[Tensor]:
        """All images, uint8 [n c h w], of the size of the evaluation."""
        for number, start in enumerate(range(0, self._count, BATCH)):
            entropy = np.random.SeedSequence(self._seed, spawn_key=(EVALUATE, number))
            seed = int(entropy.generate_state(1, np.uint64)[0] >> 1)
            yield resize(self._generator.sample(min(BATCH, self._count - start), seed), *self.size)


class ImagesOfFolder(FolderImages):
    """Images in a folder, with what is written down about them."""

    def __init__(self, source: Path, channels: int, request: Request) -> None:
        super().__init__(source, channels, request.samples, request.seed, request.sides)
        self.about = Subject(kind="folder", path=str(source))


def open_subject(
    runtime: Runtime, source: Path, request: Request, channels: int, real: str, device: torch.device
) -> GeneratedImages | ImagesOfFolder:
    """What is to be evaluated.

    Args:
        channels: of the real images.
        real: their data set's name, for the message.
        device: where a generator runs.

    Raises:
        GankitError: there is no such thing, or its images have other channels.
    """
    checkpoint = checkpoint_of(source)
    if checkpoint is None:
        return ImagesOfFolder(source, channels, request)
    manifest = Checkpoint.open(checkpoint).manifest
    generator = generator_from(runtime, checkpoint, str(device), ema=request.ema)
    if generator.image.channels != channels:
        raise GankitError(
            f"{checkpoint}: makes images of {_channels(generator.image.channels)}, and the real ones ('{real}') have "
            f"{_channels(channels)}; name real images of {_channels(generator.image.channels)} with --real"
        )
    run = run_of(source)
    about = Subject(
        kind="checkpoint" if source == checkpoint else "run",
        path=str(source),
        run=None if run is None else run.resolve().name,
        checkpoint=checkpoint.name,
        step=int(manifest["step"]),
        ema=generator.ema,
        weights=str(manifest["files"]["generator_ema.safetensors" if generator.ema else "generator.safetensors"]),
    )
    return GeneratedImages(generator, about, request.samples, request.seed, request.sides)


def checkpoint_of(source: Path) -> Path | None:
    """The checkpoint that ``source`` means; None for a folder of other files. Raises: CheckpointError: neither."""
    if (source / MANIFEST).is_file() or (source / RECIPE).is_file() or (source / FOLDER).is_dir():
        return find_checkpoint(source)
    if source.is_dir():
        return None
    fault = "is a file" if source.exists() else "no such folder"
    raise CheckpointError(f"{source}: {fault}; name a run directory, a checkpoint or a folder of images")


def run_of(source: Path) -> Path | None:
    """The run directory that ``source`` is, or in which it lies as a checkpoint."""
    candidates = [source, source.absolute().parent.parent] if (source / MANIFEST).is_file() else [source]
    return next((run for run in candidates if (run / RECIPE).is_file()), None)


def _channels(count: int) -> str:
    return f"{count} channel{'s' if count != 1 else ''}"
