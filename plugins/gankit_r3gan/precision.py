"""Running a stage in full precision or in the precision of autocast."""

from __future__ import annotations

import torch
from torch import Tensor, nn

import gankit


def run_stage(stage: nn.Module, features: Tensor, in_full_precision: bool) -> Tensor:
    """The output of a stage, computed in the type of its weights if ``in_full_precision``."""
    if in_full_precision:
        with gankit.full_precision(features):
            return stage(features.to(next(stage.parameters()).dtype))  # type: ignore[no-any-return]
    # fp32 features would remain fp32 through all residual connections
    return stage(to_autocast_dtype(features))  # type: ignore[no-any-return]


def to_autocast_dtype(features: Tensor) -> Tensor:
    """Cast features to the type that autocast uses; unchanged if autocast is disabled."""
    device = features.device.type
    if torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device):
        return features.to(torch.get_autocast_dtype(device))
    return features
