"""Components tried on stand-ins: networks of any size without data, optimizers without networks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from ..errors import GankitError
from .build_limits import Frugal, bare_add_param_group, one_thread
from ..interfaces import ImageSpec

MAX_PARAMETERS = 100_000_000_000
MAX_TRIED_PIXELS = 1024**2
MAX_QUICK_ELEMENTS = 2**26  # 256 MiB, and less work for the CPU than the import
MAX_ELEMENTS = 2**28  # of one tensor, where a network cannot be tried on the meta device: 1 GiB, for two images

Build = Callable[[], Any]
T = TypeVar("T")


def try_generator(build: Build, image: ImageSpec, latent_dim: int) -> nn.Module | None:
    """The generator, for a look at it; None if it could not be tried.

    Raises:
        Exception: there is no such generator, or two latents do not become two of the recipe's images.
    """

    def run() -> nn.Module:
        generator = _built(build())
        images = generator(torch.zeros(2, latent_dim), _labels(image))
        wanted = (2, image.channels, image.height, image.width)
        if not isinstance(images, Tensor) or tuple(images.shape) != wanted:
            raise ValueError(
                f"makes {_shape(images)} of two latents; the recipe's images are {list(wanted)}: "
                "channels come from the dataset, height and width from image.size"
            )
        return generator

    return _try(run, image)


def try_discriminator(build: Build, image: ImageSpec) -> Any:
    """What the discriminator makes of two images; None if it could not be tried.

    Raises:
        Exception: there is no such discriminator, or two images do not become logits.
    """

    def run() -> Any:
        output = _built(build())(torch.zeros(2, image.channels, image.height, image.width), _labels(image))
        logits = output.get("logits") if isinstance(output, Mapping) else output
        heads = logits if isinstance(logits, (list, tuple)) else [logits]
        if not heads or not all(isinstance(head, Tensor) and head.shape[:1] == (2,) for head in heads):
            given = ", ".join(_shape(head) for head in heads) or "an empty list"
            raise ValueError(
                f"makes {given} of two images; logits are [2 ...], a list of such, or a mapping with 'logits'"
            )
        return output

    return _try(run, image)


def try_augmentation(build: Build, image: ImageSpec) -> None:
    """Raises: Exception: there is no such augmentation, or the images' shape does not stay."""

    def run() -> bool:
        wanted = (2, image.channels, image.height, image.width)
        augmented = _module(build())(torch.zeros(wanted))
        if not isinstance(augmented, Tensor) or tuple(augmented.shape) != wanted:
            raise ValueError(f"makes {_shape(augmented)} of images {list(wanted)}; the shape has to stay")
        return True

    _try(run, image)


def try_optimizer(build: Callable[[list[nn.Parameter]], Any]) -> None:
    """Raises: Exception: it takes no parameter, or is no optimizer."""
    with bare_add_param_group():
        optimizer = build([nn.Parameter(torch.zeros(1))])
    if not isinstance(optimizer, torch.optim.Optimizer):
        raise ValueError(f"makes a {type(optimizer).__name__}, which is no torch.optim.Optimizer")


def _try(run: Callable[[], T], image: ImageSpec) -> T | None:
    """Run where it costs least: a small network on the CPU, another on the meta device, which computes nothing.

    What fails on the meta device is tried on the CPU, which has the last word; images too large for that get the
    benefit of the doubt.
    """
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        if (found := _run_quickly(run)) is not None:
            return found
        try:
            with Frugal(MAX_ELEMENTS, each=True), torch.device("meta"):  # some make tensors elsewhere all the same
                return run()
        except (ValueError, GankitError):
            raise
        except MemoryError as error:
            raise ValueError(f"needs too much memory for two images: {error}") from None
        except Exception as error:  # some networks compute with numbers that the meta device does not have
            if "overflow" in str(error):
                raise ValueError("is too large: its tensors have more elements than can be counted") from None
            return _run_on_the_cpu(run) if image.height * image.width <= MAX_TRIED_PIXELS else None


def _run_on_the_cpu(run: Callable[[], T]) -> T | None:
    try:
        with torch.device("cpu"), Frugal(MAX_ELEMENTS, each=True):
            return run()
    except MemoryError:  # which is no fault of a network's that runs on larger machines
        return None


def _run_quickly(run: Callable[[], T]) -> T | None:
    """Its result, if it runs on the CPU with few elements; that it does not is no fault in itself."""
    try:
        with one_thread(), torch.device("cpu"), Frugal(MAX_QUICK_ELEMENTS):
            return run()
    except (ValueError, GankitError):
        raise
    except Exception:
        return None


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
