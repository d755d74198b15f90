"""``gankit project``: find the latents whose images are most like given pictures."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from typer import Argument, Option

from ..errors import GankitError
from .console import MAX_SEED, PluginOption, RunOrCheckpoint, make_runtime, make_table, output_console, parse_path
from .sample_options import parse_class, read_sample_options, require_styles
from .task_progress import TaskProgress

if TYPE_CHECKING:
    from torch import Tensor

    from ..sampling.projection import Projection, Projector
    from ..sampling.trained_generator import TrainedGenerator

Space = Literal["z", "w", "w+"]
RESULTS = (".png", ".gif", ".safetensors")


def project(
    source: RunOrCheckpoint,
    pictures: Annotated[
        list[str],
        Argument(
            metavar="PICTURE... [OPTION=VALUE]...",
            help="Image files, then sampling options. Pictures are cropped and resized to the generator's image size.",
        ),
    ],
    out: Annotated[
        Path, Option(metavar="FOLDER", parser=parse_path, help="The folder for the results.", show_default=True)
    ] = Path("projected"),
    space: Annotated[
        Space | None,
        Option(
            help="Where to search: the latents z; w, one style for all layers; or w+, one style for each layer "
            "(default: w+ for generators with styles, otherwise z)."
        ),
    ] = None,
    steps: Annotated[int, Option(min=1, max=100_000, help="Number of steps of the search.")] = 500,
    class_name: Annotated[
        str | None,
        Option("--class", metavar="NAME", help="Class of the pictures (default: that of the most similar samples)."),
    ] = None,
    pixels: Annotated[
        bool,
        Option("--pixels", help="Compare pixels only, without the perceptual distance of EfficientNet-Lite0."),
    ] = False,
    pixel_weight: Annotated[
        float, Option(min=0.0, help="Weight of the mean squared pixel difference, added to the perceptual distance.")
    ] = 10.0,
    seed: Annotated[int, Option(min=0, max=MAX_SEED, help="Random seed.")] = 0,
    plugin: PluginOption = None,
) -> None:
    """Find the latents of a generator whose images are most similar to given pictures (arXiv 1912.04958, appendix D).

    For each picture, writes the image, its latents (NAME.safetensors, for gankit sample --latents), the settings and
    the similarity (NAME.json), and a GIF. The GIF shows the course of the search next to the picture.

    Examples:

      gankit project results/stylegan2_cifar10 cat.png dog.png --out projected

      gankit project results/dcgan_cifar10 cat.png --steps 1000 --pixels

      gankit sample results/stylegan2_cifar10 --latents projected/cat.safetensors noise=const
    """
    from ..sampling.projection import Projector

    words = [word for word in pictures if "=" in word and not _names_file(word)]
    files = [parse_path(word) for word in pictures if word not in words]
    if not files:
        raise GankitError("name at least one picture, before the options")
    if len({file.stem.casefold() for file in files}) < len(files):
        raise GankitError("the names of the pictures must differ without their suffixes, as they name the results")
    inputs = {file.resolve() for file in files}
    for result in (out / f"{file.stem}{suffix}" for file in files for suffix in RESULTS):
        if result.resolve() in inputs:
            raise GankitError(f"--out {out}: the result {result.name} would replace a picture; choose another folder")
    generator = make_runtime(plugin).load_generator(source)
    if space not in (None, "z"):
        require_styles(generator, f"--space {space}")
    targets = {file: _read(file, generator) for file in files}
    chosen = read_sample_options(words, None, generator, taken={"seed": "--seed", "steps": "--steps"})
    if chosen.sweep is not None or chosen.labels is not None or chosen.amounts:
        raise GankitError("give each sampling option one value, the class with --class, and no directions")
    label = None if class_name is None else parse_class(class_name, generator)
    if space is None:
        space = "w+" if generator.has_styles() else "z"
    try:
        distance = None if pixels else _perceptual_distance(generator)
        if not math.isfinite(pixel_weight):
            raise ValueError(f"--pixel-weight should be a finite number; got {pixel_weight}")
        if pixels and not pixel_weight:
            raise ValueError("--pixel-weight 0 with --pixels compares nothing; choose a larger weight")
        projector = Projector(generator, space, distance, pixel_weight, steps, seed, chosen.options)
    except ValueError as error:
        raise GankitError(f"{generator.checkpoint}: {error}") from None
    rows = []
    for number, (file, target) in enumerate(targets.items(), start=1):
        with TaskProgress() as progress:
            found = projector(target, label, partial(_report, progress, f"{file.name} ({number}/{len(targets)})"))
        record = _record(file, found, generator, projector)
        _write(out, file.stem, found, target, record)
        rows.append(record)
    distances = ["distance"] if not pixels else []
    cells = [
        [
            row["picture"],
            "exact" if row["psnr"] is None else f"{row['psnr']:.2f} dB",
            *([f"{row['distance']:.4f}"] if distances else []),
        ]
        for row in rows
    ]
    console = output_console()
    console.print(make_table(cells, ["picture", "psnr", *distances], right=["psnr", "distance"]))
    console.print(
        f"{out}: {len(rows)} picture{'s' if len(rows) > 1 else ''} projected into {space} of {generator.checkpoint}"
    )


def _names_file(word: str) -> bool:
    from ..data.files.image_formats import IMAGE_SUFFIXES

    return Path(word).exists() or word.lower().endswith(IMAGE_SUFFIXES)


def _report(progress: TaskProgress, name: str, _: str, done: int, total: int) -> None:
    progress.report(name, done, total)


def _read(file: Path, generator: TrainedGenerator) -> Tensor:
    """The picture, uint8 [c h w], in the size of the generator. Raises: GankitError: it cannot be used."""
    from ..data.files.decoding import DecodeError
    from ..files import open_regular, read_failure
    from ..sampling.pictures import read_target

    try:
        with open_regular(file) as opened:
            return read_target(opened, generator.image)
    except DecodeError as error:
        raise GankitError(f"{file}: {error}") from None
    except FileNotFoundError:
        raise GankitError(f"{file}: does not exist") from None
    except OSError as error:
        raise GankitError(read_failure(file, error)) from None


def _perceptual_distance(generator: TrainedGenerator) -> Any:
    """Raises: GankitError: a package is missing. ValueError: the images have other channels."""
    from ..networks.perceptual_distance import PerceptualDistance

    if generator.image.channels not in (1, 3):
        raise ValueError(f"the perceptual distance takes 1 or 3 channels, not {generator.image.channels}; add --pixels")
    return PerceptualDistance("gankit project without --pixels").requires_grad_(False)


def _write(out: Path, name: str, found: Projection, target: Tensor, record: Mapping[str, Any]) -> None:
    from ..files import write_text
    from ..sampling.image_grid import save_animation, save_image, to_pillow
    from ..sampling.latent_files import save_latents

    about = {"weights": str(record["weights"]), "seed": str(record["seed"])}
    save_latents(found.inputs, out / f"{name}.safetensors", about)
    save_image(to_pillow(found.image.permute(1, 2, 0)), out / f"{name}.png", "PNG")
    save_animation(found.frames(target), out / f"{name}.gif", frames_a_second=10)
    write_text(out / f"{name}.json", json.dumps(record, indent=2) + "\n")


def _record(file: Path, found: Projection, generator: TrainedGenerator, projector: Projector) -> dict[str, Any]:
    """How the picture was projected, and how similar the result is."""
    labels, classes = found.inputs.labels, generator.classes
    return {
        "picture": str(file),
        "psnr": found.psnr if math.isfinite(found.psnr) else None,
        "distance": found.distance,
        "class": None if labels is None or classes is None else classes[int(labels[0])],
        "checkpoint": str(generator.checkpoint),
        "weights": generator.weights,
        "space": projector.space,
        "steps": projector.steps,
        "seed": projector.seed,
        "pixel_weight": projector.pixel_weight,
        "options": projector.options,
    }
