"""Finds the classes of images: from the names of folders, from a CSV file, or from a ``dataset.json``."""

from __future__ import annotations

import csv
import itertools
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import gankit

LABEL_FILE = "dataset.json"  # of StyleGAN's dataset_tool.py, which puts images into numbered folders
MAX_LABEL_BYTES = 2**28
SPLIT_FOLDERS = frozenset({"train", "training", "val", "valid", "validation", "dev", "eval", "test", "testing"})
MAX_NAMED = 3
MAX_DIGITS = 19  # of a label that is a number


class Classes(NamedTuple):
    """The classes of a folder or zip.

    Attributes:
        names: of the classes; empty if there are none.
        of: the class of each image by its name; empty if there are none.
        note: why there are none although there are folders; empty otherwise.
        folder: path with a trailing slash, or empty, of the folder whose subfolders are the classes; None if no folder
            is.
        file: the file in the folder or zip that the classes are from; empty if they are not from one.
    """

    names: tuple[str, ...]
    of: dict[str, str]
    note: str = ""
    folder: str | None = None
    file: str = ""


def find_classes(
    files: gankit.ImageFiles, images: list[str], others: Iterable[str], labels: Path | None = None
) -> Classes:
    """The classes of images.

    Args:
        files: the folder or zip.
        images: the sorted names of its images.
        others: the names of its other files.
        labels: a CSV file with the label of each image, in the folder or zip or elsewhere.

    Raises:
        gankit.DataError: the folders are parts of a dataset such as ``train`` and ``val``, or a file of labels does
            not fit.
    """
    if labels is not None:
        return _from_csv(files, labels, images, set(others))
    for name in sorted(others, key=len):
        folder, _, file = name.rpartition("/")
        if file == LABEL_FILE and all(image.startswith(f"{folder}/" if folder else "") for image in images):
            if (found := _from_label_file(files, name, images)) is not None:
                return found
            break
    return classes_from_folders(files, images)


def classes_from_folders(files: gankit.ImageFiles, images: list[str]) -> Classes:
    """The classes by folders. Raises: gankit.DataError: the folders are parts of a dataset such as ``train``."""
    parts = {name: name.split("/") for name in images}
    least = min(map(len, parts.values()))
    pairs = zip(min(parts.values()), max(parts.values()), strict=False)
    shared = len(list(itertools.takewhile(lambda pair: pair[0] == pair[1], pairs)))
    depth = max(0, min(least - 2, shared))
    class_of = {name: p[depth] for name, p in parts.items() if len(p) >= depth + 2}
    folders = sorted(set(class_of.values()))
    splits = [folder for folder in folders if folder.lower() in SPLIT_FOLDERS]
    if len(splits) > 1 and any(folder.lower().startswith("train") for folder in splits):
        place = "/".join([*parts[images[0]][:depth], next(s for s in splits if s.lower().startswith("train"))])
        where = f"set `path` to one of them, such as {files.path / place}"
        if not files.path.is_dir():
            where = f"extract the zip and set `path` to one of them, such as {place}"
        raise gankit.DataError(
            f"{files.path}: the folders {_listed(splits)} look like parts of a dataset, not like classes; {where}, or "
            "rename them if they are classes"
        )
    stray = [name for name in images if name not in class_of]
    if stray and folders:
        verb, them = ("lies", "it") if len(stray) == 1 else ("lie", "them")
        place = f"next to the folders {_listed(folders)} (move {them} into one of them to have classes)"
        return Classes((), {}, f"because {_listed(stray)} {verb} {place}")
    if not folders:
        return Classes((), {})
    return Classes(tuple(folders), class_of, folder="".join(f"{part}/" for part in parts[images[0]][:depth]))


