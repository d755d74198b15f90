"""Two folders of images for unpaired translation."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from .checked_images import Channels, OnError, Split
from .image_folder import ImageFolder
from .unpaired import Unpaired


def unpaired_folders(
    *,
    image: Path,
    source: Path,
    held_out_image: Path | None = None,
    held_out_source: Path | None = None,
    channels: Channels = 3,
    source_channels: Channels | None = None,
    on_error: OnError = "refuse",
    split: Split = "train",
    test_fraction: Annotated[float, Field(ge=0, lt=1)] = 0.0,
) -> Unpaired:
    """Two folders or zips of images for unpaired translation: ``unpaired`` with two datasets ``image_folder``.

    Args:
        image: folder or zip of the domain to translate to, such as ``trainB``.
        source: folder or zip of the domain to translate from, such as ``trainA``.
        held_out_image: images of the target domain that are not trained on, such as ``testB``.
        held_out_source: sources that samples are generated for, such as ``testA``.
        channels: of the images: 1 grayscale, 2 grayscale and alpha, 3 RGB, 4 RGB and alpha.
        source_channels: of the sources; by default ``channels``.
        on_error: treatment of damaged files, as in ``image_folder``.
        split: part of the images and of the sources; ``train`` contains all of them while ``test_fraction`` is 0.
        test_fraction: share of the ``test`` part of both, whose sources samples are generated for.

    Raises:
        ValueError: ``split: test`` without a ``test_fraction``, or the parameters contradict each other.
    """
    if test_fraction > 0 and (held_out_image is not None or held_out_source is not None):
        raise ValueError("give either held-out folders or `test_fraction`, which both choose the data to sample for")

    def folder(path: Path, number: Channels, fraction: float = 0.0, part: Split = "train") -> ImageFolder:
        return ImageFolder(path=path, channels=number, on_error=on_error, split=part, test_fraction=fraction)

    number = channels if source_channels is None else source_channels
    return Unpaired(
        image=folder(image, channels, test_fraction, split),
        source=folder(source, number, test_fraction, split),
        held_out_image=None if held_out_image is None else folder(held_out_image, channels),
        held_out_source=None if held_out_source is None else folder(held_out_source, number),
    )
