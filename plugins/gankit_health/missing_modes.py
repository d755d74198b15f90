"""Check for missing modes: groups of real images that the generated images leave out.

Generated images are compared with mixtures of the groups. The estimated shares are those of the mixture with the
smallest energy distance to the generated images. They count only if that mixture fits: images that resemble no real
images, as early in training, have no shares. Distances are measured along linear discriminants of the groups (computed
on one half of the real images, measured on the other), relative to the mean distance between two real images.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .findings import Finding, percent
from .image_features import Whitened, between, describe, within
from .real_images import Groups

KIND = "missing_modes"
DIMENSIONS, RIDGE = 48, 0.3

# largest distance to the best mixture, relative to the distance to all reals. A healthy CIFAR-10 DCGAN over 6,700 steps
# stays above 0.26 whenever it is far by class, and above 0.16 by cluster (clusters are less homogeneous than classes)
FIT, FIT_CLUSTERS = 0.2, 0.1
APART = 0.7  # distance between that mixture and all reals, over the fakes' distance to all reals; healthy: below 0.67
FAR, FAR_CLUSTERS = 0.04, 0.08  # smallest distance to all reals that is judged, for classes and for clusters
MISSING = 0.2  # a group is missing if its share is below this part of its share in the data


@dataclass(frozen=True)
class Fit:
    """How generated images compare with mixtures of groups.

    Attributes:
        shares: of each group in the mixture that fits best, [groups].
        to_reals: distance from the generated images to all reals.
        to_mixture: distance from the generated images to that mixture.
        mixture_to_reals: distance from that mixture to all reals.
    """

    shares: Tensor
    to_reals: float
    to_mixture: float
    mixture_to_reals: float


class ModeCoverage:
    """Compares generated images with groups of real images.

    Args:
        groups: at least two.
    """

    def __init__(self, groups: Groups) -> None:
        self.groups = groups
        self._far, self._fit = (FAR, FIT) if groups.names is not None else (FAR_CLUSTERS, FIT_CLUSTERS)
        one, other = (tuple(part[start::2] for part in groups.features) for start in (0, 1))
        self._folds = [Fold(one, other, groups.frequencies), Fold(other, one, groups.frequencies)]
        self._cross = torch.stack([fold.cross for fold in self._folds]).mean(dim=0)

    def fit(self, images: Tensor) -> Fit:
        """Find the mixture closest to images [n c h w] in [-1, 1]."""
        features = describe(images)
        measured = [fold.distances(features) for fold in self._folds]
        to, own = (torch.stack(parts).mean(dim=0) for parts in zip(*measured, strict=True))

        def distance(shares: Tensor) -> float:
            return float(2 * shares @ to - shares @ self._cross @ shares - own)

        frequencies = self.groups.frequencies
        single = min(torch.eye(len(to)), key=distance)
        single_fits = distance(single) <= self._fit * distance(frequencies)  # prefer a single group, the simplest fit
        shares = single if single_fits else best_shares(to, self._cross)
        gap = shares - frequencies
        return Fit(shares, distance(frequencies), distance(shares), float(-gap @ self._cross @ gap))

    def check(self, images: Tensor) -> list[Finding]:
        """Report the groups that images [n c h w] in [-1, 1] leave out, if they resemble real images."""
        fit = self.fit(images)
        fits = fit.to_mixture <= self._fit * fit.to_reals
        if fit.to_reals < self._far or not fits or fit.mixture_to_reals < APART * fit.to_reals:
            return []
        missing = (fit.shares < MISSING * self.groups.frequencies).nonzero().flatten().tolist()
        if not missing:
            return []
        return [self._finding(fit, missing)]

    def _finding(self, fit: Fit, missing: list[int]) -> Finding:
        names, count = self.groups.names, len(self.groups.frequencies)
        lost = float(self.groups.frequencies[missing].sum())
        if names is None:
            observation = f"they resemble at most {percent(1 - lost)} of the real images and leave out the rest"
        elif len(missing) == count - 1:
            observation = f"they show one class only, '{names[int(fit.shares.argmax())]}', of {count}"
        else:
            left_out = ", ".join(f"'{names[index]}'" for index in missing[:6]) + (", ..." if len(missing) > 6 else "")
            observation = f"{len(missing)} of {count} classes are missing: {left_out}"
        shares = {} if names is None else dict(zip(names, map(float, fit.shares), strict=True))
        return Finding(
            KIND,
            f"The generated images miss part of the data: {observation}. Their distance to all reals is "
            f"{fit.to_reals:.2f}, and {max(fit.to_mixture, 0):.2f} without what is missing. Try conditional: true, a "
            "gradient penalty, larger batches, or a lower generator learning rate; check that all classes are loaded.",
            {
                "missing_share": lost,
                "distance_to_reals": fit.to_reals,
                "distance_to_mixture": fit.to_mixture,
                "mixture_to_reals": fit.mixture_to_reals,
                "shares": shares,
            },
        )


class Fold:
    """Distances to groups along their linear discriminants.

    Args:
        learned: features of each group [m f] that the discriminants are computed on.
        measured: features of each group [m f] that distances are measured to.
        frequencies: share of each group in the data, [groups].
    """

    def __init__(self, learned: Sequence[Tensor], measured: Sequence[Tensor], frequencies: Tensor) -> None:
        self._whitened = Whitened(torch.cat(list(learned)), DIMENSIONS)
        self._directions = discriminants([self._whitened(features) for features in learned])
        self._points = [self._project(features) for features in measured]
        cross = torch.stack([torch.stack([between(one, other) for other in self._points]) for one in self._points])
        cross = cross - torch.diag(cross.diag()) + torch.diag(torch.stack([within(points) for points in self._points]))
        self._scale = frequencies @ cross @ frequencies
        self.cross = cross / self._scale

    def distances(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Mean distances from features [n f] to each group, [groups], and between these features, 0-d."""
        points = self._project(features)
        to = torch.stack([between(points, group) for group in self._points])
        return to / self._scale, within(points) / self._scale

    def _project(self, features: Tensor) -> Tensor:
        return self._whitened(features) @ self._directions


def discriminants(groups: list[Tensor]) -> Tensor:
    """Fisher's linear discriminants [k groups-1] of groups of points [m k], with a regularized covariance."""
    means = torch.stack([group.mean(dim=0) for group in groups])
    scatter = torch.cat([group - mean for group, mean in zip(groups, means, strict=True)])
    covariance = scatter.T @ scatter / len(scatter)
    isotropic = torch.eye(len(covariance)) * covariance.diagonal().mean()
    values, vectors = torch.linalg.eigh((1 - RIDGE) * covariance + RIDGE * isotropic)
    inverse_root = vectors @ torch.diag(values.clamp(min=1e-6).rsqrt()) @ vectors.T
    found = torch.linalg.svd((means - means.mean(dim=0)) @ inverse_root, full_matrices=False)[2]
    directions: Tensor = inverse_root @ found[: len(groups) - 1].T
    return directions


def best_shares(to: Tensor, cross: Tensor, rounds: int = 500) -> Tensor:
    """The shares [groups] of the mixture with the smallest energy distance to a set of points; they sum to 1.

    Args:
        to: mean distance from the points to each group, [groups].
        cross: mean distances between groups, and within each on the diagonal, [groups groups].
        rounds: of accelerated projected gradient descent.
    """
    count = len(to)
    centering = torch.eye(count) - 1 / count
    step = 1 / (2 * torch.linalg.eigvalsh(-centering @ cross @ centering).max().clamp(min=1e-6))
    shares = leading = torch.full((count,), 1 / count)
    momentum = 1.0
    for _ in range(rounds):
        updated = on_simplex(leading - step * 2 * (to - cross @ leading))
        following = (1 + (1 + 4 * momentum**2) ** 0.5) / 2
        leading = updated + (momentum - 1) / following * (updated - shares)
        shares, momentum = updated, following
    return shares


def on_simplex(values: Tensor) -> Tensor:
    """Project values [k] onto the probability simplex (Held, Wolfe and Crowder, 1974)."""
    ordered = values.sort(descending=True).values
    excess = (ordered.cumsum(dim=0) - 1) / torch.arange(1, len(values) + 1)
    kept = int((ordered > excess).nonzero().max())
    return (values - excess[kept]).clamp(min=0)
