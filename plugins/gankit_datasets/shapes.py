"""Colored shapes: a procedural dataset with known ground truth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import NonNegativeInt, PositiveInt
from torch import Tensor

import gankit

Floats = NDArray[np.float64]

SHAPES = ("circle", "square", "triangle")
RADIUS = (0.22, 0.40)
DRAWS = 8  # random numbers per image: two counter steps of Philox; six of them are used
CHUNK = 512  # images rendered at a time, to bound memory


@dataclass(frozen=True)
class Attributes:
    """The ground truth of an image.

    Attributes:
        shape: name of the shape.
        hue: of the shape, in [0, 1): 0 red, 1/3 green, 2/3 blue.
        background_hue: at least a third of the color circle away from ``hue``.
        radius: half the shape's extent, 0.22 to 0.4 of the image's side.
        center: x and y as fractions of the side, from the top left corner; the shape is fully inside the image.
        color: of the shape, RGB in [0, 1]: saturated and bright.
        background: RGB in [0, 1]: dark.
    """

    shape: str
    hue: float
    background_hue: float
    radius: float
    center: tuple[float, float]
    color: tuple[float, float, float]
    background: tuple[float, float, float]


class Shapes:
    """Procedural images of one bright shape on a dark background of another hue; the label is the kind of shape.

    Nothing is downloaded. Image ``i`` depends only on (seed, split, i). Position, size and both hues are uniformly
    distributed; edges are antialiased.

    Args:
        count: number of images.
        size: height and width in pixels.
        split: ``train`` or ``test``, with independent random numbers.
        seed: of all images.
    """

    thread_safe = True
    classes = SHAPES

    def __init__(
        self,
        *,
        count: PositiveInt = 10_000,
        size: PositiveInt = 32,
        split: Literal["train", "test"] = "train",
        seed: NonNegativeInt = 0,
    ) -> None:
        self.count, self.split = count, split
        self.spec = gankit.ImageSpec(size, size, 3)
        sequence = np.random.SeedSequence((seed, ("train", "test").index(split)))
        self._key = sequence.generate_state(2, np.uint64)

    def prepare(self) -> None:
        """Do nothing: the images are computed on access."""

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        """Image uint8 [3 h w] and label."""
        scene = self._scene(index, 1)
        return torch.from_numpy(_render(scene, self.spec.height))[0], int(scene.labels[0])

    def tensors(self) -> tuple[Tensor, Tensor]:
        """All images uint8 [n 3 h w] and labels int64 [n]."""
        images = torch.empty(self.count, 3, self.spec.height, self.spec.width, dtype=torch.uint8)
        for start in range(0, self.count, CHUNK):
            scene = self._scene(start, min(CHUNK, self.count - start))
            images[start : start + CHUNK] = torch.from_numpy(_render(scene, self.spec.height))
        return images, self.labels

    @property
    def labels(self) -> Tensor:
        """All labels, int64 [n]."""
        return torch.from_numpy(self._scene(0, self.count).labels)

    def attributes(self, index: int) -> Attributes:
        """The ground truth of image ``index``."""
        scene = self._scene(index, 1)
        return Attributes(
            shape=SHAPES[scene.labels[0]],
            hue=float(scene.hues[0]),
            background_hue=float(scene.background_hues[0]),
            radius=float(scene.radii[0]),
            center=(float(scene.centers[0, 0]), float(scene.centers[0, 1])),
            color=_color(scene.colors[0]),
            background=_color(scene.backgrounds[0]),
        )

    def _scene(self, start: int, count: int) -> _Scene:
        """The attributes of ``count`` images from ``start`` on. Raises: IndexError: ``start`` is out of range."""
        if not 0 <= start < self.count:
            raise IndexError(f"image {start} of {self.count}")
        # Philox is counter-based, so an image's numbers need no draws of the images before it. Raw bits, because numpy
        # guarantees that they stay the same in later versions, which it does not for its distributions.
        bits = np.random.Philox(key=self._key).advance(start * DRAWS // 4).random_raw(count * DRAWS)
        return _Scene((bits >> np.uint64(11)).reshape(count, DRAWS).astype(np.float64) * 2.0**-53)


class _Scene:
    """Attributes of ``n`` images from uniform random numbers [n draws] in [0, 1)."""

    def __init__(self, uniform: Floats) -> None:
        kind, hue, turn, size, x, y = uniform.T[:6]
        self.labels = (kind * len(SHAPES)).astype(np.int64)
        self.hues = hue
        self.background_hues = (hue + (1 + turn) / 3) % 1.0
        self.radii = RADIUS[0] + (RADIUS[1] - RADIUS[0]) * size
        self.centers = self.radii[:, None] + (1 - 2 * self.radii[:, None]) * np.stack([x, y], 1)
        self.colors = _rgb(self.hues, saturation=0.85, value=1.0)
        self.backgrounds = _rgb(self.background_hues, saturation=0.6, value=0.35)


def _rgb(hue: Floats, saturation: float, value: float) -> Floats:
    """HSV to RGB [n 3], all in [0, 1]."""
    ramp = np.abs((hue[:, None] * 6 + np.array([0.0, 4.0, 2.0])) % 6 - 3) - 1
    colors: Floats = value * (1 - saturation + saturation * np.clip(ramp, 0, 1))
    return colors


def _render(scene: _Scene, size: int) -> NDArray[np.uint8]:
    """Images uint8 [n 3 h w]; an image does not depend on the others in the batch."""
    centers = (np.arange(size) + 0.5) / size
    x = centers[None, None, :] - scene.centers[:, 0, None, None]
    y = centers[None, :, None] - scene.centers[:, 1, None, None]
    distance = np.empty((len(scene.labels), size, size))
    for label, signed_distance in enumerate((_circle, _square, _triangle)):
        chosen = scene.labels == label
        distance[chosen] = signed_distance(x[chosen], y[chosen], scene.radii[chosen, None, None])
    inside = np.clip(0.5 - distance * size, 0, 1)
    inside = (inside * inside * (3 - 2 * inside))[:, None]  # smoothstep over the pixel that the edge crosses
    back, front = scene.backgrounds[:, :, None, None], scene.colors[:, :, None, None]
    pixels: NDArray[np.uint8] = np.rint(255 * (back + (front - back) * inside)).astype(np.uint8)
    return pixels


def _circle(x: Floats, y: Floats, radius: Floats) -> Floats:
    from_center: Floats = np.sqrt(x * x + y * y)
    return from_center - radius


def _square(x: Floats, y: Floats, radius: Floats) -> Floats:
    from_center: Floats = np.maximum(np.abs(x), np.abs(y))
    return from_center - 0.9 * radius  # a square as wide as the circle would look larger


def _triangle(x: Floats, y: Floats, radius: Floats) -> Floats:
    """Equilateral, pointing up, at most ``radius`` wide on each side of the center of its bounding box."""
    height = np.sqrt(3.0) * radius
    sides = (np.abs(x) * np.sqrt(3.0) - (y + height / 2)) / 2
    distance: Floats = np.maximum(sides, y - height / 2)
    return distance


def _color(rgb: Floats) -> tuple[float, float, float]:
    red, green, blue = rgb
    return float(red), float(green), float(blue)
