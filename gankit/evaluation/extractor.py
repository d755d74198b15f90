"""A feature extractor on a device, with checked outputs. Shapes: ``n`` images, ``f`` features, ``k`` logits."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from ..calls import require_call
from ..device.cuda_settings import cuda_settings
from ..errors import GankitError
from ..interfaces import Features
from .record import ExtractorInfo

T = TypeVar("T")

BATCH = 64  # images; constant, since the last bits of features may depend on it


@contextmanager
def deterministic_fp32() -> Iterator[None]:
    """Compute in full fp32 with deterministic algorithms. With TF32, scores would depend on the type of GPU."""
    flags = torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False)
    with cuda_settings(tf32=False, benchmark=False), flags:
        yield


def call_component(name: str, function: Callable[..., T], *args: Any) -> T:
    """Call a component. Raises: GankitError: it raised a ValueError; the message begins with ``name``."""
    try:
        return function(*args)
    except ValueError as error:
        raise GankitError(f"{name}: {error}") from error


class Extractor:
    """A registered feature extractor on a device.

    Args:
        name: its name in the registry.
        params: its parameters without paths: the hash stands for the content of files.
        features: the extractor. A module is moved to the device and set to eval mode.
        device: computes the features, which are returned on the CPU, where metrics are computed.

    Attributes:
        name: its name in the registry.
        info: the extractor's part of the evaluation record.
        has_logits: whether it computes class logits.
        device_type: ``cpu``, ``cuda`` or ``mps``. Features are equal to the last bit only on one type of device.

    Raises:
        GankitError: the extractor lacks a hash, a resizer or `__call__`.
    """

    def __init__(self, name: str, params: Mapping[str, Any], features: Features, device: torch.device) -> None:
        for key in ("hash", "resizer"):
            value = getattr(features, key, None)
            if not isinstance(value, str) or not value:
                raise GankitError(f"features '{name}': '{key}' should be a non-empty string; got {value!r}")
        try:
            require_call(features, "__call__", ("images",))
        except (AttributeError, ValueError) as error:
            raise GankitError(f"features '{name}': {error}") from None
        if isinstance(features, nn.Module):
            features.to(device).eval().requires_grad_(False)
        self.name, self._features, self._device = name, features, device
        self.info = ExtractorInfo(name=name, params=dict(params), hash=features.hash, resizer=features.resizer)
        self.has_logits, self.device_type = hasattr(features, "logits"), device.type

    def score_name(self, score: str) -> str:
        """The name in records of a metric's score such as ``fd``: an established one (``FID``), or ``fd_EXTRACTOR``."""
        established: Mapping[str, str] = getattr(self._features, "established", {})
        return established.get(score, f"{score}_{self.name}")

    def __call__(self, images: Tensor) -> Tensor:
        """Features float32 [n f] on the CPU of images uint8 [n c h w].

        Raises:
            GankitError: the extractor refuses the images, or its output has another shape or is not finite.
        """
        return self._compute("features", self._features, images)

    def logits(self, features: Tensor) -> Tensor:
        """Class logits float32 [n k] on the CPU of features [n f]. Raises: GankitError: as above."""
        logits = getattr(self._features, "logits")  # noqa: B009  # optional, so not part of the protocol
        return self._compute("logits", logits, features)

    def _compute(self, kind: str, function: Callable[[Tensor], Any], inputs: Tensor) -> Tensor:
        with torch.no_grad(), deterministic_fp32():
            outputs = call_component(f"features '{self.name}'", function, inputs.to(self._device))
        count = len(inputs)
        if not isinstance(outputs, Tensor) or outputs.dim() != 2 or len(outputs) != count:
            given = list(outputs.shape) if isinstance(outputs, Tensor) else type(outputs).__name__
            raise GankitError(f"features '{self.name}': {kind} of {count} images should be [{count} f]; got {given}")
        if not outputs.isfinite().all():
            raise GankitError(f"features '{self.name}': {kind} contain NaN or infinity")
        return outputs.float().cpu()
