"""``manifest.json`` of a checkpoint: the SHA-256 of each of its files, and what sampling needs to know."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import CheckpointError
from ..files import open_regular, read_failure
from .file_names import MANIFEST, STATE, WEIGHTS_SUFFIX
from .json_lines import read_object

FORMAT = 1
MAX_MANIFEST_BYTES = 10_000_000


class DamagedCheckpointError(CheckpointError):
    """A checkpoint whose content is known to be damaged or altered. Other errors say nothing about its content."""


def read_manifest(path: Path) -> dict[str, Any]:
    """The content of ``manifest.json``, in which ``files`` has the SHA-256 of each file of the checkpoint by name.

    The file may be a link to any file. Error messages do not quote the content of files that are not manifests.

    Raises:
        DamagedCheckpointError: the checkpoint is damaged or altered.
        CheckpointError: it cannot be read now, has another format, or lists other files than those of a checkpoint.
    """
    try:
        manifest = read_object(path, MAX_MANIFEST_BYTES)
    except FileNotFoundError:
        raise DamagedCheckpointError(f"{path}: is missing; the checkpoint is damaged, use an earlier one") from None
    except OSError as error:
        raise CheckpointError(read_failure(path, error)) from None
    except ValueError as error:
        raise DamagedCheckpointError(f"{path}: cannot be read ({error}); the checkpoint is damaged") from None
    if (given := manifest.get("format")) != FORMAT:
        newer = isinstance(given, int) and given > FORMAT
        remedy = "; a newer version wrote the checkpoint: update gankit" if newer else ""
        found = f"format {given!r:.80}" if isinstance(given, int) else "lists no format of checkpoints"
        raise CheckpointError(f"{path}: {found}; this version of gankit reads format {FORMAT}{remedy}")
    files = manifest.get("files")
    if not isinstance(files, dict) or not files:
        raise DamagedCheckpointError(f"{path}: lists no files; the checkpoint is damaged")
    for name in files:
        if name != STATE and (Path(name).name != name or not name.endswith(WEIGHTS_SUFFIX)):
            raise CheckpointError(f"{path}: {name!r} is not a file of a checkpoint; do not trust this checkpoint")
    return manifest


def write_manifest(folder: Path, about: Mapping[str, Any]) -> None:
    """Write the manifest of the files in a folder, with further entries. Raises: OSError: it cannot be written."""
    files = {path.name: sha256_of_file(path) for path in sorted(folder.iterdir())}
    manifest = {"format": FORMAT, "files": files, **about}
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")


def sha256_of_file(path: Path) -> str:
    """The SHA-256 of a file, which may be a link. Raises: OSError: it cannot be read, or is a pipe or device."""
    with open_regular(path) as file:
        if not os.fstat(file.fileno()).st_size:  # as of the files in /proc, some of which have no end
            return hashlib.sha256().hexdigest()
        return hashlib.file_digest(file, "sha256").hexdigest()
