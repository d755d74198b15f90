"""Whether augmentations leak: G's own images look as if they had been augmented."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from .features import Whitened, describe, energy_distance, quantized, reduced, within
from .findings import Finding, percent
from .reals import Reals

KIND = "augmentation_leak"
DIMENSIONS = 48

GRID = 8  # places a side
FLAT = 0.04  # root mean square from one value
FILL_SHARE, FILL_LEAKED = 0.05, 0.25  # of places that augmenting fills; leaked part of these; healthy: 0.01
FILL_MOST = 3.0  # times as many: these are images of one value, not filled ones
LEVELS = 41  # values that may be a filling's

SEPARATE = 0.002  # distance, of the reals' own: what is nearer cannot be told apart
NEARER = 0.3  # distance to augmented reals, of that to reals; healthy: 0.8 and up


class Leak:
    """Compares fakes with reals, and with what the augmentations make of these.

    Args:
        reals: of the run.
        augmented: every other one of them, from the second, augmented [n/2 c h w].
    """

    def __init__(self, reals: Reals, augmented: Tensor) -> None:
        self._filled = flat_places(augmented)
        self._plain = flat_places(reals.small)
        excess = self._filled - self._plain
        self._value = int(excess.argmax())
        features = describe(quantized(augmented))
        self._place = Whitened(torch.cat([reals.features, features]), DIMENSIONS)
        # other images on either side, or each real would be nearest to itself, augmented
        self._reals, self._augmented = self._place(reals.features[::2]), self._place(features)
        self._own = max(float(within(self._reals)), 1e-12)
        self._apart = float(energy_distance(self._reals, self._augmented)) / self._own

    def judge(self, fakes: Tensor) -> list[Finding]:
        """What has leaked into raw fakes [n c h w]."""
        return self._fillings(fakes) or self._likeness(fakes)

    def _fillings(self, fakes: Tensor) -> list[Finding]:
        """Places of one value, such as cutout's: they show even in fakes that are otherwise unlike any real."""
        filled, plain = float(self._filled[self._value]), float(self._plain[self._value])
        if filled - plain < FILL_SHARE or plain > 0.3 * filled:
            return []
        seen = float(flat_places(fakes)[self._value])
        if seen - plain < FILL_LEAKED * (filled - plain) or seen > FILL_MOST * filled:
            return []
        value = 2 * self._value / (LEVELS - 1) - 1
        return [
            _finding(
                f"{percent(seen)} of their places are flat at {value:.2g}, as {percent(filled)} are in augmented reals "
                f"and {percent(plain)} in reals",
                {"filled": seen, "filled_in_augmented": filled, "filled_in_reals": plain, "value": value},
            )
        ]

    def _likeness(self, fakes: Tensor) -> list[Finding]:
        points = self._place(describe(quantized(fakes)))
        to_reals, to_augmented = (float(energy_distance(points, others)) for others in (self._reals, self._augmented))
        if min(self._apart, to_reals / self._own) < SEPARATE or to_augmented > NEARER * to_reals:
            return []
        return [
            _finding(
                f"they are nearer to augmented reals (distance {max(to_augmented, 0):.2g}) than to reals "
                f"({to_reals:.2g})",
                {"distance_to_reals": to_reals, "distance_to_augmented": to_augmented, "apart": self._apart},
            )
        ]


def flat_places(images: Tensor) -> Tensor:
    """For each of 41 values from -1 to 1, the share of places in images [n c h w] that have it throughout."""
    images = reduced(images)
    means, squares = adaptive_avg_pool2d(images, GRID), adaptive_avg_pool2d(images.square(), GRID)
    values = torch.linspace(-1, 1, LEVELS)
    shares = [((squares - 2 * value * means + value**2).mean(dim=1) < FLAT**2).float().mean() for value in values]
    return torch.stack(shares)


def _finding(seen: str, figures: dict[str, float]) -> Finding:
    return Finding(
        KIND,
        f"The augmentation leaks into the fakes: {seen}. Apply it with a probability below 1, take the transform that "
        "shows out of augmentations (DiffAugment: leave out cutout), or make it milder.",
        figures,
    )
