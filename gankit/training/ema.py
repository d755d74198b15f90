"""The exponential moving average of G (arXiv 1710.10196, sec. 4), with a half-life in images."""

from __future__ import annotations

from collections.abc import Collection

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim.swa_utils import get_ema_multi_avg_fn

from .network_copies import BuildNetwork, copy_network

TensorPairs = list[tuple[Tensor, Tensor]]


class GeneratorEMA:
    """An average that starts as a copy of ``generator``.

    Parameters and BatchNorm's statistics are averaged. All other buffers are copied, and so are frozen parameters.

    Args:
        generator: G.
        build: builds such a generator, in case Python cannot copy it.
        frozen: the names of the parameters that are not trained.

    Attributes:
        module: the average, in eval mode.
        updates: the number of updates.
        is_loaded: whether all of it was loaded from another run; the ramp-up would discard it.
    """

    def __init__(self, generator: nn.Module, build: BuildNetwork | None = None, frozen: Collection[str] = ()) -> None:
        self.module = copy_network(generator, build).eval().requires_grad_(False)
        self.updates, self.is_loaded = 0, False
        self._frozen = frozenset(frozen)

    @torch.no_grad()
    def update(self, generator: nn.Module, decay: float) -> None:
        """Update the average, which keeps ``decay`` of its old value. The first update copies."""
        averaged, copied = _tensor_pairs(self.module, generator, self._frozen)
        if not self.updates:
            copied, averaged = copied + averaged, []
        for own, current in copied:
            own.copy_(current)
        if averaged:
            get_ema_multi_avg_fn(decay)([own for own, _ in averaged], [current for _, current in averaged], 0)
        self.updates += 1


def ema_decay(batch_images: int, images: int, half_life: float, ramp_up: float | None) -> float:
    """The share of the old average that remains after ``batch_images`` more images.

    The half-life is at most ``ramp_up`` times the images seen, so that an early average forgets the initial weights
    (arXiv 1912.04958, official settings).
    """
    if ramp_up is not None:
        half_life = min(half_life, images * ramp_up)
    return float(0.5 ** (batch_images / max(half_life, 1e-8)))


def _tensor_pairs(average: nn.Module, model: nn.Module, frozen: Collection[str]) -> tuple[TensorPairs, TensorPairs]:
    """Pairs of tensors of the average and of the model: those to average, and those to copy."""
    averaged: TensorPairs = []
    copied: TensorPairs = []
    for (name, parameter), current_parameter in zip(average.named_parameters(), model.parameters(), strict=True):
        (copied if name in frozen else averaged).append((parameter, current_parameter))
    for own, current in zip(average.modules(), model.modules(), strict=True):
        for pair in zip(own.buffers(recurse=False), current.buffers(recurse=False), strict=True):
            is_statistic = isinstance(own, _BatchNorm) and pair[0].is_floating_point()
            (averaged if is_statistic else copied).append(pair)
    return averaged, copied
