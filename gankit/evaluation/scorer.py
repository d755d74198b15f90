"""Scores sets of generated images against the same real images, whose features are computed once."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from datetime import UTC, datetime
from importlib import metadata
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from .. import __version__, messages
from ..device.seeding import EVALUATE, seeded
from ..errors import GankitError
from ..interfaces import Metric, Report, no_report
from ..registered_component import Selected
from .extractor import BATCH, Extractor
from .generated_images import EvaluatedImages
from .metrics import EvaluatedBatch, ScoreDirections, cautions_of_missing, check_counts, check_metrics, compute_scores
from .pairs import compares_pairs
from .real_features_cache import Warn, real_features
from .real_images import RealImages
from .record import Evaluation, ImageShape, MetricInfo
from .request import Request, SelectedMetrics, build

TASK = "features of generated images"
PAIRS_TASK = "generated images"  # if no features are computed
LIBRARIES = ("torch", "torchvision", "torchmetrics", "torch-fidelity", "timm", "numpy", "pillow")


class Scorer:
    """The extractor of a request, built once, and its metrics, built for each evaluation.

    All components draw from random generators seeded for the evaluation; the caller's generators do not change.

    Args:
        selected: the metrics and the extractor.
        request: number of images and seed.
        device: computes the features.

    Attributes:
        extractor: computes the features; None if all metrics compare pairs of images.

    Raises:
        GankitError: a component cannot be built, or a metric does not work with the extractor.
    """

    def __init__(self, selected: SelectedMetrics, request: Request, device: torch.device) -> None:
        self._metrics, self._request, self._device = selected.metrics, request, device
        self._features: Tensor | None = None
        self.extractor = build_extractor(selected, request, device)
        with evaluation_seed(request, device):
            check_metrics(self._build_metrics(), self.extractor, selected.with_logits)

    def read_real_images(
        self,
        images: RealImages,
        report: Report = no_report,
        warn: Warn = messages.warn,
        cautions: Sequence[str] = (),
    ) -> None:
        """Compute the features of the real images, or read them from the cache.

        Args:
            images: the real images, in the size of this evaluation.
            report: called with the progress.
            warn: called with a sentence if the features cannot be cached.
            cautions: about these images, for the record.

        Raises:
            GankitError: there are too few, or one cannot be read.
        """
        request = self._request
        with evaluation_seed(request, self._device):
            metrics = self._build_metrics()
            check_counts(metrics, images.count, request.count)
            if self.extractor is not None:
                self._features = real_features(images, self.extractor, report, warn)
        self._real, self._image = images.info, images.image
        self._cautions = [*cautions, *cautions_of_missing(metrics, images.count, images.available)]
        self._first = images.batch(0) if any(map(compares_pairs, metrics.values())) else None

    def rehearse(self) -> tuple[ScoreDirections, Sequence[str]]:
        """The scores of each metric, and cautions, found by computing with real images in place of generated ones.

        Metrics of pairs see one batch.

        Raises:
            GankitError: a metric fails.
        """
        batches = [EvaluatedBatch(None, self._first, self._first)]
        if (features := self._features) is not None:
            rows = torch.arange(self._request.count).split(BATCH)
            batches += [EvaluatedBatch(features[indices % len(features)]) for indices in rows]
        computed = self._compute(batches)
        return computed.directions, computed.cautions

    def score(
        self, images: EvaluatedImages, batches: Iterable[EvaluatedBatch], report: Report = no_report
    ) -> Evaluation:
        """Compare generated images with the real ones.

        Args:
            images: the generated images.
            batches: what the metrics see of their batches, in order.
            report: called with the progress.

        Raises:
            GankitError: an image cannot be read, or a metric fails.
        """
        request, image = self._request, self._image

        def reported() -> Iterator[EvaluatedBatch]:
            task = PAIRS_TASK if self.extractor is None else TASK
            done = 0
            report(task, done, request.count)
            for batch in batches:
                yield batch
                done = min(done + BATCH, request.count)
                report(task, done, request.count)

        computed = self._compute(reported())
        return Evaluation(
            at=datetime.now(UTC).isoformat(timespec="seconds"),
            evaluated=images.info,
            scores=computed.scores,
            metrics={metric.entry.name: _metric_info(metric, computed) for metric in self._metrics},
            features=None if self.extractor is None else self.extractor.info,
            samples=request.count,
            cautions=tuple(computed.cautions),
            details=tuple(computed.details),
            real=self._real,
            image=ImageShape(height=image.height, width=image.width, channels=image.channels),
            seed=request.seed,
            options=dict(images.options),
            precision="fp32",
            device=str(self._device),
            versions=_versions(),
        )

    def _compute(self, batches: Iterable[EvaluatedBatch]) -> Computed:
        with evaluation_seed(self._request, self._device):
            metrics = self._build_metrics()
            scores, directions, found = compute_scores(batches, self._features, self.extractor, metrics, self._device)
        pairs = {name: metric for name, metric in metrics.items() if compares_pairs(metric)}
        hashes = {name: getattr(metric, "hash", None) for name, metric in pairs.items()}
        details = [line for metric in metrics.values() for line in getattr(metric, "details", tuple)()]
        return Computed(scores, directions, [*self._cautions, *found], details, hashes)

    def _build_metrics(self) -> Mapping[str, Metric]:
        return {metric.entry.name: build(metric) for metric in self._metrics}


class Computed(NamedTuple):
    """The results of the metrics.

    Attributes:
        scores: by name.
        directions: the scores of each metric, and which values of each are better.
        cautions: sentences about scores that are less reliable.
        details: lines about single images.
        hashes: those of the networks of metrics of pairs; None for one without a network.
    """

    scores: dict[str, float]
    directions: ScoreDirections
    cautions: list[str]
    details: list[str]
    hashes: Mapping[str, str | None]


def evaluation_seed(request: Request, device: torch.device) -> AbstractContextManager[None]:
    """Seed the random generators from the request; on exit, restore their previous states."""
    return seeded(np.random.SeedSequence(request.seed, spawn_key=(EVALUATE,)), device)


def metrics_of_pairs(selected: SelectedMetrics, request: Request, device: torch.device) -> list[str]:
    """The names of those that compare pairs of images.

    Raises:
        GankitError: a metric cannot be built, or one of them is combined with a metric that needs all real images.
    """
    with evaluation_seed(request, device):
        metrics = {metric.entry.name: build(metric) for metric in selected.metrics}
    pairs = [name for name, metric in metrics.items() if compares_pairs(metric)]
    for name, metric in metrics.items():
        if pairs and name not in pairs and getattr(metric, "needs_all_real", False):
            raise GankitError(
                f"metric '{name}' needs all real images, but '{pairs[0]}' takes the held-out ones if there are some; "
                "evaluate them separately"
            )
    return pairs


def build_extractor(selected: SelectedMetrics, request: Request, device: torch.device) -> Extractor | None:
    """The extractor on the device; None if all metrics compare pairs of images. Raises: GankitError: it fails."""
    if len(metrics_of_pairs(selected, request, device)) == len(selected.metrics):
        return None
    features = selected.features
    with evaluation_seed(request, device):
        return Extractor(features.entry.name, features.params_without_paths(), build(features), device)


def _metric_info(selected: Selected, computed: Computed) -> MetricInfo:
    name, directions, hashes = selected.entry.name, computed.directions, computed.hashes
    better = {score: direction for score, direction in directions[name].items() if direction is not None}
    return MetricInfo(
        params=selected.params_without_paths(),
        scores=tuple(directions[name]),
        better=better,
        pairs=name in hashes,
        hash=hashes.get(name),
    )


def _versions() -> dict[str, str]:
    """Versions of gankit, Python and the installed libraries."""
    versions = {"gankit": __version__, "python": platform.python_version()}
    for name in LIBRARIES:
        with suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    return versions
