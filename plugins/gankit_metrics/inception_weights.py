"""The 2015 Inception weights: a file on this machine, or the download."""

from __future__ import annotations

import hashlib
import shutil
from http.client import HTTPException
from pathlib import Path
from urllib.request import urlopen

import torch

import gankit

FILE = "weights-inception-2015-12-05-6726825d.pth"
URL = f"https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/{FILE}"
SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
TIMEOUT = 30.0


def find_weights(given: Path | None) -> Path:
    """The file ``given``; else the one in torch's folder of checkpoints, downloaded there if need be.

    Raises:
        gankit.DataError: it is not there.
        gankit.GankitError: it cannot be downloaded, with both ways to get it.
    """
    if given is not None:
        path = given.expanduser()
        if not path.is_file():
            raise gankit.DataError(
                f"features 'inception': `weights: {given}` is no file; give the path of {FILE}, "
                f"or leave `weights` out to download it from {URL}"
            )
        return path
    path = Path(torch.hub.get_dir()) / "checkpoints" / FILE
    try:
        if not (path.is_file() and is_original(path)):
            _download(path)
    except (OSError, HTTPException) as error:
        reason = str(getattr(error, "reason", error)) or type(error).__name__
        raise gankit.GankitError(
            f"features 'inception': downloading {URL} failed: {reason}. Either try again with a working network; "
            f"or fetch that file by other means and name it, `weights: PATH/{FILE}`"
        ) from error
    return path


def is_original(path: Path) -> bool:
    """Whether these are, byte for byte, the weights with which the literature's scores are computed."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == SHA256


def _download(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with gankit.whole_file(path) as part:
        with urlopen(URL, timeout=TIMEOUT) as source, part.open("wb") as target:
            shutil.copyfileobj(source, target)
        if not is_original(part):
            raise OSError("what arrived is incomplete or altered (its SHA-256 differs)")
