"""Pictures of a user as targets of a projection and as inputs of a generator.

Shapes: ``c`` channels, ``h`` height, ``w`` width.
"""

from __future__ import annotations

from typing import IO

from torch import Tensor

from ..data.files.decoding import DecodeError, decode_image, open_image
from ..data.files.pixel_modes import lossy_conversion
from ..data.resize import resize
from ..interfaces import ImageSpec
from .given_inputs import Specs

ANY_SIZE = 2**30  # no image is halved


def only_image(specs: Specs) -> tuple[str, ImageSpec] | None:
    """The name and the spec of the field, if a generator takes exactly one image; None otherwise."""
    (name, spec), *others = specs.items() or [("", None)]
    return (name, spec) if isinstance(spec, ImageSpec) and not others else None


def read_target(file: IO[bytes], image: ImageSpec) -> Tensor:
    """A picture to project, cropped and resized to the size of the images: uint8 [c h w].

    Args:
        file: opened for reading.
        image: of the generator.

    Raises:
        DecodeError: the picture is damaged or too large.
    """
    picture = decode_image(file, image.channels)
    return resize(picture[None], image.height, image.width)[0]


def read_input(file: IO[bytes], spec: ImageSpec, max_pixels: int | None = None) -> Tensor:
    """A picture in its own size, from which an image is generated: uint8 [c h w].

    Args:
        file: opened for reading, and for `seek`.
        spec: of the field.
        max_pixels: the limit of h * w; None for that of the decoder.

    Raises:
        DecodeError: the picture is damaged or too large, or its conversion to the channels of the field loses data.
    """
    picture = open_image(file)
    if fault := lossy_conversion(picture, spec.channels, "the generator takes"):
        raise DecodeError(fault)
    if max_pixels is not None and picture.width * picture.height > max_pixels:
        raise DecodeError(f"has {picture.width} x {picture.height} pixels, above {max_pixels:,}; make it smaller")
    file.seek(0)
    return decode_image(file, spec.channels, least=ANY_SIZE)
