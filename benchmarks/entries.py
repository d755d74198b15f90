"""What runs in a process of its own: gankit as ``gankit run`` uses it, and the plain script."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import plain_dcgan
import stand_in

import gankit
from gankit.cli.progress import ProgressLines


def ours(recipe: Path, overrides: Sequence[str], out: Path) -> Iterator[object]:
    """A recipe with all of its callbacks, progress as lines and the log of metrics."""
    runtime = gankit.Runtime(plugins=[stand_in])
    trainer = runtime.assemble(runtime.load(recipe, overrides), out)
    trainer.callbacks.add("progress", ProgressLines())
    yield from trainer


def plain(folder: Path, out: Path, device: str) -> Iterator[object]:
    """The plain script."""
    out.mkdir()
    yield from plain_dcgan.train(folder, out, device)
