"""The images to score: of a generator, or of a folder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..data.datasets import spec_of
from ..data.resize import resize
from ..errors import CheckpointError, GankitError
from ..interfaces import Report, no_report
from ..recipe.validation import validate
from ..runs.checkpoint import Checkpoint, find_checkpoint
from ..runs.file_names import CHECKPOINTS, MANIFEST, RECIPE
from ..runs.manifest import read_manifest
from ..runs.resolve_source import ResolvedSource
from ..runs.run_directory import read_record
from ..runtime import Runtime
from ..sampling.sample_inputs import BLOCK, block_seed
from ..sampling.trained_generator import TrainedGenerator
from .extractor import call_component, deterministic_fp32
from .folder_images import FolderImages
from .partners import inputs_of, open_partners
from .real_dataset import RealDataset
from .real_images import RealImages
from .record import EvaluatedSource
from .request import Request


class GeneratedImages:
    """Images of a generator, those of `TrainedGenerator.sample`. Each batch depends only on the seed, the batch's
    number, and its partners.

    Args:
        generator: of the images.
        info: the part of the evaluation record.
        request: the number of images, their size, the seed and the sampling options.
        partners: the real items that images are generated from; None takes those that the run keeps.

    Attributes:
        info: the part of the evaluation record.
        size: height and width in pixels.
        options: sampling options that differ from the generator's defaults.
        partners: the real items of the argument of this name.

    Raises:
        GankitError: the request has a sampling option that the generator lacks.
    """

    def __init__(
        self,
        generator: TrainedGenerator,
        info: EvaluatedSource,
        request: Request,
        partners: RealImages | None = None,
    ) -> None:
        self.info, self.size, self.partners = info, evaluated_size(generator, request), partners
        self.options = _non_default_options(generator, request.options) if request.options else {}
        self._generator, self._count, self._seed = generator, request.count, request.seed

    def batches(self) -> Iterator[Tensor]:
        """All images, uint8 [n c h w], in the size of the evaluation."""
        return map(self.batch, range(self.batch_count))

    @property
    def batch_count(self) -> int:
        """The number of batches."""
        return len(range(0, self._count, BLOCK))

    def batch(self, number: int) -> Tensor:
        """Batch ``number``, uint8 [n c h w]; batches can be generated in any order."""
        generator, name = self._generator, str(self._generator.checkpoint)
        with deterministic_fp32():
            if self.partners is None:
                inputs = generator.draw_block(number, self._count, self._seed)
                images = call_component(name, partial(generator.images, **self.options), inputs)
            else:
                items, seed = inputs_of(generator, self.partners, number), block_seed(self._seed, number)
                images = call_component(name, partial(generator.sample_for, **self.options), items, seed)
        return resize(images, *self.size)


def evaluated_size(generator: TrainedGenerator, request: Request) -> tuple[int, int]:
    """Height and width of the images of an evaluation: the request's, or else the generator's."""
    return request.height_and_width or (generator.image.height, generator.image.width)


EvaluatedImages = GeneratedImages | FolderImages


def open_generated_images(
    runtime: Runtime,
    source: ResolvedSource,
    request: Request,
    real: RealDataset,
    device: torch.device,
    paired_by: str | None = None,
    report: Report = no_report,
) -> EvaluatedImages:
    """The images of a run, a checkpoint or a folder.

    Args:
        runtime: loads the generator.
        source: a run directory, a checkpoint or a folder of images.
        request: how to evaluate.
        real: the real images, which must have the same number of channels.
        device: of the generator.
        paired_by: the name of a metric of pairs, for which images are generated from the real items; None without one.
        report: called with the progress of reading these.

    Raises:
        GankitError: the source does not exist, its images differ from the real ones in the number of channels, or they
            have no real partners.
    """
    checkpoint, run = locate(source.path)
    if checkpoint is None:
        if request.options:
            raise GankitError(
                f"{source}: sampling options do not apply to a folder of images; remove {', '.join(request.options)}"
            )
        channels = spec_of(real.dataset).image.channels
        return FolderImages(source.path, channels, request.count, request.seed, request.height_and_width, real.fit)
    opened = Checkpoint.open(checkpoint)
    generator = runtime.load_generator(opened, str(device), ema=request.ema)
    require_channels(checkpoint, generator.image.channels, real)
    info = EvaluatedSource(
        kind="checkpoint" if source.path == checkpoint else "run",
        path=str(source),
        run=None if run in (None, checkpoint) else run.resolve().name,
        checkpoint=checkpoint.name,
        step=opened.step,
        ema=generator.ema,
        weights=generator.weights,
    )
    partners = None
    if paired_by is not None:
        size = evaluated_size(generator, request)
        partners = open_partners(generator, real, size, request.count, paired_by, report)
    return GeneratedImages(generator, info, request, partners)


def require_channels(source: Path, channels: int, real: RealDataset) -> None:
    """Raises: GankitError: ``source`` generates images with another number of channels than the real images."""
    expected = spec_of(real.dataset).image.channels
    if channels != expected:
        raise GankitError(
            f"{source}: generates images with {_channels(channels)}, but the real images ('{real.name}') have "
            f"{_channels(expected)}; choose real images with {_channels(channels)} with --real"
        )


def locate(source: Path) -> tuple[Path | None, Path | None]:
    """The checkpoint that ``source`` refers to, and the run directory that contains it; None if unknown.

    A folder of images has neither. A checkpoint may have been copied out of its run.

    Raises:
        CheckpointError: ``source`` is not a folder, or a run without checkpoints.
    """
    is_checkpoint = (source / MANIFEST).is_file()
    if is_checkpoint or (source / RECIPE).is_file() or (source / CHECKPOINTS).is_dir():
        if (source / RECIPE).is_file():  # a published checkpoint has one too
            return find_checkpoint(source), source
        above = source.absolute().parent.parent
        in_run = is_checkpoint and (above / RECIPE).is_file() and _belongs_to(source, above)
        return find_checkpoint(source), above if in_run else None
    if source.is_dir():
        return None, None
    fault = "is a file" if source.exists() else "no such folder"
    raise CheckpointError(f"{source}: {fault}; pass a run directory, a checkpoint or a folder of images")


def _belongs_to(checkpoint: Path, run: Path) -> bool:
    """Whether the run has written this checkpoint in one of its folders."""
    started = read_manifest(checkpoint / MANIFEST).get("run")
    if started is None:  # written by 0.1.0, or imported
        return checkpoint.absolute().parent.name == CHECKPOINTS
    return bool(started == read_record(run).get("started_at"))


def _non_default_options(generator: TrainedGenerator, options: Mapping[str, Any]) -> dict[str, Any]:
    """The validated options that differ from the generator's defaults."""
    params, problems = validate(generator.options, options)
    if params is None:
        faults = "; ".join(f"sampling option '{problem.path}': {problem.message}" for problem in problems)
        raise GankitError(f"{generator.checkpoint}: {faults}")
    return params.model_dump(mode="json", exclude_defaults=True)


def _channels(count: int) -> str:
    return f"{count} channel{'s' if count != 1 else ''}"
