"""Which groups of the real images the fakes are like, and so which are missing.

Fakes are compared with mixtures of the groups: the shares whose mixture has the smallest energy distance to the fakes
are the estimate. It counts only where that mixture fits: fakes that look like no real images, as all do early on, have
no shares. Distances are taken where the groups differ most (linear discriminants, found on one half of the images and
measured on the other), as parts of the mean distance of two reals.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .features import Whitened, between, describe, within
from .findings import Finding, percent
from .reals import Groups

KIND = "missing_modes"
DIMENSIONS, RIDGE = 48, 0.3

# the distance that is left to the best mixture, of that to all reals; a healthy CIFAR-10 DCGAN, over 6,700 steps: above
# 0.26 where it is far by class, and above 0.16 where it is far by likeness, whose groups are less of a kind
FIT, FIT_ALIKE = 0.2, 0.1
APART = 0.7  # how far that mixture is from all reals, of how far the fakes are; healthy: below 0.67
FAR, FAR_ALIKE = 0.04, 0.08  # from all reals at least: by class, by likeness
HARDLY = 0.2  # of its share in the data: such a group counts as missing


@dataclass(frozen=True)
class Fit:
    """How fakes compare with mixtures of groups.

    Attributes:
        shares: of each group in the mixture that fits best, [groups].
        to_reals: distance of the fakes to all reals.
        to_mixture: and to that mixture.
        mixture_to_reals: distance between these two.
    """

    shares: Tensor
    to_reals: float
    to_mixture: float
    mixture_to_reals: float


class Coverage:
    """Compares fakes with groups of reals.

    Args:
        groups: at least two.
    """

    def __init__(self, groups: Groups) -> None:
        self.groups = groups
        self._far, self._left = (FAR, FIT) if groups.names is not None else (FAR_ALIKE, FIT_ALIKE)
        halves = [tuple(part[::2] for part in groups.features), tuple(part[1::2] for part in groups.features)]
        self._folds = [Fold(halves[0], halves[1], groups.frequencies), Fold(halves[1], halves[0], groups.frequencies)]
        self._cross = torch.stack([fold.cross for fold in self._folds]).mean(dim=0)

    def fit(self, images: Tensor) -> Fit:
        """The mixture that is most like images [n c h w] in [-1, 1]."""
        features = describe(images)
        measured = [fold.distances(features) for fold in self._folds]
        to, own = (torch.stack(parts).mean(dim=0) for parts in zip(*measured, strict=True))

        def distance(shares: Tensor) -> float:
            return float(2 * shares @ to - shares @ self._cross @ shares - own)

        frequencies = self.groups.frequencies
        alone = min(torch.eye(len(to)), key=distance)
        almost = distance(alone) <= self._left * distance(frequencies)  # then the simplest of mixtures will do
        shares = alone if almost else best_shares(to, self._cross)
        gap = shares - frequencies
        return Fit(shares, distance(frequencies), distance(shares), float(-gap @ self._cross @ gap))

    def judge(self, images: Tensor) -> list[Finding]:
        """What the images [n c h w] in [-1, 1] leave out, if they are like reals at all."""
        fit = self.fit(images)
        fits = fit.to_mixture <= self._left * fit.to_reals
        if fit.to_reals < self._far or not fits or fit.mixture_to_reals < APART * fit.to_reals:
            return []
        missing = (fit.shares < HARDLY * self.groups.frequencies).nonzero().flatten().tolist()
        if not missing:
            return []
        return [self._finding(fit, missing)]

    def _finding(self, fit: Fit, missing: list[int]) -> Finding:
        names, count = self.groups.names, len(self.groups.frequencies)
        lost = float(self.groups.frequencies[missing].sum())
        if names is None:
            seen = f"they are like {percent(1 - lost)} of the real images at most and leave out the rest"
        elif len(missing) == count - 1:
            seen = f"they show one class only, '{names[int(fit.shares.argmax())]}', of {count}"
        else:
            left_out = ", ".join(f"'{names[index]}'" for index in missing[:6]) + (", ..." if len(missing) > 6 else "")
            seen = f"{len(missing)} of {count} classes are missing: {left_out}"
        shares = {} if names is None else dict(zip(names, map(float, fit.shares), strict=True))
        return Finding(
            KIND,
            f"The fakes miss part of the data: {seen}. Their distance to all reals is {fit.to_reals:.2f}, and "
            f"{max(fit.to_mixture, 0):.2f} without what is missing. Try conditional: true, a gradient penalty, larger "
            "batches, or a lower learning rate for the generator; check that all classes are fed.",
            {
                "missing_share": lost,
                "distance_to_reals": fit.to_reals,
                "distance_to_mixture": fit.to_mixture,
                "mixture_to_reals": fit.mixture_to_reals,
                "shares": shares,
            },
        )


class Fold:
    """Distances to groups where these differ most.

    Args:
        learned: features of each group, [m f]: where they differ is found on these.
        measured: and distances are taken to these.
        frequencies: share of each group in the data, [groups].
    """

    def __init__(self, learned: Sequence[Tensor], measured: Sequence[Tensor], frequencies: Tensor) -> None:
        self._whitened = Whitened(torch.cat(list(learned)), DIMENSIONS)
        self._directions = discriminants([self._whitened(features) for features in learned])
        self._points = [self._place(features) for features in measured]
        cross = torch.stack([torch.stack([between(one, other) for other in self._points]) for one in self._points])
        cross = cross - torch.diag(cross.diag()) + torch.diag(torch.stack([within(points) for points in self._points]))
        self._scale = frequencies @ cross @ frequencies
        self.cross = cross / self._scale

    def distances(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Mean distances from features [n f] to each group, [groups], and among themselves."""
        points = self._place(features)
        to = torch.stack([between(points, group) for group in self._points])
        return to / self._scale, within(points) / self._scale

    def _place(self, features: Tensor) -> Tensor:
        return self._whitened(features) @ self._directions


