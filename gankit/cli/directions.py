"""``gankit directions``: find directions along which images change."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from typer import Argument, Option

from ..errors import GankitError
from .console import MAX_SEED, PluginOption, RunOrCheckpoint, make_runtime, output_console, parse_path
from .sample_options import DIRECTIONS, default_directions, parse_class, parse_layers, read_sample_options
from .sample_pictures import draw_from_file

if TYPE_CHECKING:
    from ..sampling.directions import Directions

Method = Literal["sefa", "pca"]
DEFAULT_COUNT = 10
AMOUNTS = 7  # columns of the table


def directions(
    source: RunOrCheckpoint,
    options: Annotated[
        list[str] | None, Argument(metavar="OPTION=VALUE", help="Sampling options for the images in the table.")
    ] = None,
    method: Annotated[
        Method | None,
        Option(
            help="sefa (default): eigenvectors of the weights of the layers that read the latents (arXiv 2007.06600); "
            "pca: principal components of styles or features (GANSpace, arXiv 2004.02546)."
        ),
    ] = None,
    count: Annotated[int | None, Option(min=1, max=1_000, help="Number of directions (default: 10).")] = None,
    layers: Annotated[
        str | None, Option(metavar="LAYERS", help="Change the styles of only these layers, such as 0-3.")
    ] = None,
    rename: Annotated[
        list[str] | None,
        Option(metavar="OLD=NEW", help="Rename a direction in an existing file. Finds no new directions. Repeatable."),
    ] = None,
    seed: Annotated[int, Option(min=0, max=MAX_SEED, help="Random seed of the image in the table.")] = 0,
    class_name: Annotated[
        str | None, Option("--class", metavar="NAME", help="Class of the image in the table.")
    ] = None,
    latents: Annotated[
        Path | None,
        Option(metavar="FILE", parser=parse_path, help="Use the first latents of this file for the table."),
    ] = None,
    strength: Annotated[
        float,
        Option(min=0.01, max=1_000.0, help="Largest amount in the table, in standard deviations of random latents."),
    ] = 3.0,
    out: Annotated[
        Path | None,
        Option(
            metavar="FILE",
            parser=parse_path,
            help=f"The file for the directions (default: {DIRECTIONS} in the run directory). The table is a PNG with "
            "the same name.",
        ),
    ] = None,
    plugin: PluginOption = None,
) -> None:
    """Find directions in the space of latents or styles along which images change.

    Writes a file of directions and a table of images. Each row of the table moves one image along one direction.
    gankit sample direction.NAME=AMOUNT does the same for other images.

    Examples:

      gankit directions results/dcgan_cifar10

      gankit directions results/stylegan2_cifar10 --method pca --layers 0-3

      gankit directions results/stylegan2_cifar10 --rename 3=brightness

      gankit sample results/stylegan2_cifar10 direction.brightness=-2
    """
    from ..sampling.directions import Directions, closed_form_directions, principal_directions

    generator = make_runtime(plugin).load_generator(source)
    path = out or default_directions(generator)
    if path is None:
        raise GankitError(f"{source}: is not in a run directory; add --out FILE.safetensors")
    if path.suffix != ".safetensors":
        raise GankitError(f"--out {path}: should end in .safetensors")
    if rename and (
        given := [name for name, v in (("--method", method), ("--count", count), ("--layers", layers)) if v]
    ):
        raise GankitError(f"--rename: changes directions that were found earlier; remove {given[0]}")
    if class_name is not None and latents is not None:
        raise GankitError("--class: has no effect on the latents of a file; remove it, or remove --latents")
    if not rename and path.exists() and (names := [n for n in Directions.load(path).vectors if not n.isdecimal()]):
        raise GankitError(f"{path}: contains the named directions {', '.join(names)}; choose another file with --out")
    try:
        if rename:
            found = _renamed(Directions.load(path), rename)
        else:
            find = principal_directions if method == "pca" else closed_form_directions
            found = find(generator, count or DEFAULT_COUNT, parse_layers("--layers", layers))
        chosen = read_sample_options(options or [], None, generator, taken={"count": "--count", "seed": "--seed"})
        if chosen.sweep is not None or chosen.amounts:
            raise GankitError("give each sampling option one value, and no directions")
        if latents is None:
            labels = chosen.labels if class_name is None else [parse_class(class_name, generator)]
            inputs = generator.draw(1, seed, labels)
        else:
            inputs = draw_from_file(generator, latents, seed, chosen).rows(slice(1))
        settings = {**generator.deterministic_options, **chosen.options}
        amounts = [strength * (2 * column / (AMOUNTS - 1) - 1) for column in range(AMOUNTS)]
        cells = [{name: amount} for name in found.vectors for amount in amounts]
        table = found.table(generator, inputs, cells, settings)
    except ValueError as error:
        raise GankitError(f"{generator.checkpoint}: {error}") from None
    from ..sampling.image_grid import save_grid

    found.save(path)
    save_grid(table.flatten(0, 1), path.with_suffix(".png"), columns=AMOUNTS)
    console = output_console()
    console.print(f"{path}: {len(found.vectors)} directions: {', '.join(found.vectors)}")
    console.print(f"{path.with_suffix('.png')}: one row for each, from {-strength:g} to {strength:g}")


def _renamed(found: Directions, words: list[str]) -> Directions:
    for word in words:
        old, equals, new = word.partition("=")
        if not equals or not new.replace("_", "").replace("-", "").isalnum():
            raise GankitError(f"--rename {word}: is not OLD=NEW, with a new name of letters, digits, '_' and '-'")
        found = found.renamed(old, new)
    return found
