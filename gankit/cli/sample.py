"""``gankit sample``: pictures from a trained generator."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .console import PluginOption, make_runtime, out


def sample(
    source: Annotated[
        Path, typer.Argument(metavar="RUN_DIR|CHECKPOINT", help="A run directory or a checkpoint.", show_default=False)
    ],
    options: Annotated[
        list[str] | None,
        typer.Argument(metavar="OPTION=VALUE", help="The network's sampling options, and labels.", show_default=False),
    ] = None,
    count: Annotated[int, typer.Option(min=1, max=10_000, help="How many pictures.")] = 64,
    seed: Annotated[int, typer.Option(min=0, help="The same pictures for the same seed.")] = 0,
    path: Annotated[Path, typer.Option("--out", help="The PNG file to write.")] = Path("grid.png"),
    plugin: PluginOption = None,
) -> None:
    """Draw a grid of pictures; needs neither the recipe nor the data.

    Examples:

      gankit sample results/dcgan_cifar10 --count 64 --seed 0 --out grid.png

      gankit sample results/dcgan_cifar10/checkpoints/step-00001000

      gankit sample results/dcgan_cifar10_conditional --count 3 labels=[0,0,7]
    """
    from ..document import read_options
    from ..errors import GankitError
    from ..generator import generator_from
    from ..pictures import save_grid

    chosen = read_options(options or ())
    if taken := sorted({"count", "seed"} & set(chosen)):
        raise GankitError(f"command line: {taken[0]}: is no option of the network; use --{taken[0]}")
    generator = generator_from(make_runtime(plugin), source)
    try:
        images = generator.sample(count, seed, **chosen)
    except ValueError as error:
        raise GankitError(f"{generator.checkpoint}: {error}") from None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise GankitError(f"{path}: cannot be written: {error.strerror or error}") from None
    save_grid(images, path)
    out().print(f"{path}: {count} pictures of {generator.checkpoint}, seed {seed}")
