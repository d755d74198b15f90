"""A survey of a dataset's images: their sizes, color modes and formats, and which ones are unusual."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property, partial
from statistics import median
from typing import Any, NamedTuple

from ..errors import DataError
from ..interfaces import Report, no_report
from ..interfaces.data_spec import IMAGE, LABEL
from .datasets import classes_of, labels_of, spec_of
from .files.decoding import MODES, open_image, upright_size
from .files.image_index import NOT_DECODED
from .files.image_scan import ImageScan, is_nearly_black
from .items import read_item
from .threads import map_in_threads, map_items

MIN_SHARE_OF_MEDIAN = 1 / 4  # a shorter short side is extreme
MAX_ASPECT = 4  # longer to shorter side; more is extreme
TASK = "reading images"


class ImageFacts(NamedTuple):
    """One image.

    Attributes:
        name: of its file, or ``item 7``.
        label: its class; 0 without classes.
        height: in pixels, upright.
        width: in pixels, upright.
        mode: Pillow's name of its color mode, such as ``RGB``.
        format: of its file, such as ``PNG``; empty for an item that is not a file.
        peak: the largest value of its pixels, 0 to 255; `NOT_DECODED` if only its header was read.
        content: identifies its file or its pixels.
    """

    name: str
    label: int
    height: int
    width: int
    mode: str
    format: str
    peak: int
    content: str


@dataclass(frozen=True)
class Survey:
    """All images of a dataset, in its order."""

    images: list[ImageFacts]

    @property
    def nearly_black(self) -> list[str]:
        """The names of images that hardly differ from black."""
        return [image.name for image in self.images if image.peak != NOT_DECODED and is_nearly_black(image.peak)]

    @property
    def extreme(self) -> dict[str, tuple[int, int]]:
        """Height and width, by name, of images that are far smaller than most, or far longer in one direction."""
        smallest = MIN_SHARE_OF_MEDIAN * median(min(image.height, image.width) for image in self.images)
        return {
            image.name: (image.height, image.width)
            for image in self.images
            if min(sides := (image.height, image.width)) < smallest or max(sides) > MAX_ASPECT * min(sides)
        }

    @cached_property
    def duplicates(self) -> list[list[str]]:
        """The names of images with the same content, in groups."""
        groups: dict[str, list[str]] = {}
        for image in self.images:
            groups.setdefault(image.content, []).append(image.name)
        return [names for names in groups.values() if len(names) > 1]


def survey(dataset: Any, report: Report = no_report) -> Survey:
    """Look at all images of a dataset.

    Of files that the dataset's ``scan`` has checked, only headers are read. Other items are decoded.

    Args:
        dataset: prepared.
        report: called with the progress.

    Raises:
        DataError: the dataset is empty, or an item cannot be read.
    """
    count, scan = len(dataset), getattr(dataset, "scan", None)
    if not count:
        raise DataError("the dataset is empty")
    if isinstance(scan, ImageScan):
        labels, names = labels_of(dataset), dataset.names
        known = [0] * count if labels is None else labels.tolist()
        shared = _shared_contents(scan, names)
        facts = map_in_threads(lambda i: _of_file(scan, names[i], known[i], names[i] in shared), range(count))
    else:
        read = partial(read_item, dataset, spec=spec_of(dataset), has_classes=classes_of(dataset) is not None)
        facts = map_items(dataset, partial(_of_item, read), range(count))
    images: list[ImageFacts] = []
    for facts_of_image in facts:
        report(TASK, len(images), count)
        images.append(facts_of_image)
    report(TASK, count, count)
    return Survey(images)


def _shared_contents(scan: ImageScan, names: Iterable[str]) -> set[str]:
    """The names of files that agree in size and digest, which may be of a part of the file."""
    first: dict[tuple[int, str], str] = {}
    shared: set[str] = set()
    for name in names:
        file = scan.checked[name]
        if (other := first.setdefault((file.size, file.digest), name)) != name:
            shared |= {name, other}
    return shared


def _of_file(scan: ImageScan, name: str, label: int, is_shared: bool) -> ImageFacts:
    with scan.files.open(name) as file:
        image = open_image(file)
        size, mode, form = upright_size(image), image.mode, image.format or ""
    content = name
    if is_shared:
        with scan.files.open(name) as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]  # not an IO[bytes]
    return ImageFacts(name, label, *size, mode, form, scan.checked[name].peak, content)


def _of_item(read: Callable[[int], dict[str, Any]], index: int) -> ImageFacts:
    item = read(index)
    image, label = item[IMAGE], item.get(LABEL)
    content = hashlib.blake2b(f"{[*image.shape]}".encode() + image.numpy().tobytes(), digest_size=16).hexdigest()
    number = int(label) if label is not None and label.ndim == 0 else 0
    height, width = image.shape[-2:]
    return ImageFacts(f"item {index}", number, height, width, MODES[len(image)], "", int(image.max()), content)
