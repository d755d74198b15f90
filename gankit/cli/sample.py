"""``gankit sample``: pictures from a trained generator."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .console import PluginOption, make_runtime, out

if TYPE_CHECKING:
    from torch import Tensor

    from ..sampling.trained_generator import TrainedGenerator

PICTURES, LATENTS = 64, 8  # in a grid, and to walk over


def sample(
    source: Annotated[
        Path, typer.Argument(metavar="RUN_DIR|CHECKPOINT", help="A run directory or a checkpoint.", show_default=False)
    ],
    options: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="OPTION=VALUE",
            help="The network's sampling options, such as truncation=0.7, and labels.",
            show_default=False,
        ),
    ] = None,
    count: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=10_000,
            help=f"How many pictures, {PICTURES} if not given; or latents to walk over, {LATENTS}.",
            show_default=False,
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="The same pictures for the same seed.")] = 0,
    classes: Annotated[
        str | None,
        typer.Option(
            metavar="NAME,...",
            help="Of these classes only, by names or numbers, or of all; as many pictures of each, and a row a class.",
            show_default=False,
        ),
    ] = None,
    interpolate: Annotated[
        int | None,
        typer.Option(
            min=2,
            max=1_000,
            metavar="STEPS",
            help="Walk from latent to latent in so many steps: a row each of a PNG, or frames of a GIF.",
            show_default=False,
        ),
    ] = None,
    path: Annotated[Path, typer.Option("--out", help="The file to write: PNG, or GIF for a walk.")] = Path("grid.png"),
    plugin: PluginOption = None,
) -> None:
    """Draw a grid of pictures, or a walk through the latents; needs neither the recipe nor the data.

    Examples:

      gankit sample results/dcgan_cifar10 --count 64 --seed 0 --out grid.png

      gankit sample results/dcgan_cifar10/checkpoints/step-00001000

      gankit sample results/dcgan_cifar10_conditional --classes cat,dog --count 16

      gankit sample results/dcgan_cifar10_conditional --count 3 labels=[0,0,7]

      gankit sample results/dcgan_cifar10 --interpolate 8 --out rows.png

      gankit sample results/dcgan_cifar10 --interpolate 24 --out walk.gif
    """
    from ..errors import GankitError

    animated = path.suffix.lower() == ".gif"
    if animated and interpolate is None:
        raise GankitError(f"--out {path}: a GIF shows a walk through the latents: add --interpolate 24, or write a PNG")
    if not animated and path.suffix.lower() != ".png":
        raise GankitError(f"--out {path}: pictures are written as .png, a walk as .png or .gif")
    generator = make_runtime(plugin).load_generator(source)
    count = count or (PICTURES if interpolate is None else LATENTS)
    chosen, columns = _chosen(options or [], classes, generator, count)
    try:
        if interpolate is None:
            _save(generator.sample(count, seed, **chosen), path, columns)
            done = f"{count} pictures"
        else:
            rows = generator.interpolate(count, interpolate, seed, **chosen)
            _save(rows, path, interpolate)
            done = f"a walk over {count} latents, {interpolate} steps each,"
    except ValueError as error:
        raise GankitError(f"{generator.checkpoint}: {error}") from None
    out().print(f"{path}: {done} of {generator.checkpoint}, seed {seed}")


def _chosen(
    words: list[str], classes: str | None, generator: TrainedGenerator, count: int
) -> tuple[dict[str, Any], int | None]:
    """What to ask the generator for beside count and seed; and pictures in a row, where that shows something."""
    from ..errors import GankitError
    from ..recipe.overrides import read_options

    chosen = read_options(words)
    if taken := sorted({"count", "seed", "steps"} & set(chosen)):
        instead = "--interpolate" if taken[0] == "steps" else f"--{taken[0]}"
        raise GankitError(f"command line: {taken[0]}: is no option of the network; use {instead}")
    if classes is None:
        return chosen, None
    if "labels" in chosen:
        raise GankitError("command line: labels and --classes both say of which classes the pictures shall be; use one")
    asked = _labels(classes, generator.classes)
    if count < len(asked):
        raise GankitError(f"--count {count}: is fewer than the {len(asked)} classes asked for")
    chosen["labels"] = [asked[index * len(asked) // count] for index in range(count)]
    return chosen, count // len(asked) if len(asked) > 1 and count % len(asked) == 0 else None


def _labels(asked: str, classes: tuple[str, ...] | None) -> list[int]:
    """The labels that names and numbers mean. Raises: GankitError."""
    from ..errors import GankitError
    from ..messages import did_you_mean

    if classes is None:
        raise GankitError("--classes: this generator is unconditional: leave --classes out")
    words = [word.strip() for word in asked.split(",")]
    if words == ["all"] and "all" not in classes:
        return list(range(len(classes)))
    labels = []
    for word in words:
        if word in classes:
            labels.append(classes.index(word))
        elif word.isdecimal() and int(word) < len(classes):
            labels.append(int(word))
        else:
            raise GankitError(f"--classes: there is no class {word!r}{did_you_mean(word, classes)}")
    return labels


def _save(images: Tensor, path: Path, columns: int | None) -> None:
    """A grid of images [n c h w], or a walk [n s c h w] as a grid or an animation."""
    from ..errors import GankitError
    from ..sampling.image_grid import make_grid, save_animation, save_grid

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise GankitError(f"{path}: cannot be written: {error.strerror or error}") from None
    walk = images.flatten(0, 1) if images.dim() == 5 else images
    if path.suffix.lower() == ".gif":
        save_animation([make_grid(image[None]) for image in walk], path)
    else:
        save_grid(walk, path, columns)
