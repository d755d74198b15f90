"""Resolves the name of a run or checkpoint to local files; those on the Hugging Face Hub are downloaded."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from ..errors import CheckpointError
from ..hub_client import HubError, download
from ..sources import BuiltinModel, HubFolder, parse_source
from .file_names import MANIFEST, RECIPE
from .manifest import read_manifest


@dataclass(frozen=True)
class ResolvedSource:
    """A run or checkpoint on this machine.

    Attributes:
        path: of its folder.
        origin: ``hub:owner/name@COMMIT`` or ``builtin:NAME``, if it was named so; None for a path.
    """

    path: Path
    origin: str | None = None

    def __str__(self) -> str:
        """The origin, or else the path."""
        return self.origin or str(self.path)


def resolve_source(source: str | Path) -> ResolvedSource:
    """The run or checkpoint that a user names, by a path or as `gankit.sources` describes.

    Of a folder on the Hub, only the files of the checkpoint are downloaded, into the cache of ``huggingface_hub``. If
    the Hub cannot be reached, the files in the cache are used.

    Raises:
        CheckpointError: the name is invalid, or the folder on the Hub cannot be downloaded or is not a checkpoint.
    """
    try:
        parsed = parse_source(source)
        if isinstance(parsed, HubFolder):
            return _download(parsed)
    except (ValueError, HubError) as error:
        raise CheckpointError(str(error)) from None
    if isinstance(parsed, BuiltinModel):
        return ResolvedSource(parsed.path, str(parsed))
    return ResolvedSource(parsed)


def _download(folder: HubFolder) -> ResolvedSource:
    """Raises: HubError: a file cannot be downloaded. CheckpointError: the folder is not a checkpoint."""
    manifest = download(folder, MANIFEST)
    if manifest is None:
        raise CheckpointError(
            f"{folder}: is not a checkpoint of gankit: it lacks {MANIFEST}; if a folder of the repository is one, "
            f"append its name: {folder}/FOLDER"
        )
    pinned = replace(folder, revision=manifest.commit)  # so that all files are of one commit
    for name in read_manifest(manifest.path)["files"]:
        if download(pinned, name) is None:
            raise CheckpointError(f"{pinned}: lacks {name}, which its {MANIFEST} lists; its owner must upload it again")
    download(pinned, RECIPE)  # names the data for an evaluation, and may be missing
    return ResolvedSource(manifest.path.parent, str(pinned))
