"""Scores sets of generated images against the same real images, whose features are computed once."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from .. import __version__
from ..device.seeding import EVALUATE, seeded
from ..errors import GankitError
from ..interfaces import Dataset, ImageSpec, Metric
from ..registry import Selected
from .extractor import BATCH, Extractor
from .generated_images import EvaluatedImages
from .metrics import ScoreDirections, check_counts, check_metrics, compute_scores
from .real_features_cache import cache_folder, real_features
from .real_images import RealImages
from .record import Evaluation, ImageShape, MetricInfo, RealImagesInfo
from .request import PRECISION, Request, SelectedComponents

LIBRARIES = ("torch", "torchvision", "torchmetrics", "torch-fidelity", "timm", "numpy", "pillow")

Report = Callable[[str, int, int], None]
"""Called with the name of a task, the number of images done, and the total."""


def no_report(task: str, done: int, total: int) -> None:
    """Ignore the progress."""


class RealFeatures(NamedTuple):
    """The real images: their part of the record, their shape, and their features [n f]."""

    info: RealImagesInfo
    image: ImageSpec
    features: Tensor


class Scorer:
    """The extractor of a request, built once, and its metrics, built for each evaluation.

    All components draw from random generators seeded for the evaluation; the caller's generators do not change.

    Args:
        components: the metrics and the extractor.
        request: number of images and seed.
        device: computes the features.
        with_logits: names of the extractors that have logits, for an error message.

    Attributes:
        extractor: computes the features.

    Raises:
        GankitError: a component cannot be built, or a metric does not work with the extractor.
    """

    def __init__(
        self, components: SelectedComponents, request: Request, device: torch.device, with_logits: Iterable[str] = ()
    ) -> None:
        self._selected, self._request, self._device = components.metrics, request, device
        self.extractor = build_extractor(components.features, request, device)
        with self._seeded():
            check_metrics(self._build_metrics(), self.extractor, with_logits)

    def read_real_images(
        self,
        name: str,
        params: Mapping[str, Any],
        dataset: Dataset,
        size: tuple[int, int],
        report: Report = no_report,
    ) -> None:
        """Compute the features of the real images, or read them from the cache.

        Args:
            name: of the dataset.
            params: of the dataset, as JSON data.
            dataset: prepared.
            size: height and width of all images in this evaluation, in pixels.
            report: called with the progress.

        Raises:
            GankitError: there are too few, or one cannot be read.
        """
        image = ImageSpec(*size, dataset.spec.channels)
        real = RealImages(name, params, dataset, image, self._request.real_samples or self._request.samples)
        with self._seeded():
            check_counts(self._build_metrics(), real.count, self._request.samples)
            features = real_features(
                real, self.extractor, cache_folder(), lambda done: report("features of real images", done, real.count)
            )
        self._real = RealFeatures(real.info, image, features)

    def rehearse(self) -> ScoreDirections:
        """The scores of each metric, found by computing them with real images in place of generated ones.

        Raises:
            GankitError: a metric fails.
        """
        count, features = self._request.samples, self._real.features
        repeated = (features[indices % len(features)] for indices in torch.arange(count).split(BATCH))
        return self._compute(repeated)[1]

    def score(
        self, images: EvaluatedImages, report: Report = no_report, features: Iterable[Tensor] | None = None
    ) -> Evaluation:
        """Compare generated images with the real ones.

        Args:
            images: the generated images.
            report: called with the progress.
            features: [n f] of each of their batches in order; None computes them.

        Raises:
            GankitError: an image cannot be read, or a metric fails.
        """
        request, real = self._request, self._real

        def reported() -> Iterator[Tensor]:
            done = 0
            for batch in map(self.extractor, images.batches()) if features is None else features:
                yield batch
                done += len(batch)
                report("features of generated images", done, request.samples)

        scores, directions = self._compute(reported())
        return Evaluation(
            at=datetime.now(UTC).isoformat(timespec="seconds"),
            evaluated=images.info,
            scores=scores,
            metrics={metric.entry.name: _metric_info(metric, directions) for metric in self._selected},
            features=self.extractor.info,
            samples=request.samples,
            real=real.info,
            image=ImageShape(height=real.image.height, width=real.image.width, channels=real.image.channels),
            seed=request.seed,
            options=dict(images.options),
            precision=PRECISION,
            device=str(self._device),
            versions=_versions(),
        )

    def _compute(self, generated: Iterable[Tensor]) -> tuple[dict[str, float], ScoreDirections]:
        with self._seeded():
            return compute_scores(generated, self._real.features, self.extractor, self._build_metrics())

    def _build_metrics(self) -> Mapping[str, Metric]:
        return {metric.entry.name: build(metric) for metric in self._selected}

    def _seeded(self) -> AbstractContextManager[int]:
        return evaluation_seed(self._request, self._device)


def evaluation_seed(request: Request, device: torch.device) -> AbstractContextManager[int]:
    """Seed the random generators from the request; on exit, restore their previous states."""
    return seeded(np.random.SeedSequence(request.seed, spawn_key=(EVALUATE,)), device)


def build_extractor(selected: Selected, request: Request, device: torch.device) -> Extractor:
    """The extractor on the device. Raises: GankitError: it cannot be built."""
    with evaluation_seed(request, device):
        return Extractor(selected.entry.name, recorded_params(selected), build(selected), device)


def build(selected: Selected) -> Any:
    """The component. Raises: GankitError: its constructor refuses the parameters."""
    try:
        return selected.build()
    except ValueError as error:
        raise GankitError(f"{selected.entry.kind}: '{selected.entry.name}': {error}") from error


def recorded_params(selected: Selected) -> dict[str, Any]:
    """The parameters as JSON data, without paths: the extractor's hash covers the content of files."""
    params = selected.params
    paths = {name for name in type(params).model_fields if isinstance(getattr(params, name), Path)}
    return params.model_dump(mode="json", exclude=paths)


def _metric_info(selected: Selected, directions: ScoreDirections) -> MetricInfo:
    own = directions[selected.entry.name]
    better = {score: direction for score, direction in own.items() if direction is not None}
    return MetricInfo(params=recorded_params(selected), scores=tuple(own), better=better)


def _versions() -> dict[str, str]:
    """Versions of gankit, Python and the installed libraries."""
    versions = {"gankit": __version__, "python": platform.python_version()}
    for name in LIBRARIES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions
