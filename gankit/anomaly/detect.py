"""What was NaN or infinite first, remembered on the device: nobody waits for it until it is asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ..interfaces import NotFinite, Scalars
from ..training.train_state import TrainState

WEIGHTS = "weights"
NEVER = torch.iinfo(torch.int64).max


class NonFiniteDetector:
    """Looks at the weights before each step, and at the figures that it gives.

    On a CPU every tensor of weights is looked at by itself. On an accelerator, where many small kernels take longer
    than a large one, each network is one value: a replay tells the layer.
    """

    def __init__(self, state: TrainState, device: torch.device) -> None:
        self._weights = _groups(state, by_layer=device.type == "cpu")
        self._since: dict[str, Tensor] = {}  # the step of the first such value, by what was looked at
        self._names: dict[str, tuple[str, ...]] = {}

    @torch.no_grad()
    def weights(self, step: int) -> None:
        """Before step number ``step``."""
        # a sum is NaN or infinite where one of its terms is, and costs one pass over the weights
        values = torch.stack([_total(tensors) for _, tensors in self._weights])
        self._note(WEIGHTS, tuple(name for name, _ in self._weights), values, step)

    @torch.no_grad()
    def figures(self, scalars: Scalars, step: int) -> None:
        """After step number ``step``, which gave these. Steps may give different ones."""
        if scalars:
            names = tuple(scalars)
            values = torch.stack([value.detach().float() for value in scalars.values()])
            self._note(f"figures {names}", names, values, step)

    def first(self) -> NotFinite | None:
        """The first of all; waits for the device."""
        found: dict[tuple[int, bool], list[str]] = {}
        for key, since in self._since.items():
            for step, name in zip(since.tolist(), self._names[key], strict=True):
                if step < NEVER:  # of one step, the weights come before the figures
                    found.setdefault((step, key != WEIGHTS), []).append(name)
        return NotFinite(min(found)[0], tuple(found[min(found)])) if found else None

    def forget(self) -> None:
        """Begin anew, after the weights have been restored."""
        self._since.clear()

    def _note(self, key: str, names: tuple[str, ...], values: Tensor, step: int) -> None:
        if key not in self._since:
            self._since[key] = torch.full((len(names),), NEVER, dtype=torch.int64, device=values.device)
            self._names[key] = names
        since = self._since[key]
        since.masked_fill_(~values.isfinite() & (since == NEVER), step)


def not_finite_in(networks: Mapping[str, nn.Module]) -> str | None:
    """The first weight, or statistic of a BatchNorm, that must not be saved; other buffers may hold what they like."""
    for side, network in networks.items():
        tensors: dict[str, Tensor] = dict(network.named_parameters())
        for name, module in network.named_modules():
            if isinstance(module, _BatchNorm):
                tensors |= {f"{name}.{key}": buffer for key, buffer in module.named_buffers(recurse=False)}
        for name, tensor in tensors.items():
            if not bool(tensor.isfinite().all()):
                return f"{side} {name}"
    return None


def _groups(state: TrainState, by_layer: bool) -> Sequence[tuple[str, list[Tensor]]]:
    networks: dict[str, nn.Module] = {"generator": state.generator, "discriminator": state.discriminator}
    layers: list[tuple[str, list[Tensor]]] = [
        (f"{side} {name}", [parameter])
        for side, network in networks.items()
        for name, parameter in network.named_parameters()
    ]
    if by_layer:
        return layers
    wholes: dict[str, list[Tensor]] = {}
    for name, parameters in layers:
        wholes.setdefault(name.partition(" ")[0], []).extend(parameters)
    return [*wholes.items()]


def _total(tensors: list[Tensor]) -> Tensor:
    return tensors[0].detach().sum() if len(tensors) == 1 else torch.nn.utils.get_total_norm(tensors)
