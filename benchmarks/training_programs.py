"""The programs that benchmarks run in their own processes: gankit and the plain script."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import noise_dataset
import plain_dcgan

import gankit
from gankit.cli.progress import ProgressLines


def train_gankit(recipe: Path, overrides: Sequence[str], out: Path) -> Iterator[object]:
    """Train as ``gankit run`` does: with all callbacks of the recipe, printed progress and the metrics log."""
    runtime = gankit.Runtime(plugins=[noise_dataset])
    trainer = runtime.assemble(runtime.load(recipe, overrides), out)
    trainer.callbacks.add("progress", ProgressLines())
    yield from trainer


def train_plain(folder: Path, out: Path, device: str) -> Iterator[object]:
    """Train with the plain script."""
    out.mkdir()
    yield from plain_dcgan.train(folder, out, device)
