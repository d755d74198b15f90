"""The names of the folders that the images of classes are written to."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ..files.ignored_files import ignored_folder

UNSAFE = re.compile(r'[\x00-\x1f/\\:*?"<>|]|^[. ]|[. ]$')  # in a folder's name on some system
MAX_BYTES = 200


def class_folder_names(classes: Sequence[str]) -> Sequence[str]:
    """A folder's name for each class: that of the class, or its number if one of the names cannot be a folder's."""
    distinct = len({name.casefold() for name in classes}) == len(classes)
    if distinct and all(map(_is_safe, classes)):
        return classes
    return [f"{number:0{len(str(len(classes) - 1))}}" for number in range(len(classes))]


def _is_safe(name: str) -> bool:
    size = len(name.encode(errors="surrogatepass"))
    return not UNSAFE.search(name) and 0 < size < MAX_BYTES and name.isprintable() and ignored_folder(name) is None
