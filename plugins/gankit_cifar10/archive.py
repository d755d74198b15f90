"""The original CIFAR-10 archive, read by torchvision from where it is, or downloaded."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import gankit


def load(root: Path, train: bool, source: Any) -> tuple[Tensor, Tensor] | None:
    """Load images uint8 [n 3 32 32] and labels int64 [n] from the unpacked archive under ``root``.

    Returns None if it is missing or a file's md5 differs. Raises: gankit.DataError: it cannot be read.
    """
    try:
        data = source(root, train=train)
    except RuntimeError:  # torchvision's error for missing or damaged files
        return None
    except OSError as error:
        raise gankit.DataError(f"{root / source.base_folder} cannot be read: {error}") from error
    return _tensors(data)


def fetch(root: Path, train: bool, source: Any, download: bool, zip_name: str) -> tuple[Tensor, Tensor]:
    """Unpack the archive in ``root``, downloading it if necessary, and `load` it.

    Files are unpacked in a scratch folder next to the destination and moved by one rename, so that an interrupted
    download or a second process never leaves a partial archive.

    Raises:
        gankit.DataError: no intact archive was found; the message lists all ways to get one.
    """
    from torchvision.datasets.utils import check_integrity

    placed = root / source.filename
    is_sound = check_integrity(placed, source.tgz_md5)
    if not (is_sound or download):
        raise _missing(root, source, zip_name, "`download: false` forbids downloading it", "set `download: true`")
    try:
        root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".cifar10-", dir=root, ignore_cleanup_errors=True) as scratch:
            if is_sound:
                shutil.copy(placed, scratch)  # torchvision does not download an archive whose md5 fits
            data = source(scratch, train=train, download=True)
            _publish(Path(scratch), root, source)
            return _tensors(data)
    except (OSError, RuntimeError, HTTPException, EOFError) as error:
        attempt = f"unpacking {placed}" if is_sound else f"downloading {source.url}"
        failure = f"{attempt} failed: {_reason(error)}"
        raise _missing(root, source, zip_name, failure, "try again with a working network") from error


def _publish(scratch: Path, root: Path, source: Any) -> None:
    fresh, target = scratch / source.base_folder, root / source.base_folder
    try:
        fresh.rename(target)
    except OSError:
        # another process was first, or a damaged folder is in the way, which other processes may be replacing as well
        if load(root, True, source) is None:
            with suppress(OSError):
                target.rename(scratch / "damaged")
                fresh.rename(target)


def _tensors(data: Any) -> tuple[Tensor, Tensor]:
    return torch.from_numpy(data.data).permute(0, 3, 1, 2).contiguous(), torch.tensor(data.targets)


def _missing(root: Path, source: Any, zip_name: str, failure: str, remedy: str) -> gankit.DataError:
    placed = root / source.filename
    damaged = [p.name for p in (placed, root / source.base_folder) if p.exists()]
    flaw = f" ({' and '.join(damaged)} there: incomplete or altered, the md5 differs)" if damaged else ""
    return gankit.DataError(
        f"CIFAR-10 is not in {root.absolute()}{flaw}, and {failure}. Either {remedy}; "
        f"or download {source.url} in another way and save it as {placed.absolute()}; "
        f"or put {zip_name} there, with one folder of 32 x 32 images per class; "
        "or set `root:` or $GANKIT_DATA_DIR to the folder that contains the data"
    )


def _reason(error: BaseException) -> str:
    if type(error) is RuntimeError:  # torchvision's error for a wrong checksum
        return "the downloaded file is incomplete or altered (its md5 differs)"
    return str(getattr(error, "reason", error)) or type(error).__name__
