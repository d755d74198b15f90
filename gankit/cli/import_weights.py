"""``gankit import``: convert weight files of other projects to a checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Option

from .console import WIDTH_WITHOUT_TERMINAL, PluginOption, make_runtime, output_console, parse_path

if TYPE_CHECKING:
    from ..conversion.import_weights import ImportedWeights


def import_weights(
    files: Annotated[
        list[str],
        Argument(
            metavar="FILE ...",
            help="Weight files of one model. NETWORK=FILE names the network in a file: generator, generator_ema (the "
            "average of the generator's weights) or discriminator.",
        ),
    ],
    path: Annotated[
        Path, Option("--out", metavar="CHECKPOINT", parser=parse_path, help="The folder of the new checkpoint.")
    ],
    format_name: Annotated[
        str | None,
        Option(
            "--format",
            metavar="NAME",
            help="Format of the files, see gankit list weight_formats (default: recognized from the content).",
        ),
    ] = None,
    classes: Annotated[
        str | None,
        Option(metavar="NAME,...", help="Names of the classes, in the order of the labels (default: 0, 1, 2, ...)."),
    ] = None,
    plugin: PluginOption = None,
) -> None:
    """Convert weight files of other projects to a checkpoint. Does not execute code from the files.

    gankit sample and gankit eval accept the checkpoint. The recipe key initialize starts a run from it. gankit resume
    does not accept it.

    Examples:

      gankit import netG_epoch_24.pth netD_epoch_24.pth --out imported/dcgan

      gankit import stylegan2-ffhq-256x256.pkl --out imported/ffhq

      gankit import generator_ema=G_ema.pth G.pth D.pth --out imported/biggan --classes cat,dog

      gankit sample imported/ffhq --count 16 truncation=0.7
    """
    runtime = make_runtime(plugin)
    names = [name.strip() for name in classes.split(",")] if classes is not None else None
    _report(runtime.import_weights(files, path, format_name=format_name, classes=names), path)


def _report(imported: ImportedWeights, path: Path) -> None:
    """Print what was imported, and the recipe sections of a run that starts from it."""
    import yaml

    console, image = output_console(), imported.data.image
    classes = f", {image.classes:,} classes" if image.classes else ""
    console.print(
        f"{path}: {', '.join(imported.networks)} of format {imported.format}, {image.height}x{image.width} images of "
        f"{image.channels} channels{classes}"
    )
    if imported.ignored:
        console.print(f"not imported: {', '.join(imported.ignored)}")
    console.print(imported.license)
    sections = {kind: component.as_data() for kind, component in imported.components.items()}
    sections["latent"] |= {"dim": imported.latent_dim}
    console.print(f"\nto start a run from it, use these sections in the recipe, and initialize: {path}")
    for kind, section in sections.items():
        text = yaml.safe_dump(section, default_flow_style=True, sort_keys=False, width=WIDTH_WITHOUT_TERMINAL)
        console.print(f"{kind}: {text.strip()}")
