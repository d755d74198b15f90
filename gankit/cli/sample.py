"""``gankit sample``: generate images with a trained generator."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from ..errors import GankitError
from .console import MAX_SEED, DeviceOption, PluginOption, RunOrCheckpoint, make_runtime, output_console, parse_path
from .sample_from_files import sample_from_files
from .sample_options import parse_layers, read_sample_options, require_styles
from .sample_pictures import Request, draw_picture
from .sample_to_files import SampleFormat, sample_to_files

GRID, MAX_COUNT = Path("grid.png"), 1_000_000_000
GRID_SIZE = re.compile(r"([1-9]\d{0,2})x([1-9]\d{0,2})")


def sample(
    source: RunOrCheckpoint,
    options: Annotated[
        list[str] | None,
        Argument(
            metavar="OPTION=VALUE",
            help="Sampling options of the generator, such as truncation=0.7, and labels. An option with several "
            "values, such as truncation=0.3,0.5,0.7, gives one row of images for each.",
        ),
    ] = None,
    count: Annotated[
        int | None,
        Option(
            min=1,
            max=MAX_COUNT,
            help="Number of images (default: 64), or of the images to interpolate between (default: 8). With "
            "--classes, the default is the next multiple of the number of classes.",
        ),
    ] = None,
    seed: Annotated[int, Option(min=0, max=MAX_SEED, help="Random seed. Image i depends on the seed and i only.")] = 0,
    classes: Annotated[
        list[str] | None,
        Option(
            metavar="NAME,...",
            help="Class names or numbers, or all: the same number of images of each class, one class per row without "
            "--grid. Repeatable; a class whose name contains a comma is given alone.",
        ),
    ] = None,
    grid: Annotated[
        str | None,
        Option(metavar="COLUMNSxROWS", help="Columns and rows of a picture, such as 8x4 (default: about square)."),
    ] = None,
    interpolate: Annotated[
        int | None,
        Option(
            min=2,
            max=1_000,
            metavar="STEPS",
            help="Interpolate between images in this many steps: rows of a picture, or frames of a GIF, WebP or MP4. "
            "With --grid, the frames show as many interpolations.",
        ),
    ] = None,
    mix: Annotated[
        str | None,
        Option(
            metavar="LAYERS",
            help="A table of style mixing: each image has the styles of these layers, such as 0-3, of its row's "
            "image, and the others of its column's image. For generators with styles.",
        ),
    ] = None,
    latents: Annotated[
        Path | None,
        Option(
            metavar="FILE",
            parser=parse_path,
            help="Latents or styles from a safetensors file, such as gankit sample and gankit project write.",
        ),
    ] = None,
    directions: Annotated[
        Path | None,
        Option(
            metavar="FILE",
            parser=parse_path,
            help="The directions of direction.NAME=AMOUNT (default: those of the run directory, which gankit "
            "directions finds).",
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
            help="A picture of all images, such as a PNG (default: grid.png), or a GIF, WebP or MP4 of an "
            "interpolation. Or a folder or zip for one file per image, in folders by class, with the latents; an "
            "interrupted command continues when it is run again. With --input, the folder for the generated images.",
        ),
    ] = None,
    format: Annotated[SampleFormat | None, Option(help="Format of single images, without loss (default: png).")] = None,
    device: DeviceOption = "cpu",
    plugin: PluginOption = None,
) -> None:
    """Generate images: as one picture, an animation, or files. Needs neither the recipe nor the data.

    Examples:

      gankit sample results/dcgan_cifar10 --count 64 --seed 0 --out grid.png

      gankit sample results/dcgan_cifar10 --count 50000 --out samples.zip

      gankit sample results/dcgan_cifar10/checkpoints/step-00001000

      gankit sample hub:owner/name

      gankit sample results/dcgan_cifar10_conditional --classes cat,dog --count 16

      gankit sample results/dcgan_cifar10_conditional --count 3 labels=[0,0,7]

      gankit sample results/dcgan_cifar10 --interpolate 24 --out interpolation.gif

      gankit sample results/dcgan_cifar10 --interpolate 24 --grid 4x2 --out interpolation.mp4

      gankit sample results/stylegan2_cifar10 --count 8 truncation=0.3,0.5,0.7,1

      gankit sample results/stylegan2_cifar10 --count 8 direction.3=-2,0,2

      gankit sample results/stylegan2_cifar10 --mix 0-3 --grid 6x4 noise=const --out mixed.png

      gankit sample results/pix2pix_folder --input photos --out translated
    """
    from ..device.find_device import find_device
    from ..sampling.image_grid import is_picture

    path = path or (None if inputs is not None else GRID)
    as_files = path is not None and not is_picture(path)
    ways = {"--input": inputs, "--interpolate": interpolate, "--mix": mix}
    given = [name for name, value in ways.items() if value is not None]
    if len(given) > 1:
        raise GankitError(f"{given[0]} and {given[1]} exclude each other; use one of them")
    others = {"--count": count, "--grid": grid, "--latents": latents, "--format": format}
    if inputs is not None and (extra := [name for name, value in others.items() if value is not None]):
        raise GankitError(f"--input: each image gives one image; remove {extra[0]}")
    if inputs is None and as_files and (extra := [*given, *(["--grid"] if grid else [])]):
        raise GankitError(f"--out {path}: {extra[0]} makes one picture; give it a file name such as picture.png")
    if format is not None and not as_files:
        raise GankitError("--format applies to single images; for a picture, the suffix of --out decides")
    if latents is not None and (count is not None or classes):
        raise GankitError("--latents: the file determines the number of images and their classes")
    size, layers = _parse_grid(grid), parse_layers("--mix", mix)
    request = Request(path or GRID, count, seed, size, interpolate, layers, latents)
    if inputs is None and not as_files:
        request.require_format()

    generator = make_runtime(plugin).load_generator(source, str(find_device(device, "--device")))
    if mix is not None:
        require_styles(generator, f"--mix {mix}")
    chosen = read_sample_options(options or [], classes, generator, interpolate is not None)
    chosen = chosen.with_directions(generator, directions)
    try:
        if inputs is not None:
            done = f"{sample_from_files(generator, inputs, path, seed, chosen)} by"
        elif as_files:
            assert path is not None
            done = sample_to_files(generator, path, count, seed, chosen, format or "png", latents)
        else:
            done = f"{path}: {draw_picture(generator, request, chosen)} of"
    except ValueError as error:
        raise GankitError(f"{generator.checkpoint}: {error}") from None
    output_console().print(f"{done} {generator.checkpoint}, seed {seed}")


def _parse_grid(text: str | None) -> tuple[int, int] | None:
    """Columns and rows."""
    if text is None:
        return None
    if not (found := GRID_SIZE.fullmatch(text.strip().lower())):
        raise GankitError(f"--grid {text}: is not COLUMNSxROWS, such as 8x4")
    return int(found[1]), int(found[2])
