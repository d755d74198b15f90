"""Lists the files of a folder and its subfolders, through links but not in circles."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from ...errors import DataError
from .ignored_files import ignored_file, ignored_folder, is_run_directory

MAX_REVISITED = 100_000  # entries of folders visited again through links; crossing links would multiply without end


def walk_folder(root: Path, ignored: dict[str, str]) -> Iterator[str]:
    """Relative paths of files, unsorted. Not recursive, as folders may be nested deeper than Python allows.

    Args:
        root: the folder.
        ignored: receives what each ignored file or folder is, by its relative path.

    Raises:
        DataError: links lead to the same folders without end.
        OSError: a folder cannot be listed.
    """

    @cache
    def folder_target(link: str) -> str | None:
        return os.path.realpath(link) if os.path.isdir(link) else None  # noqa: PTH112  # a circular link is neither

    visited: set[str] = set()
    revisited = 0
    # relative path with a trailing slash, real path, and the real paths of the links that lead there
    pending: list[tuple[str, str, frozenset[str]]] = [("", os.path.realpath(root), frozenset())]
    while pending:
        prefix, real_path, followed = pending.pop()
        with os.scandir(root / prefix) as scanned:
            entries = list(scanned)
        if prefix and is_run_directory({entry.name for entry in entries}):
            ignored[prefix.rstrip("/")] = "run directory"
            continue
        if real_path in visited and (revisited := revisited + len(entries)) > MAX_REVISITED:
            raise DataError(
                f"{root}: links lead to the same folders repeatedly, with more than {MAX_REVISITED:,} entries; "
                "remove the superfluous links"
            )
        visited.add(real_path)
        for entry in entries:
            name, path = prefix + entry.name, os.path.join(real_path, entry.name)  # noqa: PTH118  # faster
            target = folder_target(path) if entry.is_symlink() else None
            if target is not None or entry.is_dir(follow_symlinks=False):
                if (kind := ignored_folder(entry.name)) is not None:
                    ignored[name] = kind
                elif target is None:
                    pending.append((f"{name}/", path, followed))
                elif target not in followed and not Path(real_path).is_relative_to(target):  # not a cycle
                    pending.append((f"{name}/", target, followed | {target, real_path}))
            elif entry.is_file(follow_symlinks=False) or entry.is_symlink():
                if (kind := ignored_file(entry.name)) is not None:
                    ignored[name] = kind
                else:
                    yield name  # broken links too, which are reported when they are read
