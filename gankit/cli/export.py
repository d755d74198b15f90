"""``gankit export``: write a trained generator as a file that other programs run or load."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Option

from .console import PluginOption, RunOrCheckpoint, make_runtime, output_console, parse_path

if TYPE_CHECKING:
    from ..export import Exported


def export(
    source: RunOrCheckpoint,
    format: Annotated[
        str,
        Option(
            metavar="FORMAT",
            help="onnx; torch-export, a torch.export program; or safetensors, only the weights.",
        ),
    ],
    options: Annotated[
        list[str] | None,
        Argument(
            metavar="OPTION=VALUE",
            help="Fix a sampling option of the generator to a value, such as noise=none. OPTION=input turns the option "
            "into an input of the program.",
        ),
    ] = None,
    path: Annotated[
        Path | None,
        Option(
            "--out",
            metavar="FILE",
            parser=parse_path,
            help="The file to write, with the suffix .onnx, .pt2 or .safetensors (default: generator and this suffix).",
        ),
    ] = None,
    tolerance: Annotated[
        float,
        Option(help="Largest allowed difference between the file's pixels and gankit's. Pixels are in [-1, 1]."),
    ] = 1e-4,
    plugin: PluginOption = None,
) -> None:
    """Export a trained generator as a program or a file of weights. Needs neither the recipe nor the data.

    Before writing the file, the command compares its images with those of gankit.

    Examples:

      gankit export results/dcgan_cifar10 --format onnx --out dcgan.onnx

      gankit export results/stylegan2_cifar10 --format torch-export --out stylegan2.pt2 noise=none

      gankit export results/biggan_cifar10 --format onnx --out biggan.onnx truncation=input

      gankit export results/dcgan_cifar10 --format safetensors --out dcgan.safetensors
    """
    from ..export.export_generator import SUFFIXES
    from ..export.export_generator import export as export_generator
    from ..recipe.overrides import read_options

    path = path or Path(f"generator{SUFFIXES.get(format, '')}")
    done = export_generator(source, path, format, read_options(options or []), tolerance, make_runtime(plugin))
    console = output_console()
    ema = ", the EMA" if done.ema else ""
    console.print(f"{done.path}: {done.path.stat().st_size:,} bytes, of {done.checkpoint}{ema}")
    for line in _describe(done):
        console.print(line)


def _describe(done: Exported) -> list[str]:
    """The inputs, the output and the fixed options of a program; and the difference from gankit's images."""
    shapes = {name: f"{name} [{' '.join(map(str, shape))}]" if shape else name for name, shape in done.shapes.items()}
    images = shapes.pop("images", None)
    lines = [] if images is None else [f"inputs: {', '.join(shapes.values())}; output: {images}"]
    if done.fixed:
        lines.append(f"fixed options: {', '.join(f'{name}={_format(value)}' for name, value in done.fixed.items())}")
    return [*lines, f"largest absolute difference from gankit's images, in [-1, 1]: {done.difference:.2g}"]


def _format(value: object) -> str:
    """The value of an option as on the command line."""
    return value if isinstance(value, str) else json.dumps(value, default=str)
