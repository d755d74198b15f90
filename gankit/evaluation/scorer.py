"""Scores sets of generated images against the same real images, whose features are computed once."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .. import __version__, messages
from ..data.datasets import spec_of
from ..device.seeding import EVALUATE, seeded
from ..interfaces import ImageSpec, Metric, Report, no_report
from ..registered_component import Selected
from .extractor import BATCH, Extractor
from .generated_images import EvaluatedImages
from .metrics import ScoreDirections, check_counts, check_metrics, compute_scores
from .real_features_cache import Warn, real_features
from .real_images import RealImages
from .record import Evaluation, ImageShape, MetricInfo
from .request import RealDataset, Request, SelectedMetrics, build

TASK = "features of generated images"
LIBRARIES = ("torch", "torchvision", "torchmetrics", "torch-fidelity", "timm", "numpy", "pillow")


class Scorer:
    """The extractor of a request, built once, and its metrics, built for each evaluation.

    All components draw from random generators seeded for the evaluation; the caller's generators do not change.

    Args:
        selected: the metrics and the extractor.
        request: number of images and seed.
        device: computes the features.

    Attributes:
        extractor: computes the features.

    Raises:
        GankitError: a component cannot be built, or a metric does not work with the extractor.
    """

    def __init__(self, selected: SelectedMetrics, request: Request, device: torch.device) -> None:
        self._metrics, self._request, self._device = selected.metrics, request, device
        self.extractor = build_extractor(selected.features, request, device)
        with evaluation_seed(request, device):
            check_metrics(self._build_metrics(), self.extractor, selected.with_logits)

    def read_real_images(
        self, real: RealDataset, size: tuple[int, int], report: Report = no_report, warn: Warn = messages.warn
    ) -> None:
        """Compute the features of the real images, or read them from the cache.

        Args:
            real: a prepared dataset.
            size: height and width of all images in this evaluation, in pixels.
            report: called with the progress.
            warn: called with a sentence if the features cannot be cached.

        Raises:
            GankitError: there are too few, or one cannot be read.
        """
        request, image = self._request, ImageSpec(*size, spec_of(real.dataset).image.channels)
        images = RealImages(real, image, request.real_samples or request.count, report)
        with evaluation_seed(request, self._device):
            check_counts(self._build_metrics(), images.count, request.count)
            self._features = real_features(images, self.extractor, report, warn)
        self._real, self._image = images.info, image

    def rehearse(self) -> tuple[ScoreDirections, Sequence[str]]:
        """The scores of each metric, and cautions, found by computing with real images in place of generated ones.

        Raises:
            GankitError: a metric fails.
        """
        count, features = self._request.count, self._features
        repeated = (features[indices % len(features)] for indices in torch.arange(count).split(BATCH))
        return self._compute(repeated)[1:]

    def score(self, images: EvaluatedImages, features: Iterable[Tensor], report: Report = no_report) -> Evaluation:
        """Compare generated images with the real ones.

        Args:
            images: the generated images.
            features: [n f] of each of their batches in order.
            report: called with the progress.

        Raises:
            GankitError: an image cannot be read, or a metric fails.
        """
        request, image = self._request, self._image

        def reported() -> Iterator[Tensor]:
            done = 0
            report(TASK, done, request.count)
            for batch in features:
                yield batch
                done += len(batch)
                report(TASK, done, request.count)

        scores, directions, cautions = self._compute(reported())
        return Evaluation(
            at=datetime.now(UTC).isoformat(timespec="seconds"),
            evaluated=images.info,
            scores=scores,
            metrics={metric.entry.name: _metric_info(metric, directions) for metric in self._metrics},
            features=self.extractor.info,
            samples=request.count,
            cautions=tuple(cautions),
            real=self._real,
            image=ImageShape(height=image.height, width=image.width, channels=image.channels),
            seed=request.seed,
            options=dict(images.options),
            precision="fp32",
            device=str(self._device),
            versions=_versions(),
        )

    def _compute(self, generated: Iterable[Tensor]) -> tuple[dict[str, float], ScoreDirections, list[str]]:
        with evaluation_seed(self._request, self._device):
            return compute_scores(generated, self._features, self.extractor, self._build_metrics())

    def _build_metrics(self) -> Mapping[str, Metric]:
        return {metric.entry.name: build(metric) for metric in self._metrics}


def evaluation_seed(request: Request, device: torch.device) -> AbstractContextManager[int]:
    """Seed the random generators from the request; on exit, restore their previous states."""
    return seeded(np.random.SeedSequence(request.seed, spawn_key=(EVALUATE,)), device)


def build_extractor(selected: Selected, request: Request, device: torch.device) -> Extractor:
    """The extractor on the device. Raises: GankitError: it cannot be built."""
    with evaluation_seed(request, device):
        return Extractor(selected.entry.name, recorded_params(selected), build(selected), device)


def recorded_params(selected: Selected) -> dict[str, Any]:
    """The parameters as JSON data, without paths: the extractor's hash covers the content of files."""
    paths = {name for name, value in selected.params if isinstance(value, Path)}
    return selected.params.model_dump(mode="json", exclude=paths)


def _metric_info(selected: Selected, directions: ScoreDirections) -> MetricInfo:
    own = directions[selected.entry.name]
    better = {score: direction for score, direction in own.items() if direction is not None}
    return MetricInfo(params=recorded_params(selected), scores=tuple(own), better=better)


def _versions() -> dict[str, str]:
    """Versions of gankit, Python and the installed libraries."""
    versions = {"gankit": __version__, "python": platform.python_version()}
    for name in LIBRARIES:
        with suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    return versions
