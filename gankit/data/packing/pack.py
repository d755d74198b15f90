"""Packs the images of a dataset into a zip of class folders that ``image_folder`` reads. Packing is reproducible.

The manifest of the zip has the name and the key ``labels`` of the label file of StyleGAN's ``dataset_tool.py``.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from PIL import Image
from torch import Tensor

from ... import __version__
from ...errors import DataError
from ...files import output_file
from ...interfaces import Report, no_report
from ..datasets import classes_of, describe_dataset, labels_of, spec_of
from ..files.safe_zip import MAX_ENTRIES
from ..resize import Fit, resize
from ..threads import map_in_threads
from .class_folder_names import class_folder_names
from .perceptual_hash import NearDuplicates, perceptual_hash

PackFormat = Literal["png", "webp", "jpeg"]
MANIFEST = "dataset.json"
JPEG_QUALITY = 95
DIGITS = 6  # of the number of an image, at least
TIME = (1980, 1, 1, 0, 0, 0)  # of all entries, the earliest that a zip can have
PERMISSIONS = 0o644 << 16
UNIX = 3  # the system that the permissions are of
TASK = "packing images"


class NamedImages(Protocol):
    """A prepared dataset of image files."""

    names: Sequence[str]

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> tuple[Tensor, int]: ...


@dataclass(frozen=True)
class Packing:
    """How images are packed.

    Attributes:
        size: height and width in pixels; None keeps the size of each image.
        fit: for images of another aspect ratio, as in `resize`.
        format: of the files. PNG is lossless, and so is WebP without a quality.
        quality: of JPEG and WebP, 1 to 100.
        deduplicate: the largest number of different bits between the perceptual hashes of duplicates; None keeps all.
    """

    size: tuple[int, int] | None = None
    fit: Fit = "crop"
    format: PackFormat = "png"
    quality: int | None = None
    deduplicate: int | None = None

    def encode(self, image: Tensor) -> bytes:
        """The file of an image uint8 [c h w]. Raises: OSError, ValueError: the format cannot hold it."""
        settings: dict[str, Any] = {}
        if self.format == "jpeg":
            settings = {"quality": JPEG_QUALITY if self.quality is None else self.quality}
        elif self.format == "webp":  # exact: also the colors of transparent pixels
            settings = {"lossless": True, "exact": True} if self.quality is None else {"quality": self.quality}
        file = io.BytesIO()
        pixels = image[0] if len(image) == 1 else image.permute(1, 2, 0)
        Image.fromarray(pixels.contiguous().numpy()).save(file, format=self.format, **settings)
        return file.getvalue()


@dataclass(frozen=True)
class Packed:
    """The result of packing.

    Attributes:
        count: the number of images.
        dropped: the duplicates: ``source``, the ``duplicate_of`` that is kept, and the ``distance`` of the hashes.
    """

    count: int
    dropped: list[dict[str, Any]]


@dataclass(frozen=True)
class _Encoded:
    index: int
    content: bytes
    hash: int | None


def pack(dataset: NamedImages, path: Path, packing: Packing, report: Report = no_report) -> Packed:
    """Write a zip of all images. A zip at ``path`` is replaced once the new one is complete.

    Images are numbered in the order of the dataset, class by class, and their class numbers stay the same. A run on the
    zip therefore sees the same batches as a run on a source whose classes are its folders.

    Args:
        dataset: prepared, with the name of each image's file. Its items are ``(image, label)``.
        path: of the zip.
        packing: size and format.
        report: called with the progress.

    Raises:
        DataError: an image is damaged, or the format cannot hold it.
        GankitError: the zip cannot be written.
    """
    names, classes, labels = dataset.names, classes_of(dataset), labels_of(dataset)
    if len(names) >= MAX_ENTRIES:  # with the description
        raise DataError(
            f"{len(names):,} images do not fit into a zip, of which gankit reads at most {MAX_ENTRIES:,} entries; "
            "pack a part of them"
        )
    for name in classes or ():
        if any("\ud800" <= character <= "\udfff" for character in name):  # bytes that are not UTF-8
            raise DataError(f"the name of the class {name!r} is not valid UTF-8, which {MANIFEST} needs; rename it")
    numbers = [0] * len(names) if labels is None else labels.tolist()
    folders = [f"{folder}/" for folder in class_folder_names(classes)] if classes else [""]
    order = sorted(range(len(names)), key=lambda index: (folders[numbers[index]], index))

    def encode(index: int) -> _Encoded:
        image = dataset[index][0]
        if packing.size is not None:
            image = resize(image[None], *packing.size, packing.fit)[0]
        hash_ = None if packing.deduplicate is None else perceptual_hash(image)
        try:
            return _Encoded(index, packing.encode(image), hash_)
        except (OSError, ValueError) as error:
            form = packing.format.upper()
            raise DataError(f"{names[index]!r} cannot be written as {form}: {error}; set another format") from error

    images: list[dict[str, Any]] = []
    label_of: list[tuple[str, int]] = []
    dropped: list[dict[str, Any]] = []
    digits = max(DIGITS, len(str(len(names) - 1)))
    known = NearDuplicates(packing.deduplicate or 0, len(names))
    with output_file(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for done, encoded in enumerate(map_in_threads(encode, order)):
            report(TASK, done, len(order))
            source, number = names[encoded.index], numbers[encoded.index]
            about = {"source": source, "class": classes[number] if classes else None}
            if encoded.hash is not None and (found := known.find(encoded.hash)) is not None:
                dropped.append({**about, "duplicate_of": images[found[0]]["source"], "distance": found[1]})
                continue
            file = f"{folders[number]}{len(images):0{digits}}.{packing.format}"
            images.append({"file": file, "sha256": hashlib.sha256(encoded.content).hexdigest(), **about})
            label_of.append((file, number))
            _write(archive, file, encoded.content)
        report(TASK, len(order), len(order))
        manifest = {
            **_description(dataset, packing),
            "classes": classes,
            "labels": label_of if classes else None,
            "images": images,
            "dropped": dropped,
        }
        _write(archive, MANIFEST, json.dumps(manifest, indent=1).encode())
    return Packed(len(images), dropped)


def _description(dataset: NamedImages, packing: Packing) -> dict[str, Any]:
    found = describe_dataset(dataset)
    skipped: Mapping[str, str] = {} if found is None else found.skipped
    options = {"channels": spec_of(dataset).image.channels, **asdict(packing)}
    return {"gankit": __version__, "options": options, "skipped": dict(skipped)}


def _write(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    """Add a file that depends on name and content only. It is stored as it is, as images are compressed already."""
    entry = zipfile.ZipInfo(name, TIME)
    entry.create_system, entry.external_attr = UNIX, PERMISSIONS
    archive.writestr(entry, content)
