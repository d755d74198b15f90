"""A dataset of pairs whose sources are made from the images of another dataset."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Annotated, Any, Literal

import torch
from pydantic import Field, NonNegativeInt, PositiveInt
from torch import Tensor

import gankit

from .degradations import Degradation, Kind
from .held_out import require_same_fields
from .sizing import Sizing

CHUNK = 500  # images whose sources are made at a time, to bound memory


class Derived:
    """The images of another dataset, each with a source that is made from it.

    ``gray`` is the luma (colorization). ``downscale`` is bicubic and antialiased (super-resolution); its field has a
    scale of ``1 / scale``. ``edges`` are soft edges: the magnitude of the Sobel gradient, white on black. ``hole``
    grays out a rectangle at a random place (inpainting). ``noise`` is Gaussian (denoising), and ``blur`` is too
    (deblurring). Noise and holes depend only on ``seed`` and the index: an item is the same in each epoch.

    A source is made from the image in its original size, or that of ``size``; the loader then resizes both together to
    the run's ``image.size``. Therefore, noise, blur and edges get weaker where images are larger than the run's, and a
    downscaled source is resized twice. To make sources at the size that the networks see, set ``size`` to
    the short side of ``image.size``.

    Labels and classes are those of the wrapped dataset. Data in memory stays in memory.

    Args:
        dataset: images of 1 or 3 channels, without further fields.
        source: what to make from them.
        held_out: images that are not trained on; samples are generated for their sources. By default, what ``dataset``
            holds out itself.
        size: length in pixels of the short side, to which images are resized before. None keeps their sizes.
        scale: of ``downscale``. Up to ``scale - 1`` rows and columns at the borders of an image are cropped, so that
            its size is a multiple.
        noise_sigma: standard deviation of ``noise``, in levels of 255.
        blur_sigma: standard deviation of ``blur``, in pixels.
        hole: height and width of ``hole`` in proportion to those of the image.
        seed: of noise and holes.

    Raises:
        ValueError: the source cannot be made from these images.
    """

    def __init__(
        self,
        *,
        dataset: gankit.Dataset,
        source: Kind,
        held_out: gankit.Dataset | None = None,
        size: PositiveInt | None = None,
        scale: Literal[2, 4, 8] = 2,
        noise_sigma: Annotated[float, Field(gt=0, le=255)] = 25.0,
        blur_sigma: Annotated[float, Field(gt=0, le=50)] = 2.0,
        hole: Annotated[float, Field(gt=0, lt=1)] = 0.5,
        seed: NonNegativeInt = 0,
    ) -> None:
        self.dataset, self.degradation = dataset, Degradation(source, scale, noise_sigma, blur_sigma, hole, seed)
        divisor = self.degradation.divisor
        self.sizing = Sizing(size, divisor)
        if size is not None and size % divisor:
            lower = size - size % divisor
            near = f"{lower} or {lower + divisor}" if lower else f"{divisor}"
            raise ValueError(f"size {size} is not a multiple of scale {scale}; use {near}")
        self._parameters: dict[str, Any] = {
            "source": source,
            "size": size,
            "scale": scale,
            "noise_sigma": noise_sigma,
            "blur_sigma": blur_sigma,
            "hole": hole,
            "seed": seed,
        }
        self._inner, self.classes = gankit.spec_of(dataset), gankit.classes_of(dataset)
        if self._inner.fields:
            names = ", ".join(map(repr, self._inner.fields))
            raise ValueError(f"the wrapped dataset has the further fields {names}; use a dataset of images alone")
        self.spec = self._spec()
        self._held_out = None if held_out is None else self._like(held_out)

    def prepare(self, report: gankit.Report = gankit.no_report) -> None:
        """Prepare the wrapped dataset, and the held-out one. Raises: gankit.DataError: one of them fails."""
        gankit.prepare_dataset(self.dataset, report)
        self.classes = gankit.classes_of(self.dataset)
        if self._held_out is not None:
            self._held_out.prepare(report)

    @property
    def labels(self) -> Any:
        """All labels, int64 [n], if they are known."""
        return gankit.labels_of(self.dataset)

    @property
    def thread_safe(self) -> bool:
        """Whether the wrapped dataset is."""
        return bool(getattr(self.dataset, "thread_safe", False))

    @property
    def split(self) -> str:
        """That of the wrapped dataset."""
        return str(getattr(self.dataset, "split", ""))

    @property
    def tensors(self) -> Callable[[], dict[str, Tensor]]:
        """``tensors()`` returns all items, if the wrapped dataset has this method."""
        if not hasattr(self.dataset, "tensors"):
            raise AttributeError("tensors: the dataset is not in memory")
        return self._tensors

    @property
    def held_out(self) -> Callable[[], gankit.Dataset]:
        """``held_out()`` returns held-out images with their sources, if there are some."""
        if self._held_out is None and not hasattr(self.dataset, "held_out"):
            raise AttributeError("held_out: there is no held-out data")
        return self._held_out_pairs

    def describe(self) -> gankit.DataDescription:
        """The summary of the wrapped dataset."""
        inner = gankit.describe_dataset(self.dataset) or gankit.DataDescription(f"{len(self):,} images")
        return gankit.DataDescription(
            f"{inner.summary}; source: {self.degradation.kind}", inner.warnings, inner.skipped
        )

    def fingerprint(self) -> str:
        """A hash of the wrapped dataset's fingerprint and all parameters."""
        parts = gankit.data_fingerprint(self.dataset), *self.sizing, *self.degradation
        return hashlib.sha256(f"derived {parts}".encode()).hexdigest()

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        """``image``, ``source`` and ``label``. Raises: gankit.DataError: the image is too small, or damaged."""
        item = gankit.read_item(self.dataset, index, self._inner, self.classes is not None)
        height, width = item["image"].shape[-2:]
        if 0 in self.sizing.result(height, width):
            raise gankit.DataError(
                f"image {index} is {height} x {width} pixels, which is too small to be downscaled by "
                f"{self.degradation.scale}; remove it, or set `size`"
            )
        image = self.sizing(item["image"][None])
        return {**item, "image": image[0], "source": self.degradation(image, [index])[0]}

    def _tensors(self) -> dict[str, Tensor]:
        every = gankit.read_tensors(self.dataset, self._inner)
        images, size = every["image"], tuple(every["image"].shape[-2:])
        if self.sizing.result(*size) != size:
            images = torch.cat([self.sizing(part) for part in images.split(CHUNK)])
        starts = range(0, len(images), CHUNK)
        parts = [
            self.degradation(part, range(start, start + len(part)))
            for start, part in zip(starts, images.split(CHUNK), strict=True)
        ]
        return {**every, "image": images, "source": torch.cat(parts)}

    def _spec(self) -> gankit.DataSpec:
        """Images have known sizes if those of the wrapped dataset are known. Raises: ValueError: it does not fit."""
        inner, divisor = self._inner.image, self.degradation.divisor
        channels = self.degradation.channels(inner.channels)
        label: dict[str, Any] = {} if self._inner.label is None else {"label": self._inner.label}
        if inner.height is None:
            source = gankit.ImageSpec.any_size(channels, 1 / divisor)
            return gankit.DataSpec(image=gankit.ImageSpec.any_size(inner.channels), source=source, **label)
        height, width = self.sizing.result(inner.height, inner.width)
        if not height or not width:
            raise ValueError(f"images of {inner.height} x {inner.width} pixels cannot be downscaled by {divisor}")
        source = gankit.ImageSpec(height // divisor, width // divisor, channels, scale=1 / divisor)
        return gankit.DataSpec(image=gankit.ImageSpec(height, width, inner.channels), source=source, **label)

    def _held_out_pairs(self) -> gankit.Dataset:
        if self._held_out is not None:
            return self._held_out
        pairs = self._like(self.dataset.held_out())  # type: ignore[attr-defined]  # `held_out` has checked that
        pairs.prepare()
        return pairs

    def _like(self, dataset: gankit.Dataset) -> Derived:
        """Another dataset with sources of the same kind. Raises: ValueError: its images do not fit."""
        pairs = Derived(dataset=dataset, **self._parameters)
        require_same_fields(self.spec, pairs.spec)
        return pairs
