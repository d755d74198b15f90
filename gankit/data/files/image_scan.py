"""Finds the images of a folder or zip, and checks them in parallel."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from ...errors import DataError
from ...interfaces import Report, no_report
from ..threads import map_in_threads
from .decoding import DecodeError, open_image, verify_image
from .ignored_files import suffix_of
from .image_files import ImageFiles, has_image_content
from .image_formats import has_image_suffix, is_unsupported_image
from .image_index import NOT_DECODED, CheckedFile, ImageIndex

WINDOW = 1024  # images checked between two looks at the number of damaged ones
MAX_FAULTS = 1000  # more damaged files than this have a common cause
MAX_NAMED = 5  # damaged files that a message lists by name
SAMPLE = 16  # images decoded for the range of their values where not all are decoded
INDEXED_BYTES = 2**24  # fewer bytes of images are decoded again at each start
TOGETHER = 8  # files that a thread examines at a time: fewer cost time, more delay Ctrl-C
NEARLY_BLACK = 16  # of 255; 12-bit values in 16-bit files reach this
TASK = "checking images"


@dataclass
class ImageScan:
    """The content of a folder or zip.

    Attributes:
        files: the folder or zip.
        images: the names of all images, sorted.
        checked: the wanted ones, damaged ones included.
        others: the names of all other files, which are among the ignored ones.
        ignored: what each ignored file or folder is, such as ``.heic`` or ``run directory``, by name.
        notes: sentences for the user.
    """

    files: ImageFiles
    images: list[str]
    checked: dict[str, CheckedFile]
    others: list[str]
    ignored: dict[str, str]
    notes: list[str] = field(default_factory=list)

    @property
    def faults(self) -> dict[str, str]:
        """The faults of damaged images, by name."""
        return {name: file.fault for name, file in self.checked.items() if file.fault}

    @property
    def peak(self) -> int | None:
        """The largest value of all decoded images, 0 to 255; None if none is decoded."""
        peak = max((file.peak for file in self.checked.values()), default=NOT_DECODED)
        return None if peak == NOT_DECODED else peak

    @property
    def unsupported(self) -> list[str]:
        """The names of other files that are images in a format that gankit does not read."""
        return [name for name in self.others if is_unsupported_image(name)]

    def describe_faults(self) -> str:
        """How many images are damaged, and what the first ones have."""
        faults = self.faults
        named = "; ".join(f"{name!r} {fault}" for name, fault in list(faults.items())[:MAX_NAMED])
        more = f"; and {len(faults) - MAX_NAMED} more" if len(faults) > MAX_NAMED else ""
        return f"{self.files.path}: {len(faults)} of {len(self.checked)} images cannot be used: {named}{more}"


def scan_images(
    files: ImageFiles,
    is_wanted: Callable[[str], bool] = lambda name: True,
    skip: bool = False,
    report: Report = no_report,
) -> ImageScan:
    """Find all images, and check those that are wanted.

    Args:
        files: the folder or zip.
        is_wanted: whether an image belongs to the chosen split, by its name.
        skip: decode each image, unless the index of an earlier scan has it; otherwise read headers only, and decode
            a few images to know the range of their values.
        report: called with the progress.

    Raises:
        DataError: too many images are damaged, or any if ``skip`` is not set.
    """
    listing = files.listing()
    index = ImageIndex(files.path) if skip else None

    def examine(name: str) -> CheckedFile | None:
        """None for a file that is not an image."""
        size, digest = 0, ""
        try:
            if index is not None:
                size, digest = files.identity(name)
                if (known := index.get(name, size, digest)) is not None:
                    return known
            with files.open(name) as file:
                if not has_image_suffix(name):
                    if not has_image_content(name, file):
                        return None
                    file.seek(0)
                if not digest:
                    size, digest = files.identity(name, file)
                    file.seek(0)
                if skip and is_wanted(name):
                    return CheckedFile(size, digest, peak=verify_image(file))
                open_image(file)
        except Exception as error:  # zipfile raises many types for damaged files
            if not isinstance(error, DecodeError):
                digest = ""  # reading may succeed next time, so that the index must not know the file
            return CheckedFile(size, digest, _reason(error)) if has_image_suffix(name) else None
        return CheckedFile(size, digest)

    result = ImageScan(files, [], {}, [], dict(listing.ignored))
    fresh_bytes = damaged = 0
    for done, (name, file) in enumerate(
        zip(listing.names, map_in_threads(examine, listing.names, together=TOGETHER), strict=True)
    ):
        if done % 16 == 0:
            report(TASK, done, len(listing.names))
        if file is None:
            result.others.append(name)
            result.ignored[name] = suffix_of(name)
            continue
        result.images.append(name)
        if not is_wanted(name):
            continue
        result.checked[name] = file
        damaged += bool(file.fault)
        if index is not None and index.get(name, file.size, file.digest) is None:
            fresh_bytes += file.size
        if (
            len(result.checked) % WINDOW == 0
            and damaged > MAX_FAULTS
            and not (skip and 2 * damaged <= len(result.checked))
        ):
            raise DataError(f"{result.describe_faults()}; the rest was not checked")
    report(TASK, len(listing.names), len(listing.names))
    if index is None:
        _decode_some(result)
    elif fresh_bytes > INDEXED_BYTES:
        try:
            index.write(result.images, result.checked)
        except OSError as error:
            result.notes.append(f"the images are checked again at the next start: {error}")
    return result


def is_nearly_black(peak: int) -> bool:
    """Whether an image whose largest value is ``peak``, 0 to 255, hardly differs from black."""
    return peak <= NEARLY_BLACK


def _reason(error: Exception) -> str:
    """Why a file cannot be used, continuing a sentence that begins with its name."""
    return str(error) if isinstance(error, DecodeError) else f"cannot be read: {error}"


def _decode_some(found: ImageScan) -> None:
    """Decode images at equal distances to know the range of their values. Damaged ones are found when they are read."""

    def peak(name: str) -> int:
        try:
            with found.files.open(name) as file:
                return verify_image(file)
        except Exception:
            return NOT_DECODED

    names = [name for name, file in found.checked.items() if not file.fault]
    chosen = names[:: max(1, len(names) // SAMPLE)][:SAMPLE]
    for name, value in zip(chosen, map_in_threads(peak, chosen), strict=True):
        found.checked[name] = found.checked[name]._replace(peak=value)
