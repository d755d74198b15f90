"""Writes the files of a repository on the Hub: a checkpoint with all that sampling needs, and its model card."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..assembly.frozen_networks import FROZEN_NETWORKS
from ..errors import CheckpointError, GankitError
from ..files import writing
from ..runs.file_names import FROZEN, INPUTS, RECIPE, STATE
from ..runs.manifest import write_manifest
from ..runtime import Runtime
from ..sampling.image_grid import save_grid
from ..sources import HubFolder, require_repository_name
from .model_card import CARD, LICENSE_ID, SAMPLES, model_card
from .shared_model import SharedModel, open_shared_model

MAX_COLUMNS, MAX_WIDTH = 8, 1024  # of the picture with samples; the width is in pixels
SEED = 0  # of these samples


def write_repository(
    source: str | Path,
    folder: str | Path,
    repository: str,
    *,
    revision: str | None = None,
    license: str | None = None,
    with_state: bool = False,
    runtime: Runtime | None = None,
) -> None:
    """Write the files that `push` uploads to a folder. The folder is a checkpoint itself.

    Args:
        source: a run directory (its newest checkpoint), a checkpoint, ``hub:owner/name`` or ``builtin:NAME``.
        folder: which must not exist or must be empty.
        repository: ``owner/name``, for the model card.
        revision: its branch, for the model card; None for the main branch.
        license: of the weights: an identifier of the Hub, such as ``mit``.
        with_state: include the state of the training, from which a run can be resumed.
        runtime: with the components; None creates one with the installed plugins.

    Raises:
        GankitError: the source is not a valid checkpoint, an argument is invalid, or the folder cannot be written.
    """
    folder = Path(folder)
    try:
        require_repository_name(repository)
    except ValueError as error:
        raise GankitError(str(error)) from None
    if license is not None and not LICENSE_ID.fullmatch(license.lower()):
        raise GankitError(f"license {license!r}: should be an identifier of the Hub, such as mit or apache-2.0")
    with writing(folder):
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise GankitError(f"{folder}: exists already, and nothing is overwritten; choose another folder")
    model = open_shared_model(source, license, runtime or Runtime())
    if with_state and STATE not in model.checkpoint.manifest["files"]:
        raise CheckpointError(f"{model.checkpoint.path}: lacks {STATE}; share it without --with-state")
    columns = max(1, min(MAX_COLUMNS, MAX_WIDTH // model.generator.image.width))
    try:
        samples = model.generator.sample(columns**2, SEED)
    except ValueError as error:
        raise CheckpointError(f"{model.checkpoint.path}: {error}") from None
    card = model_card(model, HubFolder(repository, revision), f"{columns**2} samples, seed {SEED}")
    with writing(folder), _emptied_on_failure(folder):
        _copy_checkpoint(model, folder, with_state)
        if model.recipe is not None:
            (folder / RECIPE).write_text(model.recipe.to_yaml(), encoding="utf-8")
        (folder / CARD).write_text(card, encoding="utf-8")
        save_grid(samples, folder / SAMPLES, columns)


@contextmanager
def _emptied_on_failure(folder: Path) -> Iterator[None]:
    """A block that fills a new or an empty folder. If it fails, the folder is as before, and the call can be repeated.

    The folder itself is filled, as it may be the working directory.
    """
    existed = folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield
    except BaseException:
        for file in folder.iterdir():
            file.unlink()
        if not existed:
            folder.rmdir()
        raise


def _copy_checkpoint(model: SharedModel, folder: Path, with_state: bool) -> None:
    """Copy its files, and those of its run directory that sampling needs, into the folder."""
    checkpoint = model.checkpoint
    names = {*checkpoint.manifest["files"]} - (set() if with_state else {STATE})
    if model.generator.sampling.items:
        names.add(INPUTS)
    if (checkpoint.folder_of(FROZEN) / FROZEN).is_file() and checkpoint.manifest.get(FROZEN_NETWORKS):
        names.add(FROZEN)
    for name in names:
        source = checkpoint.folder_of(name) if name in (INPUTS, FROZEN) else checkpoint.path
        shutil.copyfile(source / name, folder / name)
    write_manifest(folder, {key: value for key, value in checkpoint.manifest.items() if key != "files"})
