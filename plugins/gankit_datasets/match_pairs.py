"""Matches the files of two folders or zips by their names."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

import gankit

MAX_NAMED = 3
SIDES = ("image", "source")


def match_by_name(image: gankit.ImageScan, source: gankit.ImageScan) -> dict[str, tuple[str, str]]:
    """The files of each pair by their name without suffix, in the order of the images.

    If no names correspond, the folders that all files of a side lie in do not count, as is common in zip files. If none
    correspond then, an ending that all files of a side share does not count either, such as that of ``0001x4.png``.

    Raises:
        gankit.DataError: a file is not part of a pair, or a name is ambiguous.
    """
    images, sources = _by_stem(image, 0), _by_stem(source, 0)
    if not images.keys() & sources.keys():
        images, sources = (_by_stem(found, _shared_length(found.images)) for found in (image, source))
    if not images.keys() & sources.keys():
        images, sources = _without_common_ending(images), _without_common_ending(sources)
    alone = [
        [files[key] for key in files if key not in other] for files, other in ((images, sources), (sources, images))
    ]
    if any(alone):
        unmatched = "; ".join(
            f"{found.files.path} has {len(files):,} {side}{'s' if len(files) != 1 else ''}"
            + (f", of which {_listed(names)} {'has' if len(names) == 1 else 'have'} no counterpart" if names else "")
            for side, found, files, names in zip(SIDES, (image, source), (images, sources), alone, strict=True)
        )
        raise gankit.DataError(
            f"each image needs a source of the same name, except for its suffix: {unmatched}; add the missing files, "
            "or delete the others"
        )
    return {key: (images[key], sources[key]) for key in images}


def _by_stem(found: gankit.ImageScan, start: int) -> dict[str, str]:
    """Files by their names from ``start`` on, without suffix. Raises: gankit.DataError: two are the same."""
    files: dict[str, str] = {}
    for name in found.images:
        folder, _, file = name[start:].rpartition("/")
        stem = file.rpartition(".")[0] or file
        key = f"{folder}/{stem}" if folder else stem
        if key in files:
            raise gankit.DataError(
                f"{found.files.path}: {files[key]!r} and {name!r} differ only in their suffix; keep one of them"
            )
        files[key] = name
    return files


def _without_common_ending(files: Mapping[str, str]) -> dict[str, str]:
    """The files by shorter names. A single file keeps its name, all of which would be the ending."""
    ending = os.path.commonprefix([key[::-1] for key in files]) if len(files) > 1 else ""  # noqa: RUF071, of characters
    return {key[: len(key) - len(ending)]: name for key, name in files.items()}


def _shared_length(names: Sequence[str]) -> int:
    """The length of the path of the deepest folder that all files lie in."""
    folders = [name.split("/")[:-1] for name in names]
    shared = 0
    while all(len(parts) > shared and parts[shared] == folders[0][shared] for parts in folders):
        shared += 1
    return sum(len(part) + 1 for part in folders[0][:shared])


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - MAX_NAMED:,} more" if len(names) > MAX_NAMED else ""
    return ", ".join(map(repr, names[:MAX_NAMED])) + more
