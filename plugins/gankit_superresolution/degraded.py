"""A dataset of images and degraded, smaller copies of them."""

from __future__ import annotations

import hashlib
import json
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import NonNegativeInt, PositiveInt
from torch import Tensor

import gankit

from .degradation import degrade
from .image_size import Fit, checked_size, with_size
from .item_random import ItemRandom

VERSION = 2  # of the degradation, for the fingerprint


class Degraded:
    """The images of another dataset, each with a degraded copy in the field ``source``, as super-resolution needs.

    By default, the copy is made by the second-order degradation of Real-ESRGAN (arXiv 2107.10833, sec. 3.2 and 3.3):
    blur with a random kernel, resizing by a random factor, Gaussian or Poisson noise, and JPEG compression; the same
    again with other parameters; and a sinc filter, before or after the second compression. The paper draws them anew in
    each epoch. Here, item i depends on the seed and i alone. ``copies`` adds items of the same images with other
    degradations.

    Set ``size`` to the ``image.size`` of the recipe. The loader resizes the fields of an item together if they do
    not have the size of the run, and resizing a degraded copy removes its noise and the blocks of JPEG. It leaves items
    of this dataset as they are if both sizes are equal. For this reason, the images are cut out or resized here, before
    they are degraded, and data whose images may have any size need ``size``.

    Args:
        dataset: images of one or three channels, with or without classes.
        held_out: other images, for which samples are generated, each once and degraded in the same way. Without it,
            the ``held_out()`` of the dataset is used, if it has one.
        scale: the source has 1/``scale`` of the height and width of the image.
        size: height and width of the images in pixels, or one number for both. None keeps the size of the images, which
            must then be fixed.
        fit: how an image of another size gets ``size``. ``patch`` cuts out a patch at a random place, which keeps the
            sharpness of photos; images that are too small for it are enlarged first. ``crop`` resizes the short side
            and crops the center, like ``loader.fit: crop``.
        rounds: 2 for the second-order degradation, 1 for its second round alone, and 0 for bicubic downsampling without
            other degradations, as in SRGAN and ESRGAN.
        copies: how many items an image gives, with different degradations and patches.
        seed: of all degradations and patches.

    Raises:
        ValueError: the images have other numbers of channels, or their size is unknown or not a multiple of ``scale``,
            or the dataset has further fields.
    """

    def __init__(
        self,
        *,
        dataset: gankit.Dataset,
        held_out: gankit.Dataset | None = None,
        scale: Literal[1, 2, 4] = 4,
        size: PositiveInt | tuple[PositiveInt, PositiveInt] | None = None,
        fit: Fit = "patch",
        rounds: Literal[0, 1, 2] = 2,
        copies: PositiveInt = 1,
        seed: NonNegativeInt = 0,
    ) -> None:
        self.dataset, self.scale, self.fit, self.rounds = dataset, scale, fit, rounds
        self.copies, self.seed = copies, seed
        self._inner, self.classes = gankit.spec_of(dataset), gankit.classes_of(dataset)
        _require_images_only(self._inner)
        self.size = checked_size(size, self._inner.image, scale)
        channels, (height, width) = self._inner.image.channels, self.size
        fields: dict[str, Any] = {} if self._inner.label is None else {"label": self._inner.label}
        fields["source"] = gankit.ImageSpec(height // scale, width // scale, channels, scale=1 / scale)
        self.spec = gankit.DataSpec(image=gankit.ImageSpec(height, width, channels), **fields)
        self._held_out = None if held_out is None else self._degraded(held_out)
        if self._held_out is not None and self._held_out.spec["image"] != self.spec["image"]:
            raise ValueError(
                f"the images of held_out are {_describe_image(self._held_out.spec.image)}, those of the dataset are "
                f"{_describe_image(self.spec.image)}; choose images of the same kind, or set size"
            )
        if held_out is not None or hasattr(dataset, "held_out"):
            self.held_out = self._prepared_held_out  # gankit looks whether there is such a method

    @property
    def split(self) -> str:
        """The split of the images."""
        return str(getattr(self.dataset, "split", ""))

    @property
    def labels(self) -> NDArray[np.int64] | None:
        """All labels [n], if they are known without reading the images."""
        known = gankit.labels_of(self.dataset)
        return None if known is None else np.tile(known, self.copies)

    def prepare(self, report: gankit.Report = gankit.no_report) -> None:
        """Prepare the images, and those for samples. Raises: gankit.DataError: as for these datasets."""
        gankit.prepare_dataset(self.dataset, report)
        self.classes = gankit.classes_of(self.dataset)  # some datasets find them in `prepare`
        if self._held_out is not None:
            self._held_out.prepare(report)

    def describe(self) -> gankit.DataDescription | None:
        """The summary of the images."""
        return gankit.describe_dataset(self.dataset)

    def fingerprint(self) -> str:
        """A hash of that of the images and of all parameters that items depend on."""
        content = {
            "version": VERSION,
            "images": gankit.data_fingerprint(self.dataset),
            "parameters": [self.scale, self.size, self.fit, self.rounds, self.copies, self.seed],
        }
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()

    def __len__(self) -> int:
        return self.copies * len(self.dataset)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        """The image uint8 [c h w], the source uint8 [c h/scale w/scale] and the label.

        Raises:
            gankit.DataError: the image cannot be read.
        """
        if not 0 <= index < len(self):
            raise IndexError(f"image {index} of {len(self)}")
        item = gankit.read_item(self.dataset, index % len(self.dataset), self._inner, self.classes is not None)
        random = ItemRandom(self.seed, index)
        image = with_size(item["image"], self.size, self.fit, random)
        source = self.spec.shape_of("source")
        degraded = degrade(image, (source[1], source[2]), self.rounds, random)
        return {"image": image, "source": degraded, "label": item["label"]}

    def _degraded(self, dataset: gankit.Dataset) -> Degraded:
        """Another dataset, degraded in the same way."""
        return Degraded(
            dataset=dataset, scale=self.scale, size=self.size, fit=self.fit, rounds=self.rounds, seed=self.seed
        )

    def _prepared_held_out(self) -> Degraded:
        if self._held_out is None:
            self._held_out = self._degraded(self.dataset.held_out())  # type: ignore[attr-defined]  # it has one
        return self._held_out


def _require_images_only(spec: gankit.DataSpec) -> None:
    """Raises: ValueError: items have further fields, or channels that JPEG does not have."""
    if spec.fields:
        raise ValueError(
            f"the dataset has further fields ({', '.join(map(repr, spec.fields))}), which 'degraded' cannot keep; "
            "choose a dataset of images"
        )
    if spec.image.channels not in (1, 3):
        raise ValueError(f"the images of the dataset have {spec.image.channels} channels; choose 1 (gray) or 3 (RGB)")


def _describe_image(image: gankit.ImageSpec) -> str:
    """The shape of images for a message."""
    return f"{image.height}x{image.width} with {image.channels} channels"
