"""Checks of what components return during a step. The messages say who returned what, and what was expected."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..calls import described
from ..errors import GankitError
from ..interfaces import Player, Scalars


def require_latents(latents: Any, count: int, device: torch.device) -> None:
    """Raises: GankitError: `sample` did not return ``count`` latents on this device."""
    if not isinstance(latents, Tensor) or latents.dim() < 2 or len(latents) != count:
        raise GankitError(f"`sample` of the latent returns {described(latents)}; expected a tensor [{count} d]")
    if latents.device.type != device.type:
        raise GankitError(
            f"`sample` of the latent returns a tensor on {latents.device}; expected {device}, as its argument "
            "`generator`: pass device=generator.device"
        )


def require_term(value: Any, component: Any, player: Player) -> Tensor:
    """The term of a loss or regularizer, as a 0-d tensor. Raises: GankitError: it is not a single number."""
    if not isinstance(value, Tensor) or value.numel() != 1:
        raise GankitError(
            f"{type(component).__name__}.{player} returns {described(value)}; expected a 0-d tensor, such as a mean()"
        )
    return value.reshape(())


def require_gradient(total: Tensor, names: list[str], player: Player) -> None:
    """Raises: GankitError: the sum of these terms has no gradient."""
    if not total.requires_grad:
        raise GankitError(
            f"{' + '.join(names)} has no gradient: it does not depend on the {player}, or was computed under no_grad, "
            "with detach() or as a Python number"
        )


def require_gradients(parameters: Sequence[nn.Parameter], names: Iterable[str], player: Player) -> None:
    """Raises: GankitError: the backward pass of these terms has reached no parameter of the player."""
    if all(parameter.grad is None for parameter in parameters):
        raise GankitError(f"{' + '.join(names)} does not depend on the parameters of the {player}")


def require_scalars(scalars: Any, source: str, device: torch.device) -> Scalars:
    """The scalars that ``source`` returned, as 0-d tensors on the device of the run.

    Raises:
        GankitError: they are not tensors of one element by name.
    """
    if not isinstance(scalars, Mapping):
        raise GankitError(f"{source} returns {described(scalars)}; expected a mapping of names to 0-d tensors")
    for name, value in scalars.items():
        if not isinstance(value, Tensor) or value.numel() != 1:
            raise GankitError(f"{source} returns {described(value)} under {name!r}; expected a 0-d tensor")
    return {name: value.reshape(()).to(device) for name, value in scalars.items()}
