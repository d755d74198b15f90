"""Reads the idx format of MNIST: a magic number, big-endian sizes, then bytes."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

import gankit

UNSIGNED_BYTE = 8
MAX_BYTES = 2**28  # MNIST has 47 million


def read_idx(path: Path, dimensions: int) -> Tensor:
    """Read the uint8 tensor of an idx file, which is gzipped if its name ends in ``.gz``.

    Raises:
        gankit.DataError: it is damaged, truncated, or does not have this number of dimensions.
    """
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise gankit.DataError(f"{path.absolute()} is damaged: {error}; delete it and download it again") from error
    if len(data) > MAX_BYTES:
        raise gankit.DataError(f"{path.absolute()} has more than {MAX_BYTES:,} bytes, too many for such a dataset")
    header = 4 + 4 * dimensions
    if len(data) < header or data[:4] != bytes((0, 0, UNSIGNED_BYTE, dimensions)):
        raise gankit.DataError(
            f"{path.absolute()} is not an idx file of bytes in {dimensions} dimensions: it starts with "
            f"{data[:4].hex(' ') or 'nothing'}; delete it and download it again"
        )
    shape = tuple(int(size) for size in np.frombuffer(data, ">u4", dimensions, 4))
    values = np.frombuffer(data, np.uint8, offset=header)
    if values.size != int(np.prod(shape, dtype=object)):
        raise gankit.DataError(
            f"{path.absolute()} has {values.size} bytes of data, but its header says "
            f"{' x '.join(map(str, shape))}; delete it and download it again"
        )
    return torch.from_numpy(values.reshape(shape).copy())
