"""``gankit sample``: generate images with a trained generator."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

from ..errors import GankitError
from ..messages import did_you_mean, quote
from .console import PluginOption, RunOrCheckpoint, make_runtime, output_console, parse_path
from .sample_from_files import sample_from_files

if TYPE_CHECKING:
    from torch import Tensor

    from ..sampling.trained_generator import TrainedGenerator

DEFAULT_IMAGES, DEFAULT_LATENTS = 64, 8  # of a grid, and of an interpolation
GRID = "grid.png"


def sample(
    source: RunOrCheckpoint,
    options: Annotated[
        list[str] | None,
        Argument(metavar="OPTION=VALUE", help="Sampling options of the generator, such as truncation=0.7, and labels."),
    ] = None,
    count: Annotated[
        int | None,
        Option(
            min=1,
            max=10_000,
            help=f"Number of images (default: {DEFAULT_IMAGES}) or of latents (default: {DEFAULT_LATENTS}).",
        ),
    ] = None,
    seed: Annotated[int, Option(min=0, help="Random seed; the same seed gives the same images.")] = 0,
    classes: Annotated[
        list[str] | None,
        Option(
            metavar="NAME,...",
            help="Class names or numbers, or all: the same number of images of each class, one class per row. "
            "Repeatable; a class whose name contains a comma is given alone.",
        ),
    ] = None,
    interpolate: Annotated[
        int | None,
        Option(
            min=2,
            max=1_000,
            metavar="STEPS",
            help="Interpolate between latents in this many steps: rows of a PNG, or frames of a GIF.",
        ),
    ] = None,
    inputs: Annotated[
        Path | None,
        Option(
            "--input",
            metavar="FILE|FOLDER",
            parser=parse_path,
            help="Generate an image from each of these images, of any size, for a generator that takes images.",
        ),
    ] = None,
    path: Annotated[
        Path | None,
        Option(
            "--out",
            metavar="FILE|FOLDER",
            parser=parse_path,
            help=f"Image file, such as a PNG or JPEG (default: {GRID}), or a GIF for an interpolation; with --input, "
            "the folder for the generated images, which keep their names.",
        ),
    ] = None,
    plugin: PluginOption = None,
) -> None:
    """Generate a grid of images, or interpolate between latents. Needs neither the recipe nor the data.

    Examples:

      gankit sample results/dcgan_cifar10 --count 64 --seed 0 --out grid.png

      gankit sample results/dcgan_cifar10/checkpoints/step-00001000

      gankit sample hub:owner/name

      gankit sample results/dcgan_cifar10_conditional --classes cat,dog --count 16

      gankit sample results/dcgan_cifar10_conditional --count 3 labels=[0,0,7]

      gankit sample results/dcgan_cifar10 --interpolate 8 --out rows.png

      gankit sample results/dcgan_cifar10 --interpolate 24 --out interpolation.gif

      gankit sample results/pix2pix_folder --input photos --out translated
    """
    from ..sampling.image_grid import require_image_format

    if inputs is not None:
        if given := [f"--{name}" for name, value in (("count", count), ("interpolate", interpolate)) if value]:
            raise GankitError(f"--input: each image gives one image; remove {given[0]}")
        generator = make_runtime(plugin).load_generator(source)
        selected, _ = _select_options(options or [], classes, generator, 1, False)
        done = sample_from_files(generator, inputs, path, seed, selected)
        output_console().print(f"{done} by {generator.checkpoint}, seed {seed}")
        return
    path = path or Path(GRID)
    animated = path.suffix.lower() == ".gif"
    if animated and interpolate is None:
        raise GankitError(f"--out {path}: a GIF shows an interpolation; add --interpolate 24, or write a PNG")
    require_image_format(path, animated)
    generator = make_runtime(plugin).load_generator(source)
    count = count or (DEFAULT_IMAGES if interpolate is None else DEFAULT_LATENTS)
    selected, columns = _select_options(options or [], classes, generator, count, interpolate is not None)
    try:
        if interpolate is None:
            _save(generator.sample(count, seed, **selected), path, columns)
            content = f"{count} images"
        else:
            _save(generator.interpolate(count, interpolate, seed, **selected), path, interpolate)
            content = f"interpolation of {count} latents, {interpolate} steps each,"
    except ValueError as error:
        raise GankitError(f"{generator.checkpoint}: {error}") from None
    output_console().print(f"{path}: {content} of {generator.checkpoint}, seed {seed}")


def _select_options(
    words: list[str], classes: list[str] | None, generator: TrainedGenerator, count: int, interpolates: bool
) -> tuple[dict[str, Any], int | None]:
    """The generator's options, and the number of columns that puts each class on rows of its own.

    Args:
        words: ``OPTION=VALUE``.
        classes: values of ``--classes``.
        generator: has the options and classes.
        count: number of images or latents.
        interpolates: whether the images are those of an interpolation, which has ``steps`` of its own.

    Returns:
        The options with labels, and the columns; None where the grid has its usual shape.
    """
    from ..recipe.overrides import read_options

    selected = read_options(words)
    own_steps = "steps" in generator.options.model_fields and not interpolates
    if taken := sorted({"count", "seed", *(() if own_steps else ("steps",))} & set(selected)):
        instead = "--interpolate" if taken[0] == "steps" else f"--{taken[0]}"
        raise GankitError(f"command line: {taken[0]}: is not a sampling option; use {instead}")
    if not classes:
        return selected, None
    if "labels" in selected:
        raise GankitError("command line: labels and --classes both choose the classes; use one of them")
    labels = _parse_classes(classes, generator.classes)
    if count < len(labels):
        raise GankitError(f"--count {count}: is less than the number of classes, {len(labels)}")
    selected["labels"] = [labels[index * len(labels) // count] for index in range(count)]
    return selected, count // len(labels) if len(labels) > 1 and count % len(labels) == 0 else None


def _parse_classes(values: list[str], classes: tuple[str, ...] | None) -> list[int]:
    """The labels of class names, class numbers and comma-separated lists of them.

    Raises:
        GankitError: a class is unknown.
    """
    if classes is None:
        raise GankitError("--classes: this generator is unconditional; remove --classes")
    lists = ([value] if value in classes else value.split(",") for value in values)  # a name may contain a comma
    words = [word if word in classes else word.strip() for words in lists for word in words]
    if words == ["all"] and "all" not in classes:
        return list(range(len(classes)))
    numbers = [*map(str, range(len(classes)))]
    labels = []
    for word in words:
        if word in classes:
            labels.append(classes.index(word))
        elif word in numbers:
            labels.append(numbers.index(word))
        else:
            raise GankitError(f"--classes: unknown class {quote(word)}{did_you_mean(word, classes)}")
    return labels


def _save(images: Tensor, path: Path, columns: int | None) -> None:
    """Write a grid of images [n c h w], or an interpolation [n s c h w] with s steps as a grid or an animation."""
    from ..sampling.image_grid import make_grid, save_animation, save_grid

    flat = images.flatten(0, 1) if images.dim() == 5 else images
    if path.suffix.lower() == ".gif":
        save_animation([make_grid(image[None]) for image in flat], path)
    else:
        save_grid(flat, path, columns)
