"""Files and folders that are never images: those of systems, hidden ones, and what gankit itself writes."""

from __future__ import annotations

from collections.abc import Set

from ..tensor_cache import FEATURES, IMAGES

RUN_FILES = frozenset({"run.json", "recipe.yaml"})  # `runs.file_names` has them too, but is above this layer
CACHES = frozenset({IMAGES, FEATURES})
SYSTEM_FOLDERS = frozenset({"__MACOSX", "@eaDir", "#recycle", "$RECYCLE.BIN", "System Volume Information"})
SYSTEM_FILES = frozenset({"thumbs.db", "ehthumbs.db", "desktop.ini"})


def ignored_folder(name: str) -> str | None:
    """The kind of an ignored folder, such as ``@eaDir``; None for others."""
    if name in SYSTEM_FOLDERS or name.startswith("."):
        return name
    return f"cache {name}" if name in CACHES else None


def ignored_file(name: str) -> str | None:
    """The kind of a file that is ignored for its name; None for others."""
    if name.lower() in SYSTEM_FILES:
        return name
    return "hidden" if name.startswith(".") else None


def is_run_directory(names: Set[str]) -> bool:
    """Whether a folder with files of these names is a run directory of gankit, which holds pictures of its own."""
    return names >= RUN_FILES


def suffix_of(name: str) -> str:
    """How files are counted that are not images: by their suffix in lower case, such as ``.heic``."""
    stem, dot, suffix = name.rpartition("/")[2].rpartition(".")
    return f".{suffix.lower()}" if stem and dot and suffix else "without suffix"
