"""The moving average of G (arXiv 1710.10196, sec. 4), by torch's `AveragedModel` with a half-life in images."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn


class Decay:
    """How much of the old average stays at the next update; the trainer sets ``kept`` before each."""

    def __init__(self) -> None:
        self.kept = 0.0

    @torch.no_grad()
    def __call__(self, averaged: Sequence[Tensor], current: Sequence[Tensor], updates: Tensor | int) -> None:
        if averaged[0].is_floating_point():
            get_ema_multi_avg_fn(self.kept)(averaged, current, updates)
        else:
            for own, new in zip(averaged, current, strict=True):
                own.copy_(new)


def kept_share(batch_images: int, images: int, half_life: float, ramp_up: float | None) -> float:
    """The share of the old average that stays after ``batch_images`` more.

    The half-life is at most ``ramp_up`` times the images seen, so that an early average forgets its start
    (arXiv 1912.04958, official settings).
    """
    if ramp_up is not None:
        half_life = min(half_life, images * ramp_up)
    return float(0.5 ** (batch_images / max(half_life, 1e-8)))


def make_average(generator: nn.Module, decay: Decay) -> AveragedModel:
    """An average that starts as a copy of ``generator``; its ``module`` is a generator in eval mode."""
    average = AveragedModel(generator, multi_avg_fn=decay, use_buffers=True)
    average.requires_grad_(False)
    return average.eval()


@torch.no_grad()
def update_average(average: AveragedModel, generator: nn.Module) -> None:
    """Average parameters and BatchNorm's statistics; copy every other buffer."""
    average.update_parameters(generator)
    sources = dict(generator.named_modules())
    for name, module in average.module.named_modules():
        if not isinstance(module, _BatchNorm):
            for own, current in zip(module.buffers(recurse=False), sources[name].buffers(recurse=False), strict=True):
                own.copy_(current)
