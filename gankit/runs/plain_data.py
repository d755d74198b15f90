"""The state file of a checkpoint: plain data and tensors, which cannot execute code when they are loaded."""

from __future__ import annotations

import re
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import CheckpointError
from ..files import read_failure

MAX_VALUES = 2_000_000


def load_plain_data(file: Path, classes: Mapping[str, type[Any]] | None = None) -> Any:
    """Load a file written by `torch.save`.

    Args:
        file: also of the older format without a zip archive.
        classes: further classes of data that the file may contain, by the names in it.

    Raises:
        CheckpointError: the file cannot be read, is damaged, or holds more than plain data and tensors.
    """
    try:
        if zipfile.is_zipfile(file):
            _require_uncompressed(file)
        known: list[Any] = [(kind, name) for name, kind in (classes or {}).items()]
        with torch.serialization.safe_globals(known), warnings.catch_warnings(action="ignore"):
            value = torch.load(file, map_location="cpu", weights_only=True)
        _require_no_expansion(value)
    except OSError as error:
        raise CheckpointError(read_failure(file, error)) from None
    except Exception as error:  # unpickling an untrusted file can raise almost any exception
        named = re.search(r"(?i)unsupported (?:global: )?GLOBAL (\S+)", str(error))
        reason = f"it names {named[1]}" if named else str(error).split("\n", 1)[0] or type(error).__name__
        raise CheckpointError(f"{file}: cannot be read as plain data and tensors: {reason[:400]}") from None
    return value


def require_plain_data(value: Any, where: str) -> None:
    """Check that `load_plain_data` can load a value. Subclasses of plain types are refused, as they contain code.

    Raises:
        CheckpointError: it cannot; the message begins with ``where``.
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
    """Raises: ValueError: the archive would expand to more bytes than the file has."""
    with zipfile.ZipFile(file) as archive:
        entries = archive.infolist()
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
        raise ValueError("it is compressed, which torch.save never does")
    if sum(entry.file_size for entry in entries) > file.stat().st_size:
        raise ValueError("its entries claim more bytes than the file has")


def _require_no_expansion(state: Any) -> None:
    """Raises: ValueError: references multiply to too many values, or a tensor is larger than its storage."""
    pending, count = [state], 0
    while pending:
        value = pending.pop()
        count += 1
        if count > MAX_VALUES:
            raise ValueError(f"it has more than {MAX_VALUES:,} values")
        if isinstance(value, Mapping):
            pending += [*value.keys(), *value.values()]
        elif isinstance(value, (list, tuple)):
            pending += value
        elif isinstance(value, Tensor) and (
            value.layout != torch.strided
            or value.device.type != "cpu"
            or value.numel() * value.element_size() > value.untyped_storage().nbytes()
        ):
            raise ValueError(f"a tensor {list(value.shape)} is larger than its stored data")
