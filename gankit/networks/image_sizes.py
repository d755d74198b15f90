"""The image sizes that a network can make by doubling a small feature map, and those nearest to another size.

Shapes: ``h`` height, ``w`` width.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..interfaces import ImageSpec

Size = tuple[int, int]

BASE_SHORT_SIDES = range(4, 8)  # a base with a short side of 8 pixels could be halved once more


@dataclass(frozen=True)
class ImagePyramid:
    """Feature maps from a small base to the image, each twice as high and wide as the one before.

    The short side of the base is 4 to 7 pixels. An image size has therefore at most one base.

    Attributes:
        network: name of the network in error messages.
        min_doublings: fewest doublings from the base to the largest feature map.
        max_doublings: most doublings; None for no limit.
        max_aspect_ratio: largest ratio of the long side to the short side; None for no limit.
        patch: side in pixels of the image patch that one pixel of the largest feature map stands for.
    """

    network: str
    min_doublings: int = 1
    max_doublings: int | None = None
    max_aspect_ratio: int | None = 4
    patch: int = 1

    def sizes(self, image: ImageSpec) -> list[Size]:
        """Sizes (h, w) of the feature maps for such images, from the base up.

        Raises:
            ValueError: no base gives the image size. The message lists the nearest sizes that work.
        """
        doublings = self.doublings(image.height, image.width)
        if doublings is None:
            nearest = " and ".join(f"{h}x{w}" for h, w in self.nearest(image.height, image.width))
            raise ValueError(
                f"{self.network} cannot make images of {image.height}x{image.width} (height x width): {self._rule()}; "
                f"the nearest sizes that work are {nearest}"
            )
        height, width = image.height // self.patch, image.width // self.patch
        return [(height >> halvings, width >> halvings) for halvings in reversed(range(doublings + 1))]

    def doublings(self, height: int, width: int) -> int | None:
        """Number of doublings from the base to an image size; None if no base gives this size."""
        if height % self.patch or width % self.patch:
            return None
        height, width, doublings = height // self.patch, width // self.patch, 0
        while min(height, width) > BASE_SHORT_SIDES[-1] and height % 2 == width % 2 == 0:
            height, width, doublings = height // 2, width // 2, doublings + 1
        short, long = sorted((height, width))
        is_base = short in BASE_SHORT_SIDES and (self.max_aspect_ratio is None or long <= self.max_aspect_ratio * short)
        allowed = doublings >= self.min_doublings and (self.max_doublings is None or doublings <= self.max_doublings)
        return doublings if is_base and allowed else None

    def nearest(self, height: int, width: int) -> list[Size]:
        """The nearest size (h, w) whose area is not larger and the nearest whose area is larger, where they exist.

        The distance is the sum of the differences in height and width. Only squares are suggested for a square.
        """
        sizes, area = list(self._candidates(height, width)), height * width
        smaller = [(h, w) for h, w in sizes if h * w <= area]
        larger = [(h, w) for h, w in sizes if h * w > area]

        def distance(size: Size) -> tuple[int, Size]:
            return abs(size[0] - height) + abs(size[1] - width), size

        return [min(side, key=distance) for side in (smaller, larger) if side]

    def _candidates(self, height: int, width: int) -> Iterator[Size]:
        """Sizes that work, among them the nearest ones: some square is at most a quarter larger than the long side."""
        longest = max(height, width)
        most = max(self.min_doublings, (longest // (BASE_SHORT_SIDES[0] * self.patch)).bit_length())
        for doublings in range(self.min_doublings, min(most, self.max_doublings or most) + 1):
            pixels = self.patch << doublings  # height and width of the image patch that one pixel of the base covers
            for short in BASE_SHORT_SIDES:
                long = self.max_aspect_ratio * short if self.max_aspect_ratio else max(short, 2 * longest // pixels)
                for side in range(short, short + 1 if height == width else long + 1):
                    yield short * pixels, side * pixels
                    yield side * pixels, short * pixels

    def _rule(self) -> str:
        powers = f"{2**self.min_doublings} " + (f"to {2**self.max_doublings}" if self.max_doublings else "or more")
        ratio = f" and whose long side is at most {self.max_aspect_ratio} times that" if self.max_aspect_ratio else ""
        patch = f", times the patch of {self.patch}" if self.patch > 1 else ""
        return (
            f"both sides must be a power of two ({powers}) times those of a base whose short side is "
            f"{BASE_SHORT_SIDES[0]} to {BASE_SHORT_SIDES[-1]} pixels{ratio}{patch}"
        )