def discriminants(groups: list[Tensor]) -> Tensor:
    """The directions [k groups-1] in which groups of points [m k] differ most for how they scatter (Fisher's)."""
    means = torch.stack([group.mean(dim=0) for group in groups])
    scatter = torch.cat([group - mean for group, mean in zip(groups, means, strict=True)])
    covariance = scatter.T @ scatter / len(scatter)
    even = torch.eye(len(covariance)) * covariance.diagonal().mean()
    values, vectors = torch.linalg.eigh((1 - RIDGE) * covariance + RIDGE * even)
    inverse_root = vectors @ torch.diag(values.clamp(min=1e-6).rsqrt()) @ vectors.T
    found = torch.linalg.svd((means - means.mean(dim=0)) @ inverse_root, full_matrices=False)[2]
    directions: Tensor = inverse_root @ found[: len(groups) - 1].T
    return directions


def best_shares(to: Tensor, cross: Tensor, rounds: int = 500) -> Tensor:
    """The shares [groups], 0 or above and 1 in sum, of the mixture with the smallest energy distance to some points.

    Args:
        to: mean distance from the points to each group, [groups].
        cross: mean distances between groups, and within each, [groups groups].
        rounds: of accelerated projected gradient descent.
    """
    count = len(to)
    centre = torch.eye(count) - 1 / count
    step = 1 / (2 * torch.linalg.eigvalsh(-centre @ cross @ centre).max().clamp(min=1e-6))
    shares = leading = torch.full((count,), 1 / count)
    momentum = 1.0
    for _ in range(rounds):
        updated = on_simplex(leading - step * 2 * (to - cross @ leading))
        following = (1 + (1 + 4 * momentum**2) ** 0.5) / 2
        leading = updated + (momentum - 1) / following * (updated - shares)
        shares, momentum = updated, following
    return shares


def on_simplex(values: Tensor) -> Tensor:
    """The nearest values that are 0 or above and 1 in sum (Held, Wolfe and Crowder, 1974)."""
    ordered = values.sort(descending=True).values
    excess = (ordered.cumsum(dim=0) - 1) / torch.arange(1, len(values) + 1)
    kept = int((ordered > excess).nonzero().max())
    return (values - excess[kept]).clamp(min=0)
