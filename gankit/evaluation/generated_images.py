"""The generated images: those of a checkpoint's generator, or those in a folder."""

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
from .extractor import BATCH, exactly
from .folder_images import FolderImages
from .record import Subject
from .request import Request


class Generated(Protocol):
    """Images that are to be scored.

    Attributes:
        about: them.
        size: height and width.
        options: sampling options that made them, those that are not as the generator has them by itself.
    """

    about: Subject
    size: tuple[int, int]
    options: Mapping[str, Any]

    def batches(self) -> Iterator[Tensor]:
        """All images, uint8 [n c h w]."""


class GeneratedImages:
    """Images of a generator, in batches, each of which is a function of the seed and its number alone.

    Raises:
        GankitError: the request has sampling options that the generator lacks.
    """

    def __init__(self, generator: TrainedGenerator, about: Subject, request: Request) -> None:
        image = generator.image
        self.about, self.size = about, request.sides or (image.height, image.width)
        given = request.options
        self.options: Mapping[str, Any] = _unlike_defaults(generator, given) if given else {}
        self._generator, self._count, self._seed = generator, request.samples, request.seed

    def batches(self) -> Iterator[Tensor]:
        """All images, uint8 [n c h w], of the size of the evaluation."""
        return map(self.batch, range(len(self)))

    def __len__(self) -> int:
        """How many batches there are."""
        return len(range(0, self._count, BATCH))

    def batch(self, number: int) -> Tensor:
        """One of them, whichever were made before."""
        entropy = np.random.SeedSequence(self._seed, spawn_key=(EVALUATE, number))
        seed = int(entropy.generate_state(1, np.uint64)[0] >> 1)
        with exactly():
            images = self._generator.sample(min(BATCH, self._count - number * BATCH), seed, **self.options)
        return resize(images, *self.size)


class ImagesOfFolder(FolderImages):
    """Images in a folder, with what is written down about them."""

    options: Mapping[str, Any] = {}

    def __init__(self, source: Path, channels: int, request: Request) -> None:
        if request.options:
            raise GankitError(f"{source}: images in a folder are there already; leave out {', '.join(request.options)}")
        super().__init__(source, channels, request.samples, request.seed, request.sides)
        self.about = Subject(kind="folder", path=str(source))


def open_generated_images(
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
    opened = Checkpoint.open(checkpoint)
    generator = runtime.load_generator(checkpoint, str(device), ema=request.ema)
    require_channels(str(checkpoint), generator.image.channels, channels, real)
    run = run_of(source)
    about = Subject(
        kind="checkpoint" if source == checkpoint else "run",
        path=str(source),
        run=None if run is None else run.resolve().name,
        checkpoint=checkpoint.name,
        step=opened.step,
        ema=generator.ema,
        weights=opened.sha256_of("generator_ema" if generator.ema else "generator"),
    )
    return GeneratedImages(generator, about, request)


def require_channels(what: str, own: int, others: int, real: str) -> None:
    """Raises: GankitError: ``what`` makes images of other channels than the ``real`` data set's."""
    if own != others:
        raise GankitError(
            f"{what}: makes images of {_channels(own)}, and the real ones ('{real}') have {_channels(others)}; "
            f"name real images of {_channels(own)} with --real"
        )


def checkpoint_of(source: Path) -> Path | None:
    """The checkpoint that ``source`` means; None for a folder of other files. Raises: CheckpointError: neither."""
    if (source / MANIFEST).is_file() or (source / RECIPE).is_file() or (source / CHECKPOINTS).is_dir():
        return find_checkpoint(source)
    if source.is_dir():
        return None
    fault = "is a file" if source.exists() else "no such folder"
    raise CheckpointError(f"{source}: {fault}; name a run directory, a checkpoint or a folder of images")


def run_of(source: Path) -> Path | None:
    """The run directory that ``source`` is, or in which it lies as a checkpoint."""
    candidates = [source, source.absolute().parent.parent] if (source / MANIFEST).is_file() else [source]
    return next((run for run in candidates if (run / RECIPE).is_file()), None)


def _unlike_defaults(generator: TrainedGenerator, options: Mapping[str, Any]) -> dict[str, Any]:
    """The options, but for those that are as the generator has them by itself."""
    known = generator.options.model_fields
    params, problems = validate(generator.options, {name: options[name] for name in options if name in known})
    faults = [f"no sampling option is called '{name}'" for name in options if name not in known]
    faults += [f"sampling option '{problem.path}' {problem.message}" for problem in problems]
    if params is None or faults:
        own = f"this generator has {', '.join(known)}" if known else "this generator has none"
        raise GankitError(f"{generator.checkpoint}: {'; '.join(faults)}; {own}")
    return params.model_dump(mode="json", exclude_defaults=True)


def _channels(count: int) -> str:
    return f"{count} channel{'s' if count != 1 else ''}"
