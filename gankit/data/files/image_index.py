"""Keeps on disk which image files were decoded and what was found, so that the next start need not decode them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import PIL

from ...files import data_root, whole_file
from ..tensor_cache import IMAGES
from .image_formats import FORMATS

FORMAT = 1
MAX_BYTES = 2**28
NOT_DECODED = -1


class CheckedFile(NamedTuple):
    """The recorded properties of an image file.

    Attributes:
        size: in bytes.
        digest: of its content (see `ImageFiles.identity`).
        fault: why it cannot be used; empty for an image.
        peak: the largest value of its pixels, 0 to 255; `NOT_DECODED` if only its header was read.
    """

    size: int
    digest: str
    fault: str = ""
    peak: int = NOT_DECODED


class ImageIndex:
    """The files of a folder or zip that were decoded before. An entry counts only if size and digest still agree.

    Args:
        path: of the folder or zip, absolute.
    """

    def __init__(self, path: Path) -> None:
        key = hashlib.sha256(str(path).encode(errors="surrogateescape")).hexdigest()[:32]
        self._file = data_root() / IMAGES / f"index-{key}.json"
        self._identity = {"format": FORMAT, "path": str(path), "formats": list(FORMATS), "pillow": PIL.__version__}
        self._entries = self._read()

    def get(self, name: str, size: int, digest: str) -> CheckedFile | None:
        """The entry of a file, if its content is the same."""
        entry = self._entries.get(name)
        return entry if entry is not None and (entry.size, entry.digest) == (size, digest) else None

    def write(self, images: Iterable[str], checked: Mapping[str, CheckedFile]) -> None:
        """Add entries, and drop those of files that are not among the images any more.

        Raises:
            OSError: the file cannot be written.
        """
        known = {**self._entries, **checked}
        entries = {name: known[name] for name in images if name in known}
        self._file.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(self._file) as temporary:
            temporary.write_text(json.dumps({**self._identity, "files": entries}), encoding="utf-8")

    def _read(self) -> dict[str, CheckedFile]:
        """The entries in the file; none if it is missing, damaged, or from another version."""
        try:
            if self._file.stat().st_size > MAX_BYTES:
                return {}
            content = json.loads(self._file.read_bytes())
            files = content.pop("files")
            if content != self._identity:
                return {}
            return {name: _checked(*values) for name, values in files.items()}
        except (OSError, ValueError, TypeError, AttributeError, KeyError, RecursionError):
            return {}


def _checked(size: object, digest: object, fault: object, peak: object) -> CheckedFile:
    """Raises: TypeError: a value has another type."""
    if not (isinstance(size, int) and isinstance(digest, str) and isinstance(fault, str) and isinstance(peak, int)):
        raise TypeError
    return CheckedFile(size, digest, fault, peak)
