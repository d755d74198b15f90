"""What torch's CUDA libraries may do while a step runs; the host's settings again afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.backends import cuda, cudnn

TF32 = "tf32"


@contextmanager
def cuda_settings(tf32: bool, benchmark: bool) -> Iterator[None]:
    """Let fp32's matrix products and convolutions round to TF32, or not; choose convolutions by stopwatch, or not.

    Set by ``allow_tf32``, which keeps torch's older settings in step with its newer ones: where they differ, torch
    refuses to read them, and its compiler does. Restored by the newer ones too, which know more than yes and no.
    """
    benchmarked, cudnn.benchmark = cudnn.benchmark, benchmark
    both: Any = cudnn  # whose parts torch leaves untyped
    matmul, conv, rnn = cuda.matmul.fp32_precision, both.conv.fp32_precision, both.rnn.fp32_precision
    medium = _is_medium()
    wanted = [each == TF32 for each in (matmul, conv, rnn)]
    change_matmul, change_cudnn = wanted[0] != tf32, wanted[1:] != [tf32, tf32]
    if change_matmul:
        cuda.matmul.allow_tf32 = tf32
    if change_cudnn:
        cudnn.allow_tf32 = tf32
    try:
        yield
    finally:
        cudnn.benchmark = benchmarked
        if change_matmul:
            cuda.matmul.allow_tf32 = not tf32
            if medium:
                torch.set_float32_matmul_precision("medium")
            cuda.matmul.fp32_precision = matmul
        if change_cudnn:
            cudnn.allow_tf32 = not tf32
            both.conv.fp32_precision, both.rnn.fp32_precision = conv, rnn


def _is_medium() -> bool:
    """Whether the host has said ``torch.set_float32_matmul_precision("medium")``, which no other setting can say."""
    try:
        return torch.get_float32_matmul_precision() == "medium"
    except RuntimeError:  # it has used the newer settings
        return False
