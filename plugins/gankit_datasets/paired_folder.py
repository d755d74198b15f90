"""A dataset of image pairs in files."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field
from torch import Tensor

import gankit

from .checked_images import (
    Channels,
    OnError,
    Split,
    find_images,
    is_in_split,
    read_image,
    refuse_damaged,
    require_test_part,
)
from .class_folders import classes_from_folders
from .held_out import require_same_fields
from .match_pairs import match_by_name
from .pair_summary import describe, describe_faults
from .pairs import Pairs, faults_of_sizes


class PairedFolder:
    """Pairs of an image and its source, as for pix2pix (arXiv 1611.07004) or super-resolution.

    Either two folders or zips contain the images and their sources under the same names, except for the suffix
    (``image: photos``, ``source: sketches``) and an ending that all files of a side share (``0001x4.png``). Or each
    file contains both side by side, in halves of equal width (``path: facades/train``, ``halves: image|source``).
    Files are found and decoded as by ``image_folder``, without classes. An item has the fields ``image`` and
    ``source``.

    Args:
        image: folder or zip of the images.
        source: folder or zip of their sources.
        path: folder or zip of files with both.
        halves: what the left and the right half of these files contain.
        scale: height and width of a source in proportion to its image, such as 0.25 for super-resolution. A source
            may differ from that by less than a pixel.
        channels: of the images: 1 grayscale, 2 grayscale and alpha, 3 RGB, 4 RGB and alpha.
        source_channels: of the sources; by default ``channels``.
        on_error: ``refuse``: damaged files and pairs of other sizes are errors. ``skip``: these pairs are left out, for
            which `prepare` decodes each file once. A file without a counterpart is an error in both cases.
        split: part of the pairs; ``train`` contains all of them while ``test_fraction`` is 0.
        test_fraction: share of the ``test`` part, for whose pairs samples are generated. A checksum of its name assigns
            each pair.
        held_out: data that samples are generated for instead, such as ``{name: paired_folder, path: facades/val,
            halves: image|source}``.

    Raises:
        ValueError: the parameters contradict each other.
    """

    thread_safe = True

    classes = None

    def __init__(
        self,
        *,
        image: Path | None = None,
        source: Path | None = None,
        path: Path | None = None,
        halves: Literal["image|source", "source|image"] | None = None,
        scale: Annotated[float, Field(gt=0, le=1)] = 1.0,
        channels: Channels = 3,
        source_channels: Channels | None = None,
        on_error: OnError = "refuse",
        split: Split = "train",
        test_fraction: Annotated[float, Field(ge=0, lt=1)] = 0.0,
        held_out: gankit.Dataset | None = None,
    ) -> None:
        given = {"image": image, "source": source, "path": path, "halves": halves}
        names = {name for name, value in given.items() if value is not None}
        if names not in ({"image", "source"}, {"path", "halves"}):
            listed = ", ".join(f"`{name}`" for name in given if name in names)
            raise ValueError(
                "give either `image` and `source` (two folders or zips), or `path` and `halves` (files that contain "
                f"both side by side); got {listed or 'none of them'}"
            )
        if halves is not None and scale != 1:
            raise ValueError(f"the halves of a file have the same size; got scale {scale:g}; leave it out")
        if held_out is not None and test_fraction > 0:
            raise ValueError("give either `held_out` or `test_fraction`, which both choose the data to sample for")
        require_test_part(split, test_fraction)
        self._paths = [each for each in (image, source, path) if each is not None]
        self._image_first = halves != "source|image"
        self.scale, self.channels = scale, channels
        self.source_channels = channels if source_channels is None else source_channels
        self.on_error: OnError = on_error
        self.split: Split = split
        self.test_fraction, self._held_out = test_fraction, held_out
        self.spec = gankit.DataSpec(
            image=gankit.ImageSpec.any_size(channels),
            source=gankit.ImageSpec.any_size(self.source_channels, scale),
        )
        if held_out is not None:
            require_same_fields(self.spec, gankit.spec_of(held_out))
        self._pairs: Pairs | None = None
        self._used: list[str] = []

    def prepare(self, report: gankit.Report = gankit.no_report) -> None:
        """Find the pairs and check them as set by ``on_error``.

        Args:
            report: called with the progress.

        Raises:
            gankit.DataError: there are no images, files are damaged or lack a counterpart, or sizes do not fit.
        """
        if self._pairs is not None:
            return
        scans = [find_images(path, self.on_error, report) for path in self._paths]
        for scan in scans:
            classes_from_folders(scan.files, scan.images)  # refuses train and val next to each other
            refuse_damaged(scan, self.on_error)
        names = match_by_name(*scans) if len(scans) == 2 else {name: (name,) for name in scans[0].images}
        pairs = Pairs(scans, names, faults_of_sizes(scans, names, self.scale, report))
        if pairs.faults and self.on_error == "refuse":
            place = ", ".join(str(scan.files.path) for scan in scans)
            advice = "save them again" if len(scans) == 1 else "resize them, change `scale`"
            raise gankit.DataError(f"{place}: {describe_faults(pairs)}; {advice}, or set `on_error: skip`")
        self._choose(pairs)
        if self._held_out is not None:
            gankit.prepare_dataset(self._held_out, report)
        self._pairs = pairs

    @property
    def held_out(self) -> Callable[[], gankit.Dataset]:
        """``held_out()`` returns the data that samples are generated for: ``held_out``, or the test part."""
        if self._held_out is None and (self.split == "test" or self.test_fraction == 0):
            raise AttributeError("held_out: there is no test part")
        return self._test_part

    def describe(self) -> gankit.DataDescription:
        """The summary of `prepare`: the number of pairs, and which files are left out."""
        return describe(self._prepared, self._used, is_part=self.test_fraction > 0)

    def fingerprint(self) -> str:
        """A hash of the pairs: their names, sizes and the first and last 16 KiB of their files, and the parameters."""
        pairs = self._prepared
        parameters = f"{self.channels} {self.source_channels} channels, {self.scale}, {self._image_first}"
        digest = hashlib.sha256(parameters.encode())
        for pair in self._used:
            digest.update(f"\n{pair}".encode(errors="surrogateescape"))
            for scan, name in zip(pairs.scans, pairs.names[pair], strict=True):
                digest.update(f" {scan.checked[name].size} {scan.checked[name].digest}".encode())
        return digest.hexdigest()

    def __len__(self) -> int:
        return len(self._used)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        """``image`` and ``source``, uint8 [c h w] in their original sizes. Raises: gankit.DataError: one is damaged."""
        pairs, name = self._prepared, self._used[index]
        fields = [self.channels, self.source_channels]
        if len(pairs.scans) == 2:
            read = [
                read_image(scan.files, file, channels, self.on_error)
                for scan, file, channels in zip(pairs.scans, pairs.names[name], fields, strict=True)
            ]
            return {"image": read[0], "source": read[1]}
        order = (0, 1) if self._image_first else (1, 0)
        files, (file,) = pairs.scans[0].files, pairs.names[name]
        whole = {channels: read_image(files, file, channels, self.on_error) for channels in {*fields}}
        halves: dict[str, Any] = {}
        for field, channels, side in zip(("image", "source"), fields, order, strict=True):
            pixels = whole[channels]
            half = pixels.shape[-1] // 2
            halves[field] = pixels[..., :half] if side == 0 else pixels[..., -half:]
        return halves

    def _choose(self, pairs: Pairs) -> None:
        """Use the pairs of the split. Raises: gankit.DataError: there are none."""
        wanted = [name for name in pairs.names if is_in_split(name, self.split, self.test_fraction)]
        self._used = [name for name in wanted if name not in pairs.faults]
        if not self._used:
            which = f"; {describe_faults(pairs)}" if pairs.faults else ""
            place = ", ".join(str(scan.files.path) for scan in pairs.scans)
            raise gankit.DataError(
                f"{place}: none of {len(pairs.names):,} pairs is left for split '{self.split}'{which}"
            )

    def _test_part(self) -> gankit.Dataset:
        if self._held_out is not None:
            return self._held_out
        part = copy.copy(self)
        part.split = "test"
        part._choose(self._prepared)
        return part

    @property
    def _prepared(self) -> Pairs:
        if self._pairs is None:
            raise RuntimeError("the dataset is empty; call prepare() first")
        return self._pairs
