"""The run's real images and their groups, read once when a check first needs them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

import gankit

from .image_features import describe, reduced
from .value_range import values_of

MAX_CLASSES = 24
MIN_PER_CLASS, MAX_PER_CLASS = 32, 128
CLUSTERS = 10
MIN_REALS = 64


@dataclass(frozen=True)
class Groups:
    """Real images in groups: the classes if the data has labels, otherwise clusters of similar images.

    Attributes:
        names: of the classes; None for clusters.
        features: of each group's images, [m f].
        frequencies: share of each group in the data, [groups].
    """

    names: tuple[str, ...] | None
    features: tuple[Tensor, ...]
    frequencies: Tensor


class RealImages:
    """The first ``count`` real images of a run, each once.

    Attributes:
        small: [n c h w] in [-1, 1], at most 64 px a side.
        values: where their values lie.
        can_augment: whether the run has augmentations, and there are enough images to see their effect.
        total: number of images in the dataset.
    """

    def __init__(self, run: gankit.Run, count: int) -> None:
        self._run = run
        self.total = len(run.dataset)
        self.count = min(count, self.total)
        read = run.real(self.count)
        images = _to_float(read)
        self.values = values_of(images)
        self.small = reduced(images)
        self.can_augment = bool(run.recipe.augmentations) and self.enough
        self._odd = read[1::2] if self.can_augment else read[:0]

    @property
    def enough(self) -> bool:
        """Whether there are enough images to compare distributions."""
        return self.count >= MIN_REALS

    def augmented(self) -> Tensor:
        """``small[1::2]`` after the run's augmentations, whose strength may change during the run."""
        return reduced(self._run.augment(_to_float(self._odd)))

    @cached_property
    def features(self) -> Tensor:
        """Features [n f] of ``small``."""
        return describe(self.small)

    @cached_property
    def groups(self) -> Groups | None:
        """The images in groups; None if there are too few."""
        labels = _labels(self._run.dataset)
        if labels is not None:
            values, counts = labels.unique(return_counts=True)
            large = counts >= MIN_PER_CLASS
            if 2 <= len(values) <= MAX_CLASSES and int(large.sum()) >= 2:
                return self._class_groups([int(value) for value in values[large]], counts[large])
        if self.count < CLUSTERS * MIN_PER_CLASS:
            return None
        assigned = k_means(self.features, CLUSTERS)
        sizes = assigned.bincount(minlength=CLUSTERS)
        kept = [group for group in range(CLUSTERS) if sizes[group] >= MIN_PER_CLASS // 2]
        parts = tuple(self.features[assigned == group] for group in kept)
        return Groups(None, parts, _shares(sizes[kept])) if len(kept) >= 2 else None

    def _class_groups(self, values: list[int], counts: Tensor) -> Groups:
        sizes = [min(MAX_PER_CLASS, max(self.count // 4, MIN_PER_CLASS), int(count)) for count in counts]
        labels = [value for value, size in zip(values, sizes, strict=True) for _ in range(size)]
        features = describe(reduced(_to_float(self._run.real(len(labels), labels))))
        classes = gankit.classes_of(self._run.dataset) or ()
        names = tuple(str(classes[value]) if value < len(classes) else str(value) for value in values)
        return Groups(names, features.split(sizes), _shares(counts))


def k_means(features: Tensor, groups: int, rounds: int = 30) -> Tensor:
    """The cluster [n] of each of the features [n f]; deterministic."""
    centered = features - features.mean(dim=0)
    points = centered @ torch.linalg.svd(centered, full_matrices=False)[2][:16].T
    random = torch.Generator().manual_seed(0)
    centers = points[torch.randperm(len(points), generator=random)[:groups]].clone()
    assigned = torch.cdist(points, centers).argmin(dim=1)
    for _ in range(rounds):
        for group in assigned.unique().tolist():
            centers[group] = points[assigned == group].mean(dim=0)
        assigned = torch.cdist(points, centers).argmin(dim=1)
    return assigned


def _labels(dataset: gankit.Dataset) -> Tensor | None:
    """All labels [n] if the dataset has classes and offers labels without decoding its images, otherwise None."""
    labels = gankit.labels_of(dataset) if gankit.classes_of(dataset) else None
    return None if labels is None else torch.from_numpy(labels)


def _shares(counts: Tensor) -> Tensor:
    return counts.float() / counts.sum()


def _to_float(images: Tensor) -> Tensor:
    return images.cpu().float().div(127.5).sub(1)
