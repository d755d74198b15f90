"""Networks that are used, but never trained: teachers, feature extractors, text encoders."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn


class Frozen(nn.Module):
    """Wraps a network that is never trained, for instance as an attribute of a discriminator or a game.

    The network stays in eval mode. It moves to the device together with the module that contains it, but its parameters
    are not parameters of that module: no optimizer, EMA or checkpoint contains them. A game is not a module, so it must
    move its frozen networks itself, in `gankit.Game.setup`. Copies of the module share the network. Checkpoints contain
    its `fingerprint`, and a run can be resumed only with the same network. The frozen networks of a generator are saved
    once in the run directory, so sampling needs no other file.

    Example:
        >>> self.teacher = gankit.Frozen(load_teacher())
        >>> self.teacher(images)  # gradients flow to the images

    Args:
        module: the network. Its parameters no longer require gradients.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self._held = [module.eval().requires_grad_(False)]  # in a list, so that it is not a submodule
        self._dtypes = {name: tensor.dtype for name, tensor in module.state_dict().items()}
        self.eval()

    @property
    def module(self) -> nn.Module:
        """The wrapped network."""
        return self._held[0]

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The network's output."""
        return self.module(*args, **kwargs)

    @cached_property
    def fingerprint(self) -> str:
        """The SHA-256 of the names and bytes of all its weights and stored buffers, in hexadecimal."""
        digest = hashlib.sha256()
        for name, tensor in self.weights().items():
            digest.update(f"{name} {list(tensor.shape)} {tensor.dtype}".encode())
            digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
        return digest.hexdigest()

    def weights(self) -> dict[str, Tensor]:
        """Its weights and stored buffers by name, on the CPU and in the types that it was created with."""
        return {
            name: tensor.detach().to("cpu", self._dtypes[name]).contiguous()
            for name, tensor in self.module.state_dict().items()
        }

    def load(self, weights: Mapping[str, Tensor]) -> None:
        """Replace its weights. Raises: RuntimeError: they do not fit."""
        self.module.load_state_dict(weights)
        self.__dict__.pop("fingerprint", None)

    def share(self, other: Frozen) -> None:
        """Wrap the network of ``other`` instead."""
        self._held[0], self._dtypes = other.module, other._dtypes
        self.__dict__.pop("fingerprint", None)

    def train(self, mode: bool = True) -> Frozen:
        """Does nothing: the network stays in eval mode."""
        return self

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Frozen:
        self.module._apply(fn, recurse)
        return super()._apply(fn, recurse)  # type: ignore[no-untyped-call,no-any-return]

    def __deepcopy__(self, memo: dict[int, Any]) -> Frozen:
        return self


def frozen_networks(parts: Mapping[str, Any]) -> dict[str, Frozen]:
    """The `Frozen` networks of modules, and those that are attributes of other objects, by dotted names.

    Args:
        parts: modules and other objects by name.
    """
    found: dict[str, Frozen] = {}
    for part, owner in parts.items():
        inner = owner.named_modules() if isinstance(owner, nn.Module) else vars(owner).items()
        found |= {f"{part}.{name}".rstrip("."): value for name, value in inner if isinstance(value, Frozen)}
    return found
