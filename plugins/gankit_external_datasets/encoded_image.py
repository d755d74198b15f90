"""Decodes an image that is stored as the bytes of a file, in bounded memory."""

from __future__ import annotations

import io

from torch import Tensor

import gankit


def decode_bytes(data: bytes, channels: int, where: str) -> Tensor:
    """The image uint8 [c h w]. Raises: gankit.DataError: it is damaged; the message begins with ``where``."""
    try:
        return gankit.decode_image(io.BytesIO(data), channels)
    except gankit.DecodeError as error:
        raise gankit.DataError(f"{where}: the image {error}; replace it, or remove the item") from error
