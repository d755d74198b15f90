"""The factor between the size of the source images and that of the images to generate."""

from __future__ import annotations

import gankit

SCALES = (1, 2, 4, 8)


def doublings_from_source(data: gankit.DataSpec, network: str) -> int:
    """How often the height and width of the field ``source`` double up to those of the images.

    Args:
        data: of the run.
        network: name of the network in error messages.

    Raises:
        ValueError: the data has no image ``source``, or the images are not 1, 2, 4 or 8 times as large as it.
    """
    image, source = data.image, data.get("source")
    if not isinstance(source, gankit.ImageSpec):
        raise ValueError(
            f"{network} enlarges the images in the field 'source' of the data, which has only "
            f"{', '.join(map(repr, data))}; choose a dataset with such a field, for example 'degraded'"
        )
    for doublings, scale in enumerate(SCALES):
        if (image.height, image.width) == (scale * source.height, scale * source.width):
            return doublings
    raise ValueError(
        f"{network} enlarges by a factor of 1, 2, 4 or 8; it cannot make images of {image.height}x{image.width} "
        f"(height x width) from a source of {source.height}x{source.width}: choose a dataset with another scale"
    )
