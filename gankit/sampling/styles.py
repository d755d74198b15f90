"""Generators that are controlled by one style per layer, such as StyleGAN2.

Shapes: ``n`` images, ``c`` channels, ``h`` height, ``w`` width, ``l`` layers, ``s`` features of a style.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeGuard

from torch import Tensor, nn

from .sample_inputs import DeviceInputs


class StyleGenerator(Protocol):
    """A generator with the optional methods ``styles`` and ``synthesize`` of `gankit.Generator`."""

    def styles(self, z: Tensor, labels: Tensor | None, **options: Any) -> Tensor:
        """The styles of all layers [n l s]."""

    def synthesize(self, styles: Tensor, **options: Any) -> Tensor:
        """Images [n c h w] of styles [n l s]."""


def has_styles(network: object) -> TypeGuard[StyleGenerator]:
    """Whether a generator has the methods ``styles`` and ``synthesize``."""
    return callable(getattr(network, "styles", None)) and callable(getattr(network, "synthesize", None))


def styles_of(network: nn.Module, inputs: DeviceInputs, options: Mapping[str, Any]) -> Tensor:
    """The styles of images [n l s], by the sampling options that concern them.

    Raises:
        ValueError: the network has no styles.
    """
    if not has_styles(network):
        raise ValueError(
            f"{type(network).__name__} has no styles: it lacks the methods `styles` and `synthesize`, which only "
            "generators such as 'stylegan2' have"
        )
    return network.styles(inputs["z"], inputs["labels"], **_accepted(network.styles, options))


def synthesized(network: nn.Module, styles: Tensor, options: Mapping[str, Any]) -> Tensor:
    """The images [n c h w] of styles [n l s], by the sampling options that concern them."""
    assert has_styles(network)
    return network.synthesize(styles, **_accepted(network.synthesize, options))


def _accepted(function: Callable[..., Any], options: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if accepts(function, name)}


def accepts(function: Callable[..., Any], option: str) -> bool:
    """Whether a method has a parameter for a sampling option."""
    return option in inspect.signature(function).parameters
