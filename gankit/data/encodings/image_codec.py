"""A codec of a run: images are encoded for the networks, and what these generate is decoded.

Shapes: ``n`` images [n c h w] in [-1, 1], and their encodings [n k y x].
"""

from __future__ import annotations

import copy
import hashlib
import inspect
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from ...calls import described
from ...interfaces import ImageSpec
from ...networks.frozen import Frozen
from ..image_cache import to_device

BATCH = 64
MAX_MEASURED = 1024  # images from which the mean and the standard deviation of encodings are computed


@dataclass
class ImageCodec:
    """A codec, and the mean and standard deviation of each channel of its encodings.

    Attributes:
        codec: the registered component; a module is never trained.
        encoded: the shape and classes of the encodings.
        device: where it computes.
        dtype: in which it computes.
        params: its parameters in the recipe, except for paths.
        mean: of each channel [k]; None until `standardize`.
        std: of each channel [k].
    """

    codec: Any
    encoded: ImageSpec
    device: torch.device
    dtype: torch.dtype
    params: Mapping[str, Any] = field(default_factory=dict)
    mean: Tensor | None = None
    std: Tensor | None = None

    def __post_init__(self) -> None:
        # as a part of the run whose weights are recorded: of the types that the codec was created with
        self.part: Any = Frozen(self.codec) if isinstance(self.codec, nn.Module) else self.codec
        if isinstance(self.part, nn.Module):
            self.part.to(self.device, self.dtype)

    @property
    def fingerprint(self) -> str | None:
        """Identifies what the codec computes: its class, parameters and weights; None if it is not a module.

        It does not depend on where the class and the weights are stored.
        """
        if not isinstance(self.part, Frozen):
            return None
        kind = type(self.codec)
        try:
            source = inspect.getsource(kind)
        except (OSError, TypeError):  # its source code is not available
            source = ""
        content = f"{source}{json.dumps(dict(self.params), sort_keys=True)}"
        return f"{kind.__qualname__} {hashlib.sha256(content.encode()).hexdigest()} {self.part.fingerprint}"

    def on(self, device: torch.device) -> ImageCodec:
        """The codec on a device; a copy if it is another one."""
        if device == self.device:
            return self
        return replace(self, codec=copy.deepcopy(self.codec), device=device)

    @property
    def bytes_of_encoding(self) -> int:
        """The size of one encoding."""
        return math.prod(self.encoded.shape) * self.dtype.itemsize

    def encode(self, images: Tensor) -> Tensor:
        """The standardized encodings of images, in the dtype of the run."""
        return self.standardized(self.raw(images))

    @torch.no_grad()
    def raw(self, images: Tensor) -> Tensor:
        """The encodings of images as the codec returns them, in the dtype of the run."""
        encodings: Tensor = self.codec.encode(images.to(self.device, self.dtype))
        return encodings.to(self.dtype)

    def standardized(self, encodings: Tensor) -> Tensor:
        """Encodings with mean 0 and standard deviation 1 in each channel, once `standardize` was called."""
        if self.mean is None or self.std is None:
            return encodings
        return (encodings - self._of_channels(self.mean)) / self._of_channels(self.std)

    def decode(self, encodings: Tensor) -> Tensor:
        """The images of standardized encodings. Raises: ValueError: the codec returns something else."""
        encodings = encodings.to(self.device, self.dtype)
        if self.mean is not None and self.std is not None:
            encodings = encodings * self._of_channels(self.std) + self._of_channels(self.mean)
        images = self.codec.decode(encodings)
        require_batch(images, encodings.shape[0], f"{type(self.codec).__name__}.decode")
        return images  # type: ignore[no-any-return]

    def standardize(self, batches: Iterable[Tensor]) -> None:
        """Take mean and standard deviation from these encodings [n k y x]."""
        encodings = torch.cat([batch.cpu().double() for batch in batches])
        self.mean, self.std = encodings.mean((0, 2, 3)), encodings.std((0, 2, 3), correction=0).clamp(min=1e-6)

    def record(self) -> dict[str, Any]:
        """The entries of a manifest: the shape of the encodings, and their mean and standard deviation."""
        shape = [self.encoded.channels, self.encoded.height, self.encoded.width]
        assert self.mean is not None and self.std is not None  # noqa: PT018
        return {"encoded": shape, "mean": self.mean.tolist(), "std": self.std.tolist()}

    def read_standardization(self, record: Mapping[str, Any]) -> None:
        """Take mean and standard deviation from a manifest. Raises: ValueError, TypeError, KeyError: it is invalid."""
        mean, std = (torch.tensor(record[name], dtype=torch.float64) for name in ("mean", "std"))
        channels = self.encoded.channels
        if mean.shape != (channels,) or std.shape != (channels,) or not bool((std > 0).all() & mean.isfinite().all()):
            raise ValueError(f"the mean and standard deviation of the codec are not those of {channels} channels")
        self.mean, self.std = mean, std

    def _of_channels(self, values: Tensor) -> Tensor:
        return to_device(values.to(self.dtype), self.device)[:, None, None]


def encoded_spec(codec: Any, image: ImageSpec) -> ImageSpec:
    """The shape of the encodings, from those of two black images. Raises: ValueError: the codec does not fit them."""
    name = type(codec).__name__
    images = -torch.ones(2, image.channels, image.height, image.width)
    with torch.no_grad():
        encodings = codec.encode(images)
        require_batch(encodings, 2, f"{name}.encode")
        decoded = codec.decode(encodings)
    if not isinstance(decoded, Tensor) or decoded.shape != images.shape:
        raise ValueError(f"{name}.decode returns {described(decoded)} for two encodings; expected {list(images.shape)}")
    _, channels, height, width = encodings.shape
    return ImageSpec(height, width, channels, image.classes)


def require_batch(tensor: Any, count: int, method: str) -> None:
    """Raises: ValueError: the value is not a floating-point tensor [n k y x] with a row for each image."""
    if (
        not isinstance(tensor, Tensor)
        or tensor.dim() != 4
        or tensor.shape[0] != count
        or not tensor.is_floating_point()
    ):
        raise ValueError(f"{method} returns {described(tensor)} for {count} images; expected floats [{count} k y x]")
