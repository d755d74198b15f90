"""The first NaN or infinity of a run, recorded on the device without waiting for it."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ..device.loss_scaler import MAX_SKIPPED
from ..interfaces import NotFinite, Scalars, State

WEIGHTS = "weights"
OVERFLOWS = "the gradients"  # the beginning of the names of what loss scalers report
NEVER = torch.iinfo(torch.int64).max


class NonFiniteDetector:
    """Checks the weights before each step, and the scalars and loss scalers after it.

    An update that a loss scaler skips is not an anomaly, but many in a row are: then the gradients are NaN or infinite
    with any scale.

    On a CPU each weight tensor is checked by itself. On an accelerator, where many small kernels take longer than a
    large one, each module is checked as a whole; `locate_layer` finds the layer later.
    """

    def __init__(self, state: State, device: torch.device) -> None:
        self._weights = _weight_groups(state, by_layer=device.type == "cpu")
        self._scalers = {player: scaler for player, scaler in state.scalers.items() if scaler.enabled}
        self._first_steps: dict[str, Tensor] = {}  # of each checked value, by group
        self._names: dict[str, tuple[str, ...]] = {}

    @torch.no_grad()
    def check_weights(self, step: int) -> None:
        """Check the weights before step number ``step``."""
        # the sum is NaN or infinite if any element is, and takes one pass over the weights
        totals = torch.stack([_total(tensors) for _, tensors in self._weights])
        self._record(WEIGHTS, tuple(name for name, _ in self._weights), ~totals.isfinite(), step)

    @torch.no_grad()
    def check_scalars(self, scalars: Scalars, step: int) -> None:
        """Check the scalars of step number ``step``; their names may differ from step to step."""
        if scalars:
            names = tuple(scalars)
            values = torch.stack([value.detach().float() for value in scalars.values()])
            self._record(f"scalars {names}", names, ~values.isfinite(), step)

    def check_scalers(self, step: int) -> None:
        """Check the loss scalers after step number ``step``."""
        if self._scalers:
            names = tuple(f"{OVERFLOWS} of {MAX_SKIPPED} updates of the {player} in a row" for player in self._scalers)
            skipped = torch.stack([scaler.skipped_in_a_row for scaler in self._scalers.values()])
            self._record("scalers", names, skipped >= MAX_SKIPPED, step)

    def first(self) -> NotFinite | None:
        """The first NaN or infinity; waits for the device."""
        found: dict[tuple[int, bool], list[str]] = {}
        for group, first_steps in self._first_steps.items():
            for step, name in zip(first_steps.tolist(), self._names[group], strict=True):
                if step < NEVER:  # the weights of a step are checked before its scalars
                    found.setdefault((step, group != WEIGHTS), []).append(name)
        return NotFinite(min(found)[0], tuple(found[min(found)])) if found else None

    def reset(self) -> None:
        """Forget everything, after the weights have been restored."""
        self._first_steps.clear()

    def _record(self, group: str, names: tuple[str, ...], bad: Tensor, step: int) -> None:
        if group not in self._first_steps:
            self._first_steps[group] = torch.full((len(names),), NEVER, dtype=torch.int64, device=bad.device)
            self._names[group] = names
        first_steps = self._first_steps[group]
        first_steps.masked_fill_(bad & (first_steps == NEVER), step)


def not_finite_in(modules: Mapping[str, nn.Module]) -> str | None:
    """The first parameter or BatchNorm statistic that is NaN or infinite; other buffers may hold any values."""
    for name, module in modules.items():
        tensors: dict[str, Tensor] = dict(module.named_parameters())
        for layer, part in module.named_modules():
            if isinstance(part, _BatchNorm):
                tensors |= {f"{layer}.{key}": buffer for key, buffer in part.named_buffers(recurse=False)}
        for key, tensor in tensors.items():
            if not bool(tensor.isfinite().all()):
                return f"{name} {key}"
    return None


def _weight_groups(state: State, by_layer: bool) -> list[tuple[str, list[Tensor]]]:
    groups: list[tuple[str, list[Tensor]]] = []
    for name, module in (item for modules in state.trained.values() for item in modules.items()):
        parameters: dict[str, Tensor] = dict(module.named_parameters())
        if by_layer:
            groups += [(f"{name} {key}", [parameter]) for key, parameter in parameters.items()]
        elif parameters:
            groups.append((name, [*parameters.values()]))
    return groups


def _total(tensors: list[Tensor]) -> Tensor:
    return tensors[0].detach().sum() if len(tensors) == 1 else torch.nn.utils.get_total_norm(tensors)
