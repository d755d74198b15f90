"""What a run's real images are like: taken once, when first needed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

import gankit

from .features import describe, reduced
from .value_range import values_of

MOST_CLASSES = 24
FEWEST_OF_A_CLASS, MOST_OF_A_CLASS = 32, 128
CLUSTERS = 10
FEWEST_REALS = 64


@dataclass(frozen=True)
class Groups:
    """Real images in groups: classes where the data has labels, else groups of images that look alike.

    Attributes:
        names: of the classes; None where the groups are nothing but alike.
        features: of each group's images, [m f].
        frequencies: share of each group in the data, [groups].
    """

    names: tuple[str, ...] | None
    features: tuple[Tensor, ...]
    frequencies: Tensor


class Reals:
    """The first ``count`` real images of a run, no one twice.

    Attributes:
        small: [n c h w] in [-1, 1], at most 64 px a side.
        values: where their values lie.
        augmented: every other one of ``small``, through the run's augmentations; None where it has none.
        total: how many images the data set has.
    """

    def __init__(self, run: gankit.Run, count: int) -> None:
        self._run = run
        self.total = len(run.dataset)
        self.count = min(count, self.total)
        images = _floats(run.real(self.count))
        self.values = values_of(images)
        self.small = reduced(images)
        applied = bool(run.recipe.augmentations) and self.enough
        self.augmented = reduced(run.augment(images[1::2])) if applied else None

    @property
    def enough(self) -> bool:
        """Whether there are enough to judge distributions by."""
        return self.count >= FEWEST_REALS

    @cached_property
    def features(self) -> Tensor:
        """[n f]"""
        return describe(self.small)

    @cached_property
    def groups(self) -> Groups | None:
        """The images in groups; None where there are too few for any."""
        labels = _labels(self._run.dataset)
        if labels is not None:
            values, counts = labels.unique(return_counts=True)
            large = counts >= FEWEST_OF_A_CLASS
            if 2 <= len(values) <= MOST_CLASSES and int(large.sum()) >= 2:
                return self._classes([int(value) for value in values[large]], counts[large])
        if self.count < CLUSTERS * FEWEST_OF_A_CLASS:
            return None
        assigned = alike(self.features, CLUSTERS)
        sizes = assigned.bincount(minlength=CLUSTERS)
        kept = [group for group in range(CLUSTERS) if sizes[group] >= FEWEST_OF_A_CLASS // 2]
        parts = tuple(self.features[assigned == group] for group in kept)
        return Groups(None, parts, _shares(sizes[kept])) if len(kept) >= 2 else None

    def _classes(self, values: list[int], counts: Tensor) -> Groups:
        sizes = [min(MOST_OF_A_CLASS, max(self.count // 4, FEWEST_OF_A_CLASS), int(count)) for count in counts]
        wanted = [value for value, size in zip(values, sizes, strict=True) for _ in range(size)]
        features = describe(reduced(_floats(self._run.real(len(wanted), wanted))))
        known = self._run.dataset.classes or ()
        names = tuple(str(known[value]) if value < len(known) else str(value) for value in values)
        return Groups(names, features.split(sizes), _shares(counts))


def alike(features: Tensor, groups: int, rounds: int = 30) -> Tensor:
    """K-means: the group [n] of each of the features [n f], the same each time."""
    centred = features - features.mean(dim=0)
    points = centred @ torch.linalg.svd(centred, full_matrices=False)[2][:16].T
    random = torch.Generator().manual_seed(0)
    centres = points[torch.randperm(len(points), generator=random)[:groups]].clone()
    assigned = torch.cdist(points, centres).argmin(dim=1)
    for _ in range(rounds):
        for group in assigned.unique().tolist():
            centres[group] = points[assigned == group].mean(dim=0)
        assigned = torch.cdist(points, centres).argmin(dim=1)
    return assigned


def _labels(dataset: gankit.Dataset) -> Tensor | None:
    """All labels [n] where the set has classes and tells them without decoding every image."""
    if not dataset.classes:
        return None
    labels = getattr(dataset, "labels", None)
    if labels is None and hasattr(dataset, "tensors"):
        labels = dataset.tensors()[1]
    return None if labels is None else torch.as_tensor(labels).flatten()


def _shares(counts: Tensor) -> Tensor:
    return counts.float() / counts.sum()


def _floats(images: Tensor) -> Tensor:
    return images.cpu().float().div(127.5).sub(1)
