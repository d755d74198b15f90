"""The sizes and channels of source images, and which sizes a network can translate.

Shapes: ``h`` height, ``w`` width.
"""

from __future__ import annotations

from collections.abc import Sequence

import gankit


def source_spec(data: gankit.DataSpec, network: str) -> gankit.ImageSpec:
    """The spec of the field ``source``, whose images are as large as those of the field ``image``.

    Args:
        data: the fields of the data.
        network: name of the network in error messages.

    Raises:
        ValueError: the data lacks the field, or it does not contain images of that size.
    """
    try:
        source = data["source"]
    except KeyError as error:
        raise ValueError(
            f"{network} needs source images, but {error.args[0]}; choose a dataset whose items have this field"
        ) from None
    if not isinstance(source, gankit.ImageSpec):
        raise ValueError(f"{network} needs source images, but the field 'source' has vectors of {source.size} numbers")
    require_same_size((data.image.height, data.image.width), (source.height, source.width), network)
    return source


def require_same_size(image: Sequence[int], source: Sequence[int], network: str) -> None:
    """Raises: ValueError: the sizes (h, w) of an image and its source differ."""
    if tuple(image) != tuple(source):
        raise ValueError(
            f"{network} needs sources of the size of the images: the images are {image[0]}x{image[1]} "
            f"(height x width), the sources {source[0]}x{source[1]}"
        )


def require_multiple(size: Sequence[int], factor: int, smallest: int, network: str) -> None:
    """Check that both sides of an image can be halved as often as the network does.

    Args:
        size: (h, w) of the image in pixels.
        factor: of which both sides must be multiples.
        smallest: the smallest side that works, a multiple of ``factor``.
        network: name of the network in the message, with the parameter that determines the factor.

    Raises:
        ValueError: the size does not work. The message has the nearest size that does.
    """
    if all(side % factor == 0 and side >= smallest for side in size):
        return
    height, width = (max(smallest, (side + factor // 2) // factor * factor) for side in size)
    raise ValueError(
        f"{network} cannot translate images of {size[0]}x{size[1]} (height x width): both sides must be multiples of "
        f"{factor} and at least {smallest}; the nearest size that works is {height}x{width}"
    )
