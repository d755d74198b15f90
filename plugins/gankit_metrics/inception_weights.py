"""Finds or downloads the Inception weights of 2015."""

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
    """Return ``given``, or the file in torch hub's checkpoint folder, downloading it if necessary.

    Raises:
        gankit.DataError: ``given`` does not exist.
        gankit.GankitError: the download failed; the message names both ways to get the file.
    """
    if given is not None:
        path = given.expanduser()
        if not path.is_file():
            raise gankit.DataError(
                f"features 'inception': `weights: {given}` is not a file; give the path of {FILE}, "
                f"or omit `weights` to download it from {URL}"
            )
        return path
    path = Path(torch.hub.get_dir()) / "checkpoints" / FILE
    try:
        if not (path.is_file() and is_original(path)):
            _download(path)
    except (OSError, HTTPException) as error:
        reason = str(getattr(error, "reason", error)) or type(error).__name__
        raise gankit.GankitError(
            f"features 'inception': downloading {URL} failed: {reason}. Try again with a working network, "
            f"or download that file in another way and set `weights: PATH/{FILE}`"
        ) from error
    return path


def is_original(path: Path) -> bool:
    """Whether the file is byte for byte the one that published scores are computed with."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == SHA256


def _download(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with gankit.whole_file(path) as part:
        with urlopen(URL, timeout=TIMEOUT) as source, part.open("wb") as target:
            shutil.copyfileobj(source, target)
        if not is_original(part):
            raise OSError("the downloaded file is incomplete or altered (its SHA-256 differs)")
