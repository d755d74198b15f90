"""Pairs of images in files: side by side in one file, or in files of two folders; and which of them do not fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import gankit

REPORT_INTERVAL = 16  # pairs
TASK = "checking pairs"


class Pairs(NamedTuple):
    """The pairs of one scan with both halves of each pair, or of two scans, of images and of sources.

    Attributes:
        scans: of the files.
        names: of the files of each pair, one for each scan, by the name of the pair.
        faults: why a pair cannot be used, by its name.
    """

    scans: Sequence[gankit.ImageScan]
    names: Mapping[str, Sequence[str]]
    faults: Mapping[str, str]


def faults_of_sizes(
    scans: Sequence[gankit.ImageScan], names: Mapping[str, Sequence[str]], scale: float, report: gankit.Report
) -> dict[str, str]:
    """Pairs that cannot be used by the sizes in the headers of their files, and why.

    Args:
        scans: as in `Pairs`; files that they found damaged are left out.
        names: as in `Pairs`.
        scale: the size of a source in proportion to its image.
        report: called with the progress.
    """
    faults: dict[str, str] = {}
    damaged = [scan.faults for scan in scans]
    for done, (pair, files) in enumerate(names.items()):
        if done % REPORT_INTERVAL == 0:
            report(TASK, done, len(names))
        reasons = [f"{name!r} {known[name]}" for name, known in zip(files, damaged, strict=True) if name in known]
        try:
            if not reasons:
                sizes = [_upright_size(scan.files, name) for scan, name in zip(scans, files, strict=True)]
                reasons = _fault_of_halves(files, sizes) if len(scans) == 1 else _fault_of_two(files, sizes, scale)
        except Exception as error:  # of a file that changes meanwhile; zipfile raises many types
            reasons = [f"{' or '.join(map(repr, files))} cannot be read: {error}"]
        if reasons:
            faults[pair] = reasons[0]
    report(TASK, len(names), len(names))
    return faults


def _fault_of_halves(files: Sequence[str], sizes: Sequence[tuple[int, int]]) -> list[str]:
    ((_, width),) = sizes
    return [f"{files[0]!r} is {width} pixels wide, which is not two halves of equal width"] if width % 2 else []


def _fault_of_two(files: Sequence[str], sizes: Sequence[tuple[int, int]], scale: float) -> list[str]:
    """A source may be rounded up or down to whole pixels."""
    (height, width), (source_height, source_width) = sizes
    if abs(source_height - scale * height) < 1 and abs(source_width - scale * width) < 1:
        return []
    return [
        f"image {files[0]!r} is {height} x {width} pixels (height x width) and source {files[1]!r} is "
        f"{source_height} x {source_width}; with scale {scale:g}, it should be {scale * height:g} x {scale * width:g}"
    ]


def _upright_size(files: gankit.ImageFiles, name: str) -> tuple[int, int]:
    """Height and width from the header, rotated by the EXIF orientation."""
    with files.open(name) as file:
        return gankit.upright_size(gankit.open_image(file), header_only=True)
