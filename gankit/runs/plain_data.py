"""Files of plain data and tensors, in which nothing can run code: what a checkpoint holds beside its networks."""

from __future__ import annotations

import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import CheckpointError

MAX_VALUES = 2_000_000


def load_plain_data(file: Path) -> Any:
    """What `torch.save` has written. Raises: CheckpointError: it is damaged, or more than plain data and tensors."""
    try:
        _require_uncompressed(file)
        value = torch.load(file, map_location="cpu", weights_only=True)
        _require_held(value)
    except Exception as error:  # unpickling a hostile file may raise nearly anything
        reason = str(error).split("\n", 1)[0] or type(error).__name__
        raise CheckpointError(f"{file}: cannot be read as plain data and tensors: {reason[:400]}") from None
    return value


def require_plain_data(value: Any, where: str) -> None:
    """Raises: CheckpointError: ``weights_only`` would not read it again.

    Of just these types, for a subclass of one is code.
    """
    kind = type(value)
    if kind in (dict, OrderedDict):
        for key, item in value.items():
            require_plain_data(key, f"{where}, the key {key!r}")
            require_plain_data(item, f"{where}.{key}")
    elif kind in (list, tuple):
        for index, item in enumerate(value):
            require_plain_data(item, f"{where}.{index}")
    elif value is not None and kind not in (Tensor, nn.Parameter, bool, int, float, str, bytes):
        raise CheckpointError(f"{where}: a {kind.__name__} cannot be saved; use plain data and tensors")


def _require_uncompressed(file: Path) -> None:
    """Raises: ValueError: it is no archive as torch writes it, whose contents are no larger than it is."""
    with zipfile.ZipFile(file) as archive:
        entries = archive.infolist()
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
        raise ValueError("it is compressed, which torch never does")
    if sum(entry.file_size for entry in entries) > file.stat().st_size:
        raise ValueError("it claims to hold more than it does")


def _require_held(state: Any) -> None:
    """Raises: ValueError: more values than any state has, through references, or a tensor larger than its memory."""
    waiting, count = [state], 0
    while waiting:
        value = waiting.pop()
        count += 1
        if count > MAX_VALUES:
            raise ValueError(f"it grows beyond {MAX_VALUES:,} values")
        if isinstance(value, Mapping):
            waiting += [*value.keys(), *value.values()]
        elif isinstance(value, (list, tuple)):
            waiting += value
        elif isinstance(value, Tensor) and (
            value.layout != torch.strided
            or value.device.type != "cpu"
            or value.numel() * value.element_size() > value.untyped_storage().nbytes()
        ):
            raise ValueError(f"a tensor {list(value.shape)} is larger than what is stored of it")
