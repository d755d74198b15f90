"""``gankit directions``: find directions along which images change."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from typer import Argument, Option

from ..errors import GankitError
from .console import PluginOption, RunOrCheckpoint, make_runtime, output_console, parse_path
from .sample_options import parse_layers, read_sample_options
from .sample_pictures import draw_from_file

if TYPE_CHECKING:
    from ..sampling.directions import Directions
    from ..sampling.trained_generator import TrainedGenerator

Method = Literal["sefa", "pca"]
DIRECTIONS = "directions.safetensors"
AMOUNTS = 7  # columns of the table


def directions(
    source: RunOrCheckpoint,
    options: Annotated[
        list[str] | None, Argument(metavar="OPTION=VALUE", help="Sampling options of the generator for the table.")
    ] = None,
    method: Annotated[
        Method,
        Option(
            help="sefa: eigenvectors of the weights of the layers that read the latents (arXiv 2007.06600); "
            "pca: principal components of styles or features (GANSpace, arXiv 2004.02546)."
        ),
    ] = "sefa",
    count: Annotated[int, Option(min=1, max=1_000, help="Number of directions.")] = 10,
    layers: Annotated[
        str | None, Option(metavar="LAYERS", help="Change the styles of these layers only, such as 0-3.")
    ] = None,
    rename: Annotated[
        list[str] | None,
        Option(metavar="OLD=NEW", help="Give directions that were found earlier another name. Repeatable."),
    ] = None,
    seed: Annotated[int, Option(min=0, help="Random seed of the image in the table.")] = 0,
    class_name: Annotated[
        str | None, Option("--class", metavar="NAME", help="Class of the image in the table.")
    ] = None,
    latents: Annotated[
        Path | None,
        Option(metavar="FILE", parser=parse_path, help="Show the first image of these latents in the table."),
    ] = None,
    strength: Annotated[
        float, Option(min=0.0, help="Largest amount in the table, in standard deviations of random latents.")
    ] = 3.0,
    out: Annotated[
        Path | None,
        Option(
            metavar="FILE",
            parser=parse_path,
            help=f"The file with the directions (default: {DIRECTIONS} of the run directory). A table of images is "
            "written next to it, as PNG.",
        ),
    ] = None,
    plugin: PluginOption = None,
) -> None:
    """Find directions of latents or styles along which images change, and draw a table of them.

    gankit sample moves images along these directions.

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
    try:
        if rename:
            found = _renamed(Directions.load(path), rename)
        else:
            find = closed_form_directions if method == "sefa" else principal_directions
            found = find(generator, count, parse_layers("--layers", layers))
        chosen = read_sample_options(options or [], None if class_name is None else [class_name], generator)
        if latents is None:
            inputs = generator.draw(1, seed, chosen.labels_of(1))
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


def default_directions(generator: TrainedGenerator) -> Path | None:
    """The file of directions in the run directory of a checkpoint; None if it is not in one."""
    from ..runs.file_names import RECIPE

    run = generator.checkpoint.absolute().parent.parent
    if not (run / RECIPE).is_file():
        return None
    return generator.checkpoint.parent.parent / DIRECTIONS


def _renamed(found: Directions, words: list[str]) -> Directions:
    for word in words:
        old, equals, new = word.partition("=")
        if not equals or not new.replace("_", "").replace("-", "").isalnum():
            raise GankitError(f"--rename {word}: is not OLD=NEW, with a new name of letters, digits, '_' and '-'")
        found = found.renamed(old, new)
    return found
