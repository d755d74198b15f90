"""``gankit data pack``: write the images of a folder or zip into a zip of one size and format."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal

from typer import Argument, Option

from ..errors import GankitError
from ..messages import counted, quote
from .console import interruptible, make_runtime, output_console, parse_path
from .data_source import open_files
from .task_progress import TaskProgress

MAX_SIDE = 16_384  # pixels, as in a recipe
DISTANCE = 4  # bits of perceptual hashes
MAX_DROPPED = 20  # duplicates that are named


def pack(
    source: Annotated[Path, Argument(metavar="SRC", parser=parse_path, help="A folder or zip of images.")],
    destination: Annotated[Path, Argument(metavar="DEST.zip", parser=parse_path, help="The zip to write.")],
    size: Annotated[
        str | None,
        Option(metavar="N|WxH", help="Size in pixels, 64 or 64x48 (default: that of each image)."),
    ] = None,
    fit: Annotated[
        Literal["crop", "pad", "stretch"], Option(help="For images of another aspect ratio, as loader.fit.")
    ] = "crop",
    format: Annotated[
        Literal["png", "webp", "jpeg"], Option(help="Of the images. WebP is lossless without --quality.")
    ] = "png",
    quality: Annotated[
        int | None, Option(min=1, max=100, help="Quality of JPEG (default: 95) or of lossy WebP.")
    ] = None,
    deduplicate: Annotated[
        bool, Option("--deduplicate", help="Leave out images that look like an earlier one.")
    ] = False,
    distance: Annotated[
        int | None,
        Option(
            min=0,
            max=64,
            help=f"For --deduplicate: maximum number of different bits of perceptual hashes (default: {DISTANCE}).",
        ),
    ] = None,
    labels: Annotated[
        Path | None,
        Option(metavar="FILE", parser=parse_path, help="A CSV file with lines image,label, as for image_folder."),
    ] = None,
    channels: Annotated[
        int, Option(min=1, max=4, help="1 grayscale, 2 grayscale and alpha, 3 RGB, 4 RGB and alpha.")
    ] = 3,
    on_error: Annotated[
        Literal["refuse", "skip"], Option(help="Treatment of damaged files; skipped ones are recorded.")
    ] = "refuse",
    force: Annotated[bool, Option("--force", help="Replace DEST.zip if it exists.")] = False,
) -> None:
    """Pack a folder or zip of images into a zip of class folders, which the dataset image_folder reads.

    Images are decoded and resized as in training, so a run on the zip of a lossless format sees the same pixels. The
    same command writes the same bytes. dataset.json in the zip has the labels, and the source and SHA-256 of each file.

    Examples:

      gankit data pack photos photos64.zip --size 64

      gankit data pack photos photos.zip --size 128x96 --format webp --quality 90 --deduplicate

      gankit run recipes/dcgan_image_folder.yaml dataset.path=photos64.zip
    """
    from ..data.packing.pack import Packing
    from ..data.packing.pack import pack as write_zip

    _require_usable(source, destination, force)
    if quality is not None and format == "png":
        raise GankitError("--quality: PNG is lossless; remove it, or add --format webp or jpeg")
    if distance is not None and not deduplicate:
        raise GankitError("--distance: it is for --deduplicate; add --deduplicate, or remove it")
    limit = None if not deduplicate else DISTANCE if distance is None else distance
    runtime = make_runtime(None)
    with interruptible(f"; {destination} was not written"), TaskProgress() as progress:
        params = {"channels": channels, "on_error": on_error, "labels": labels}
        dataset = open_files(runtime, source, progress.report, **params)
        packing = Packing(None if size is None else _parse_size(size), fit, format, quality, limit)
        packed = write_zip(dataset, destination, packing, progress.report)
    console = output_console()
    console.print(f"{destination}: {counted(packed.count, 'image')}, {destination.stat().st_size:,} bytes")
    if dataset.skipped:
        console.print(f"skipped: {counted(len(dataset.skipped), 'damaged file')}, listed in its dataset.json")
    if deduplicate:
        console.print(f"dropped: {counted(len(packed.dropped), 'duplicate')}, listed in its dataset.json")
        for image in packed.dropped[:MAX_DROPPED]:
            console.print(f"  {image['source']} is like {image['duplicate_of']} (distance {image['distance']})")
        if len(packed.dropped) > MAX_DROPPED:
            console.print(f"  and {len(packed.dropped) - MAX_DROPPED:,} more")


def _require_usable(source: Path, destination: Path, force: bool) -> None:
    """Raises: GankitError: the zip has another suffix, exists, or would be part of its own source."""
    if destination.suffix.lower() != ".zip":
        raise GankitError(f"{destination}: should be the name of a zip, such as {destination.stem or 'images'}.zip")
    target = destination.resolve()
    if target == source.resolve():
        raise GankitError(f"{destination}: is the source itself; choose another name")
    if source.is_dir() and target.is_relative_to(source.resolve()):
        raise GankitError(f"{destination}: is inside the source {source}; choose a place outside of it")
    if destination.is_dir() or (destination.exists() and not force):
        advice = "choose another name" if destination.is_dir() else "choose another name, or replace it with --force"
        raise GankitError(f"{destination}: exists; {advice}")


def _parse_size(text: str) -> tuple[int, int]:
    """Height and width of ``64`` or ``64x48`` (width x height). Raises: GankitError: it is something else."""
    found = re.fullmatch(r"(\d{1,5})(?:x(\d{1,5}))?", text)
    width, height = (int(found[1]), int(found[2] or found[1])) if found else (0, 0)
    if not (1 <= width <= MAX_SIDE and 1 <= height <= MAX_SIDE):
        raise GankitError(
            f"--size: {quote(text)} is not a size; give a number of pixels, or WIDTHxHEIGHT, such as 64x48"
        )
    return height, width
