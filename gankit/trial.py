"""Networks and augmentations, tried on stand-in data: without data, on no device, and whatever their size."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from .errors import GankitError
from .interfaces import ImageSpec

MAX_PARAMETERS = 100_000_000_000
MAX_TRIED_PIXELS = 1024**2
MAX_QUICK_ELEMENTS = 2**26  # about what the CPU does while torch imports what the meta device needs, and 256 MiB

Build = Callable[[], Any]


def try_generator(build: Build, image: ImageSpec, latent_dim: int) -> None:
    """Raises: Exception: there is no such generator, or two latents do not become two of the recipe's images."""

    def run() -> None:
        images = _built(build())(torch.zeros(2, latent_dim), _labels(image))
        wanted = (2, image.channels, image.height, image.width)
        if not isinstance(images, Tensor) or tuple(images.shape) != wanted:
            raise ValueError(
                f"makes {_shape(images)} of two latents; the recipe's images are {list(wanted)}: "
                "channels come from the dataset, height and width from image.size"
            )

    _try(run, image)


def try_discriminator(build: Build, image: ImageSpec) -> None:
    """Raises: Exception: there is no such discriminator, or two images do not become logits."""

    def run() -> None:
        output = _built(build())(torch.zeros(2, image.channels, image.height, image.width), _labels(image))
        logits = output.get("logits") if isinstance(output, Mapping) else output
        heads = logits if isinstance(logits, (list, tuple)) else [logits]
        if not heads or not all(isinstance(head, Tensor) and head.shape[:1] == (2,) for head in heads):
            given = ", ".join(_shape(head) for head in heads) or "an empty list"
            raise ValueError(
                f"makes {given} of two images; logits are [2 ...], a list of such, or a mapping with 'logits'"
            )

    _try(run, image)


def try_augmentation(build: Build, image: ImageSpec) -> None:
    """Raises: Exception: there is no such augmentation, or the images' shape does not stay."""

    def run() -> None:
        wanted = (2, image.channels, image.height, image.width)
        augmented = _module(build())(torch.zeros(wanted))
        if not isinstance(augmented, Tensor) or tuple(augmented.shape) != wanted:
            raise ValueError(f"makes {_shape(augmented)} of images {list(wanted)}; the shape has to stay")

    _try(run, image)


def _try(run: Callable[[], None], image: ImageSpec) -> None:
    """Run where it costs least: a small network on the CPU, another on the meta device, which computes nothing.

    What fails on the meta device is tried on the CPU, which has the last word; images too large for that get the
    benefit of the doubt.
    """
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        if _passes_quickly(run):
            return
        try:
            with torch.device("meta"):
                run()
        except (ValueError, GankitError):
            raise
        except Exception as error:  # some networks compute with numbers that the meta device does not have
            if "overflow" in str(error):
                raise ValueError("is too large: its tensors have more elements than can be counted") from None
            if image.height * image.width <= MAX_TRIED_PIXELS:
                with torch.device("cpu"):
                    run()


def _passes_quickly(run: Callable[[], None]) -> bool:
    """Whether it runs on the CPU with few elements; if not, that alone is no fault.

    On the meta device the same takes a second more, for torch imports its compiler to find the shapes.
    """
    try:
        with torch.device("cpu"), _Frugal(MAX_QUICK_ELEMENTS):
            run()
    except (ValueError, GankitError):
        raise
    except Exception:
        return False
    return True


class _Frugal(TorchDispatchMode):
    """Lets torch compute up to so many elements, and refuses to allocate more than are left."""

    def __init__(self, elements: int) -> None:
        super().__init__()
        self._left = elements

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # else torch imports its compiler, to tell it to leave this alone

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = dict(zip((argument.name for argument in func._schema.arguments), args, strict=False)) | (kwargs or {})
        self._spend(math.prod(given.get("size", ())), "asked for")
        result = func(*args, **(kwargs or {}))
        results = result if isinstance(result, (list, tuple)) else (result,)
        self._left -= self._spend(sum(part.numel() for part in results if isinstance(part, Tensor)), "made")
        return result

    def _spend(self, elements: int, how: str) -> int:
        if elements > self._left:
            raise RuntimeError(f"{elements} elements are {how}, where {self._left} are left")
        return elements


def _labels(image: ImageSpec) -> Tensor | None:
    return torch.zeros(2, dtype=torch.int64) if image.classes else None


def _module(component: Any) -> nn.Module:
    if not isinstance(component, nn.Module):
        raise ValueError(f"makes a {type(component).__name__}, which is no torch.nn.Module")
    return component


def _built(network: Any) -> nn.Module:
    """The network. Raises: ValueError: it is none, or larger than any machine could hold."""
    count = sum(parameter.numel() for parameter in _module(network).parameters())
    if count > MAX_PARAMETERS:
        raise ValueError(f"has {count:,} parameters, more than the {MAX_PARAMETERS:,} that gankit takes for no mistake")
    return _module(network)


def _shape(value: Any) -> str:
    return str(list(value.shape)) if isinstance(value, Tensor) else type(value).__name__
