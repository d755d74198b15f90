"""A feature extractor on a device, with checked outputs. Shapes: ``n`` images, ``f`` features, ``k`` logits."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import GankitError
from ..interfaces import Features
from .record import ExtractorInfo

BATCH = 64  # images; constant, since the last bits of features may depend on it


def deterministic_fp32() -> AbstractContextManager[None]:
    """Compute in full fp32 with deterministic algorithms. With TF32, scores would depend on the type of GPU."""
    return torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False)


class Extractor:
    """A registered feature extractor on a device.

    Args:
        name: its name in the registry.
        params: its parameters without paths: the hash stands for the content of files.
        features: the extractor. A module is moved to the device and set to eval mode.
        device: computes the features, which are returned on the CPU, where metrics are computed.

    Attributes:
        info: the extractor's part of the evaluation record.

    Raises:
        GankitError: the extractor lacks a hash or a resizer.
    """

    def __init__(self, name: str, params: Mapping[str, Any], features: Features, device: torch.device) -> None:
        for key in ("hash", "resizer"):
            value = getattr(features, key, None)
            if not isinstance(value, str) or not value:
                raise GankitError(f"features '{name}': '{key}' should be a non-empty string; got {value!r}")
        if isinstance(features, nn.Module):
            features.to(device).eval().requires_grad_(False)
        self._features, self._device = features, device
        self.info = ExtractorInfo(name=name, params=dict(params), hash=features.hash, resizer=features.resizer)

    @property
    def name(self) -> str:
        return self.info.name

    @property
    def established(self) -> Mapping[str, str]:
        """Names from the literature for scores with these features, such as ``{"fd": "FID"}``."""
        return dict(getattr(self._features, "established", {}))

    @property
    def device_type(self) -> str:
        """``cpu``, ``cuda`` or ``mps``. Features are equal to the last bit only on one type of device."""
        return self._device.type

    @property
    def has_logits(self) -> bool:
        return hasattr(self._features, "logits")

    def __call__(self, images: Tensor) -> Tensor:
        """Features float32 [n f] on the CPU of images uint8 [n c h w].

        Raises:
            GankitError: the extractor refuses the images, or its output has another shape.
        """
        return self._check(self._call(self._features, images), len(images), "features")

    def logits(self, features: Tensor) -> Tensor:
        """Class logits float32 [n k] on the CPU of features [n f]. Raises: GankitError: as above."""
        logits = getattr(self._features, "logits")  # noqa: B009  # optional, so not part of the protocol
        return self._check(self._call(logits, features), len(features), "logits")

    def _call(self, function: Any, values: Tensor) -> Any:
        with torch.no_grad(), deterministic_fp32():
            try:
                return function(values.to(self._device))
            except ValueError as error:  # such as images of an unsupported size
                raise GankitError(f"features '{self.name}': {error}") from error

    def _check(self, values: Any, count: int, kind: str) -> Tensor:
        if not isinstance(values, Tensor) or values.dim() != 2 or len(values) != count:
            given = list(values.shape) if isinstance(values, Tensor) else type(values).__name__
            raise GankitError(f"features '{self.name}': {kind} of {count} images should be [{count} f]; got {given}")
        return values.float().cpu()
