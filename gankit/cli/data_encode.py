"""``gankit data encode``: encode the data of a recipe with its codec, once for all runs."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Annotated

from typer import BadParameter, Option

from ..messages import counted
from .console import (
    Overrides,
    PluginOption,
    RecipeFile,
    interruptible,
    make_runtime,
    output_console,
    parse_path,
)
from .task_progress import TaskProgress

UNITS = {"": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}


def parse_bytes(text: str) -> int:
    """The number of bytes of ``500MB``. Raises: BadParameter: it is something else."""
    found = re.fullmatch(r"(\d{1,15})\s*([a-z]*)", text.strip(), re.IGNORECASE)
    if found is None or found[2].upper() not in UNITS or not int(found[1]):
        raise BadParameter(f"{text!r} is not a size of files; give, for example, 500MB or 2GiB")
    return int(found[1]) * UNITS[found[2].upper()]


def encode(
    recipe: RecipeFile,
    out: Annotated[Path, Option(metavar="FOLDER", parser=parse_path, help="The folder to write to.")],
    overrides: Overrides = None,
    shard_size: Annotated[
        int,
        Option(
            metavar="SIZE", parser=parse_bytes, help="Largest size of a file, such as 500MB. Limits the memory too."
        ),
    ] = "1GB",  # type: ignore[assignment]  # parsed as if it was given
    plugin: PluginOption = None,
) -> None:
    """Encode all images of a recipe with its codec. Runs with loader.encodings=FOLDER then do not run the encoder.

    To continue after an interruption, run the command again. If the recipe sets loader.flip, mirrored images
    are encoded too.

    Examples:

      gankit data encode latent.yaml --out encodings --plugin my_codec.py

      gankit data encode latent.yaml --out encodings loader.flip=true --shard-size 500MB --plugin my_codec.py

      gankit run latent.yaml loader.encodings=encodings --plugin my_codec.py
    """
    from ..assembly.encode_data import encode_data

    checked = make_runtime(plugin).load_checked(recipe, overrides or ())
    with interruptible("; run the same command again to continue"), TaskProgress() as progress:
        index = encode_data(checked, out, shard_size, progress.report)
    shape = " x ".join(map(str, index.shape))
    output_console().print(
        f"{out}: the encodings ({shape}) of {counted(index.count, 'image')} in {counted(len(index.shards), 'file')}\n"
        f"to use them:  gankit run {shlex.quote(str(recipe))} loader.encodings={shlex.quote(str(out))}"
    )
