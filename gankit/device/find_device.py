"""The device and the precision that a name such as ``auto`` or ``cuda:1`` selects on this machine."""

from __future__ import annotations

import re

import torch

from ..errors import GankitError
from ..recipe.sections import DEVICE


def find_device(name: str | torch.device, option: str = "train.device") -> torch.device:
    """The device called ``auto``, ``cpu``, ``mps``, ``cuda`` or ``cuda:N``, or one of these as a `torch.device`.

    Args:
        name: the name.
        option: the recipe key or command-line option that gave it, for the message.

    Raises:
        GankitError: the name is invalid, or this machine has no such device.
    """
    name = str(name)
    if not re.fullmatch(DEVICE, name):
        raise GankitError(f"{option}: should be auto, cpu, mps, cuda or cuda:N; got {name!r}")
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda", torch.cuda.current_device())
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    device = torch.device(name)
    if device.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if (device.index or 0) >= count:
            raise GankitError(f"{option}: {name!r} is not available: torch finds {count} CUDA devices; try 'auto'")
        return torch.device("cuda", device.index or 0)
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise GankitError(f"{option}: 'mps' is not available on this machine; try 'auto'")
    return device


def find_precision(name: str, device: torch.device) -> str:
    """``fp64``, ``fp32``, ``bf16`` or ``fp16``; ``auto`` is bf16 where the hardware computes it natively, else fp32.

    Raises:
        GankitError: the device does not support the precision.
    """
    if name == "auto":
        return "bf16" if _has_native_bf16(device) else "fp32"
    if name == "fp64" and device.type == "mps":
        raise GankitError("train.precision: 'mps' does not support fp64; use fp32 or another train.device")
    return name


def slow_precision(name: str, device: str) -> str | None:
    """A sentence for the user if this precision is slow on the device that a name selects here; None otherwise."""
    if name != "fp16" or not (device == "cpu" or (device == "auto" and find_device(device).type == "cpu")):
        return None
    return (
        "fp16 is slow on the CPU, which this machine would train on: the backward of a convolution can take a thousand "
        "times as long as in fp32; use auto"
    )


def _has_native_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        with torch.cuda.device(device):
            return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type == "cpu" and hasattr(torch.cpu, "get_capabilities"):
        capabilities = torch.cpu.get_capabilities()
        return bool(capabilities.get("amx_bf16") or capabilities.get("avx512_bf16"))
    return False
