"""Settings of torch's CUDA libraries during a step. The settings of the calling program are restored afterwards."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch.backends import cuda, cudnn

TF32 = "tf32"


@contextmanager
def cuda_settings(tf32: bool, benchmark: bool) -> Iterator[None]:
    """Set the precision of fp32 operations and the choice of convolution algorithms.

    The settings are made with ``allow_tf32``, which keeps torch's old and new settings consistent: torch's compiler
    reads the old ones, which raises an error if they differ from the new ones. They are restored with the new ones as
    well, which have more values than true and false.

    Args:
        tf32: let fp32 matrix products and convolutions round to TF32.
        benchmark: let cuDNN choose convolution algorithms by measuring them.
    """
    old_benchmark, cudnn.benchmark = cudnn.benchmark, benchmark
    untyped_cudnn: Any = cudnn
    # the first two hold for all operations that have no precision of their own
    holders = (torch.backends, untyped_cudnn, untyped_cudnn.conv, untyped_cudnn.rnn, cuda.matmul)
    precisions = [holder.fp32_precision for holder in holders]
    medium = _is_medium()
    _set_precisions(holders[:2], ["none", "none"])
    change_matmul = (cuda.matmul.fp32_precision == TF32) != tf32
    change_cudnn = [untyped_cudnn.conv.fp32_precision == TF32, untyped_cudnn.rnn.fp32_precision == TF32] != [tf32, tf32]
    if change_matmul:
        cuda.matmul.allow_tf32 = tf32
    if change_cudnn:
        cudnn.allow_tf32 = tf32
    try:
        yield
    finally:
        cudnn.benchmark = old_benchmark
        if change_matmul:
            cuda.matmul.allow_tf32 = not tf32
            if medium:
                torch.set_float32_matmul_precision("medium")
        if change_cudnn:
            cudnn.allow_tf32 = not tf32
        _set_precisions(holders, precisions)


def _set_precisions(holders: Sequence[Any], precisions: Sequence[str]) -> None:
    for holder, precision in zip(holders, precisions, strict=True):
        if holder.fp32_precision != precision:
            holder.fp32_precision = precision


def _is_medium() -> bool:
    """Whether the program called ``torch.set_float32_matmul_precision("medium")``, which other settings do not show."""
    try:
        return torch.get_float32_matmul_precision() == "medium"
    except RuntimeError:  # it has used the new settings
        return False
