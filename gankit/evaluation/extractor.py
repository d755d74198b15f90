"""A feature extractor on a device, its answers checked. Shapes: ``n`` images, ``f`` features, ``k`` logits."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import GankitError
from ..interfaces import Features
from .record import Extraction

BATCH = 64  # images at a time; always the same, since the last bits of features may depend on it


def exactly() -> AbstractContextManager[None]:
    """In full fp32, and the same each time: TF32 would make scores depend on the kind of GPU."""
    return torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False)


class Extractor:
    """A registered extractor and what it is called.

    Args:
        name: under which it is registered.
        params: given to it; paths among them are no part of its identity, since the hash is of what they hold.
        features: the extractor itself; put on the device and into eval mode where it is a module.
        device: where images are sent to; features come back to the CPU, where metrics compute.

    Raises:
        GankitError: it has no hash or no resizer.
    """

    def __init__(self, name: str, params: Mapping[str, Any], features: Features, device: torch.device) -> None:
        for key in ("hash", "resizer"):
            value = getattr(features, key, None)
            if not isinstance(value, str) or not value:
                raise GankitError(f"features '{name}': its '{key}' should be a text; it is {value!r}")
        if isinstance(features, nn.Module):
            features.to(device).eval().requires_grad_(False)
        self._features, self._device = features, device
        self.about = Extraction(name=name, params=dict(params), hash=features.hash, resizer=features.resizer)

    @property
    def name(self) -> str:
        return self.about.name

    @property
    def established(self) -> Mapping[str, str]:
        """The names that literature has for scores with these features."""
        return dict(getattr(self._features, "established", {}))

    @property
    def kind_of_device(self) -> str:
        """Features agree to the last bit on one kind of device only."""
        return self._device.type

    @property
    def has_logits(self) -> bool:
        return hasattr(self._features, "logits")

    def __call__(self, images: Tensor) -> Tensor:
        """Images uint8 [n c h w] to features float32 [n f] on the CPU. Raises: GankitError: it gave something else."""
        return self._checked(self._computed(self._features, images), len(images), "features")

    def logits(self, features: Tensor) -> Tensor:
        """Features [n f] to class logits float32 [n k] on the CPU. Raises: GankitError, as above."""
        return self._checked(self._computed(getattr(self._features, "logits"), features), len(features), "logits")  # noqa: B009  # optional, so no part of the protocol

    def _computed(self, function: Any, values: Tensor) -> Any:
        with torch.no_grad(), exactly():
            try:
                return function(values.to(self._device))
            except ValueError as error:  # images that it does not take
                raise GankitError(f"features '{self.name}': {error}") from error

    def _checked(self, values: Any, count: int, what: str) -> Tensor:
        if not isinstance(values, Tensor) or values.dim() != 2 or len(values) != count:
            given = list(values.shape) if isinstance(values, Tensor) else type(values).__name__
            raise GankitError(f"features '{self.name}': {what} of {count} images should be [{count} f]; got {given}")
        return values.float().cpu()
