"""Describes for the user what a scan found: one line, warnings, and the list of skipped files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import gankit

from .class_folders import Classes

MAX_CLASSES = 12  # named with their number of images
MAX_KINDS = 6  # of ignored files
MAX_PATHS = 3


def describe(found: gankit.ImageScan, classes: Classes, used: Sequence[str]) -> gankit.DataDescription:
    """Describe a scan.

    Args:
        found: the scan.
        classes: of its images.
        used: the names of the images that training uses.
    """
    faults = found.faults
    skipped = {**faults, **{name: f"ignored: {kind}" for name, kind in found.ignored.items()}}
    return gankit.DataDescription(_summary(found, classes, used), tuple(warnings_of(found)), skipped)


def count_ignored(ignored: Mapping[str, str]) -> str:
    """The ignored files and folders: ``500 .heic, 2 @eaDir, run directory results/dcgan``."""
    counts = Counter(ignored.values())
    runs = [name for name, kind in ignored.items() if kind == "run directory"]
    shown = [f"{count:,} {kind}" for kind, count in counts.most_common() if kind != "run directory"]
    if len(shown) > MAX_KINDS:
        rest = sum(sorted(counts.values(), reverse=True)[MAX_KINDS:])
        shown = [*shown[:MAX_KINDS], f"{rest:,} others"]
    if runs:
        more = f" and {len(runs) - MAX_PATHS} more" if len(runs) > MAX_PATHS else ""
        shown.append(f"{'run directory' if len(runs) == 1 else 'run directories'} {', '.join(runs[:MAX_PATHS])}{more}")
    return ", ".join(shown)


def unsupported_images(found: gankit.ImageScan) -> str | None:
    """A sentence about images in formats that gankit does not read; None if there are none."""
    kinds = Counter(found.ignored[name] for name in found.unsupported)
    if not kinds:
        return None
    some = kinds.most_common(1)[0][0]
    named = ", ".join(f"{count:,} {kind}" for kind, count in kinds.most_common())
    return (
        f"gankit does not read these images: {named}; convert them to JPEG or PNG, for example with "
        f"`magick mogrify -format jpg *{some}`"
    )


def _summary(found: gankit.ImageScan, classes: Classes, used: Sequence[str]) -> str:
    parts = [f"{len(used):,} image{'' if len(used) == 1 else 's'}"]
    if len(found.checked) < len(found.images):
        parts[0] += f" of the chosen split, out of {len(found.images):,}"
    if classes.names:
        counts = Counter(classes.of[name] for name in used)
        shown = [f"{gankit.truncate(name, 40)} {counts[name]:,}" for name in classes.names[:MAX_CLASSES]]
        if len(classes.names) > MAX_CLASSES:
            numbers = [counts[name] for name in classes.names]
            shown.append(
                f"and {len(classes.names) - MAX_CLASSES:,} more ({min(numbers):,} to {max(numbers):,} images each)"
            )
        parts[0] += f", classes: {', '.join(shown)}"
    elif classes.note:
        parts[0] += f", no classes {classes.note}"
    if found.faults:
        parts.append(f"damaged: {len(found.faults):,}")
    if empty := _folders_without_images(found, classes):
        parts.append(f"folders without images: {', '.join(empty)}")
    if found.ignored:
        parts.append(f"ignored: {count_ignored(found.ignored)}")
    return "; ".join(parts)


def _folders_without_images(found: gankit.ImageScan, classes: Classes) -> list[str]:
    """Folders next to the classes that have files but no images."""
    if classes.folder is None:
        return []
    inner = [name.removeprefix(classes.folder) for name in found.others if name.startswith(classes.folder)]
    return sorted({name.split("/")[0] for name in inner if "/" in name} - set(classes.names))[:MAX_PATHS]


def warnings_of(found: gankit.ImageScan) -> list[str]:
    """Sentences about damaged files, unsupported formats and images that are nearly black."""
    warnings = [f"{found.files.path}: {note}" for note in found.notes]
    if found.faults:
        warnings.append(f"{found.describe_faults()}; skipped (skipped_files.jsonl of a run lists all of them)")
    if sentence := unsupported_images(found):
        warnings.append(f"{found.files.path}: {sentence}")
    if found.peak is not None and gankit.is_nearly_black(found.peak):
        warnings.append(
            f"{found.files.path}: all images are nearly black: their values are from 0 to {found.peak} of 255. 16-bit "
            "files with 12-bit values and masks of class numbers look like this; scale them to the full range"
        )
    return warnings
