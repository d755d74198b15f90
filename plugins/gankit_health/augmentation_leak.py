"""Check for leaking augmentations: raw generated images that look augmented."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from .findings import Finding, percent
from .image_features import Whitened, describe, energy_distance, quantized, reduced, within
from .real_images import RealImages

KIND = "augmentation_leak"
DIMENSIONS = 48

GRID = 8  # cells a side
FLAT = 0.04  # root mean square distance of a cell's pixels from one value
MIN_FILLED = 0.05  # share of cells that the augmentation fills
MAX_PLAIN = 0.3  # cells that are flat without it, as a share of those flat with it
MIN_LEAKED = 0.25  # filled cells of fakes, as a share of those that the augmentation fills; healthy runs: 0.01
MAX_LEAKED = 3.0  # above this, the fakes are images of one value rather than filled ones
LEVELS = 41  # values in [-1, 1] that an augmentation may fill with

MIN_DISTANCE = 0.002  # relative to the reals' own; smaller distances are noise
NEARER = 0.3  # distance to augmented reals over distance to reals; healthy runs: at least 0.79


class LeakDetector:
    """Compares generated images with the run's reals, and with reals after the augmentations of now."""

    def __init__(self, reals: RealImages) -> None:
        augmented = reals.augmented()
        self._filled = flat_cells(augmented)
        self._plain = flat_cells(reals.small)
        excess = self._filled - self._plain
        self._value = int(excess.argmax())
        features = describe(quantized(augmented))
        self._whitened = Whitened(torch.cat([reals.features, features]), DIMENSIONS)
        # disjoint images, since each real would be nearest to its own augmented copy
        self._reals, self._augmented = self._whitened(reals.features[::2]), self._whitened(features)
        self._own = max(float(within(self._reals)), 1e-12)
        self._apart = float(energy_distance(self._reals, self._augmented)) / self._own

    def check(self, fakes: Tensor) -> list[Finding]:
        """Report augmentations that show in raw generated images [n c h w]."""
        return self._filled_cells(fakes) or self._similarity(fakes)

    def _filled_cells(self, fakes: Tensor) -> list[Finding]:
        """Cells of one value, as cutout leaves them; visible even in fakes that do not resemble the reals yet."""
        filled, plain = float(self._filled[self._value]), float(self._plain[self._value])
        if filled - plain < MIN_FILLED or plain > MAX_PLAIN * filled:
            return []
        leaked = float(flat_cells(fakes)[self._value])
        if leaked - plain < MIN_LEAKED * (filled - plain) or leaked > MAX_LEAKED * filled:
            return []
        value = 2 * self._value / (LEVELS - 1) - 1
        return [
            _finding(
                f"{percent(leaked)} of their cells are flat at {value:.2g}, as {percent(filled)} are in augmented "
                f"reals and {percent(plain)} in reals",
                {"filled": leaked, "filled_in_augmented": filled, "filled_in_reals": plain, "value": value},
            )
        ]

    def _similarity(self, fakes: Tensor) -> list[Finding]:
        points = self._whitened(describe(quantized(fakes)))
        to_reals, to_augmented = (float(energy_distance(points, others)) for others in (self._reals, self._augmented))
        if min(self._apart, to_reals / self._own) < MIN_DISTANCE or to_augmented > NEARER * to_reals:
            return []
        return [
            _finding(
                f"they are nearer to augmented reals (distance {max(to_augmented, 0):.2g}) than to reals "
                f"({to_reals:.2g})",
                {"distance_to_reals": to_reals, "distance_to_augmented": to_augmented, "apart": self._apart},
            )
        ]


def flat_cells(images: Tensor) -> Tensor:
    """For each of 41 values from -1 to 1, the share of cells of images [n c h w] that are flat at it: [41]."""
    images = reduced(images)
    means, squares = adaptive_avg_pool2d(images, GRID), adaptive_avg_pool2d(images.square(), GRID)
    values = torch.linspace(-1, 1, LEVELS)
    shares = [((squares - 2 * value * means + value**2).mean(dim=1) < FLAT**2).float().mean() for value in values]
    return torch.stack(shares)


def _finding(observation: str, figures: dict[str, float]) -> Finding:
    return Finding(
        KIND,
        f"The augmentation leaks into the generated images: {observation}. Apply it with a probability below 1, remove "
        "the visible transform from augmentations (DiffAugment: leave out cutout), or make it milder.",
        figures,
    )
