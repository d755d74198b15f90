"""``gankit sample --out FOLDER``: one file per image."""

from __future__ import annotations

import hashlib
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ..errors import GankitError
from ..files import open_regular
from ..messages import counted
from .console import interruptible
from .sample_options import SampleOptions
from .sample_pictures import draw_from_file
from .task_progress import TaskProgress

if TYPE_CHECKING:
    from ..sampling.trained_generator import TrainedGenerator

SampleFormat = Literal["png", "webp"]
DEFAULT_IMAGES = 64


def sample_to_files(
    generator: TrainedGenerator,
    out: Path,
    count: int | None,
    seed: int,
    chosen: SampleOptions,
    format: SampleFormat,
    latents: Path | None,
) -> str:
    """Write the images. Returns what was done, for the user.

    Raises:
        GankitError: the folder has other content or cannot be written, or an option makes one picture only.
    """
    from ..sampling.sample_files import SampleFiles

    if chosen.sweep is not None:
        raise GankitError(f"{chosen.sweep[0]} has several values, which make one picture; give --out an image's name")
    given = None if latents is None else draw_from_file(generator, latents, seed, chosen)
    count = len(given) if given is not None else count or chosen.default_count(DEFAULT_IMAGES)
    if chosen.labels is not None and len(chosen.labels) != count:
        raise GankitError(f"labels: {len(chosen.labels)} are given for {count} images")
    labels = chosen.labels if chosen.classes is None else chosen.classes
    chosen.labels_of(count)  # refuses fewer images than classes
    about: dict[str, Any] = {
        "checkpoint": generator.checkpoint.name,
        "weights": generator.weights,
        "ema": generator.ema,
    }
    if chosen.directions is not None:
        about["directions"] = {"amounts": chosen.amounts, "sha256": chosen.directions.sha256()}
    if latents is not None:
        with open_regular(latents) as file:
            about["latents"] = hashlib.file_digest(file, "sha256").hexdigest()
    move = partial(chosen.move, generator) if given is None else None
    files = SampleFiles(generator, count, seed, labels, chosen.options, format, about, given, move)
    with interruptible("; run the same command again to continue"), TaskProgress() as progress:
        files.write(out, progress.report)
    return f"{out}: {counted(count, 'image')} of"