def _from_label_file(files: gankit.ImageFiles, name: str, images: list[str]) -> Classes | None:
    """The labels of ``dataset.json``: a list of [image, class number], or null. None: it is another file.

    The file may also have the names of all ``classes``, as `gankit data pack` writes it.
    """
    place = files.path / name
    try:
        with files.open(name) as file:
            content = file.read(MAX_LABEL_BYTES)
    except Exception as error:  # zipfile raises many types for damaged files
        raise gankit.DataError(f"{place}: the labels cannot be read: {error}; write the file again") from error
    try:
        document: Any = json.loads(content)
    except (ValueError, RecursionError) as error:
        fault = f"is larger than {MAX_LABEL_BYTES // 2**20} MiB" if len(content) == MAX_LABEL_BYTES else str(error)
        raise gankit.DataError(f"{place}: is not valid JSON ({fault}); correct it, or delete it") from None
    if not isinstance(document, dict) or "labels" not in document:
        return None
    labels, folder = document["labels"], name.removesuffix(LABEL_FILE)
    if labels is None:
        return Classes((), {}, f"as {LABEL_FILE} has no labels", file=name)
    number_of: dict[str, Any] = {}
    try:
        for image, number in labels:
            if number_of.setdefault(f"{folder}{image}", number) != number:
                raise gankit.DataError(f"{place}: has two labels for {image!r:.80}; remove one")
    except (TypeError, ValueError):
        raise gankit.DataError(f"{place}: `labels` should be a list of [image, class number], or null") from None
    for image in images:
        number = number_of.get(image)
        if image not in number_of:
            raise gankit.DataError(f"{place}: has no label for {image!r}; add one, or delete {LABEL_FILE}")
        if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number < 2**20:
            raise gankit.DataError(f"{place}: the label of {image!r} is {number!r:.80}; expected a class number from 0")
    count = 1 + max(number_of[image] for image in images)
    names = document.get("classes") or [*map(str, range(count))]
    if not (isinstance(names, list) and all(map(_is_name, names)) and len({*names}) == len(names)):
        raise gankit.DataError(f"{place}: `classes` should be a list of different names in valid UTF-8")
    if len(names) < count:
        raise gankit.DataError(f"{place}: has {len(names):,} classes, but a label is {count - 1:,}")
    return Classes(tuple(names), {image: names[number_of[image]] for image in images}, file=name)


def _from_csv(files: gankit.ImageFiles, labels: Path, images: list[str], others: set[str]) -> Classes:
    """The labels of a CSV file: lines ``image,label``, with or without a header.

    Names of images are relative to the folder of the CSV file, or to the folder or zip of the images.
    """
    inside = labels.as_posix()
    is_inside = inside in others
    place = files.path / inside if is_inside else labels
    try:
        with files.open(inside) if is_inside else labels.open("rb") as file:
            content = file.read(MAX_LABEL_BYTES)
        rows = [row for row in csv.reader(content.decode("utf-8-sig").splitlines()) if row]
    except Exception as error:  # zipfile raises many types for damaged files
        raise gankit.DataError(f"{place}: the labels cannot be read: {error}") from None
    folder = f"{labels.parent.as_posix()}/" if is_inside and labels.parent != Path() else ""
    known = set(images)
    label_of: dict[str, str] = {}
    for number, row in enumerate(rows, start=1):
        name = next((name for name in (f"{folder}{row[0].strip()}", row[0].strip()) if name in known), None)
        if name is None:  # the header, or an image that is not there
            continue
        if len(row) != 2 or not row[1].strip():
            raise gankit.DataError(f"{place}:{number}: expected an image and its label, as in 'cat/1.png,cat'")
        if label_of.setdefault(name, label := row[1].strip()) != label:
            raise gankit.DataError(
                f"{place}:{number}: {name!r} is {label!r:.80}, but {label_of[name]!r:.80} in an earlier line"
            )
    missing = [image for image in images if image not in label_of]
    if missing:
        advice = "; its lines should be 'image,label', with names relative to it" if not label_of else ""
        raise gankit.DataError(f"{place}: has no label for {_listed(missing)}{advice}")
    names = set(label_of.values())
    numbers = all(name.isdecimal() and name.isascii() and len(name) < MAX_DIGITS for name in names)
    classes = tuple(sorted(names, key=lambda name: (int(name), name)) if numbers else sorted(names))
    return Classes(classes, label_of, file=inside if is_inside else "")


def _is_name(name: object) -> bool:
    """Whether this is a text that can be written to a file."""
    return isinstance(name, str) and not any("\ud800" <= character <= "\udfff" for character in name)


def _listed(names: list[str]) -> str:
    """The first names, quoted, and how many more there are."""
    named = ", ".join(map(repr, names[:MAX_NAMED]))
    return f"{named} and {len(names) - MAX_NAMED:,} more" if len(names) > MAX_NAMED else named
