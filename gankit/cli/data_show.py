"""``gankit data show``: show what the images of a dataset are like."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

from ..messages import counted, listed
from .console import Overrides, PluginOption, make_runtime, make_table, output_console, parse_path
from .data_source import open_data
from .task_progress import TaskProgress

if TYPE_CHECKING:
    from ..data.survey import ImageFacts, Survey

SIDE = 128  # pixels of an example, without a recipe
MAX_GROUPS = 3  # of duplicates that are named


def show(
    source: Annotated[
        Path, Argument(metavar="SOURCE", parser=parse_path, help="A folder or zip of images, or a recipe.")
    ],
    overrides: Overrides = None,
    out: Annotated[
        Path | None,
        Option(metavar="FILE", parser=parse_path, help="Write examples to this image, a row for each class."),
    ] = None,
    plugin: PluginOption = None,
) -> None:
    """Show how many images a dataset has, their classes, sizes, color modes and formats, and the unusual ones.

    Every image is decoded. Damaged files are listed and left out.

    Examples:

      gankit data show photos

      gankit data show photos.zip --out examples.png

      gankit data show recipes/dcgan_cifar10.yaml dataset.split=test
    """
    from ..data.datasets import classes_of, describe_dataset
    from ..data.examples import example_images
    from ..data.survey import survey
    from ..sampling.image_grid import require_image_format, save_grid

    if out is not None:
        require_image_format(out)
    with TaskProgress() as progress:
        data = open_data(make_runtime(plugin), source, overrides or (), progress.report)
        found = survey(data.dataset, progress.report)
    console, described = output_console(), describe_dataset(data.dataset)
    console.print(f"{source}: {described.summary if described else counted(len(data.dataset), 'image')}")
    labels = [image.label for image in found.images]
    if classes := classes_of(data.dataset):
        counts = Counter(labels)
        rows = [(name, f"{counts[label]:,}") for label, name in enumerate(classes)]
        console.print(make_table(rows, ("class", "images"), right=("images",)))
    console.print(make_table([*_facts(found.images), *_unusual(found, data.dataset)]))
    if out is not None:
        images, columns = example_images(data.dataset, labels, data.size or (SIDE, SIDE), data.fit)
        save_grid(images, out, columns)
        console.print(f"examples: {out}")


def _facts(images: list[ImageFacts]) -> Iterator[tuple[str, str]]:
    """Sizes, color modes and formats."""
    for title, values in (
        ("width", [image.width for image in images]),
        ("height", [image.height for image in images]),
        ("aspect ratio", [image.width / image.height for image in images]),
    ):
        shown = [f"{value:.4g}" if title == "aspect ratio" else f"{value:,g}" for value in _spread(values)]
        yield title, shown[0] if len({*shown}) == 1 else "min {}, median {}, max {}".format(*shown)
    yield "color modes", _counts(image.mode for image in images)
    if any(image.format for image in images):
        yield "formats", _counts(image.format for image in images)


def _unusual(found: Survey, dataset: Any) -> Iterator[tuple[str, str]]:
    """Damaged and ignored files; extreme sizes, nearly black images and duplicates."""
    if (scan := getattr(dataset, "scan", None)) is not None:
        for title, files in (("damaged", scan.faults), ("ignored", scan.ignored)):
            yield title, _named([f"{name} ({reason})" for name, reason in files.items()])
    yield "extreme sizes", _named([f"{name} ({width} x {height})" for name, (height, width) in found.extreme.items()])
    yield "nearly black", _named(found.nearly_black)
    groups = found.duplicates
    more = f"; and {len(groups) - MAX_GROUPS:,} more groups" if len(groups) > MAX_GROUPS else ""
    shown = "; ".join(listed(names) for names in groups[:MAX_GROUPS])
    count = sum(len(names) - 1 for names in groups)
    yield "duplicates", f"{count:,}: {shown}{more}" if groups else "none"


def _spread(values: list[Any]) -> tuple[float, float, float]:
    return min(values), median(values), max(values)


def _counts(values: Iterable[str]) -> str:
    return ", ".join(f"{value} {count:,}" for value, count in Counter(values).most_common())


def _named(names: list[str]) -> str:
    return f"{len(names):,}: {listed(names)}" if names else "none"
