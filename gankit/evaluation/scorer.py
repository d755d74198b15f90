"""Who scores: metrics and an extractor, which first look at the real images and then at generated ones."""

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
from .feature_cache import features_folder, features_of
from .generated_images import Generated
from .metrics import Columns, measure, require_counts, require_values
from .real_images import RealImages
from .record import Evaluation, Image, Measure, Real
from .request import PRECISION, Request, Scorers

LIBRARIES = ("torch", "torchvision", "torchmetrics", "torch-fidelity", "timm", "numpy", "pillow")

Report = Callable[[str, int, int], None]
"""Is told what is being computed, how many images are done, and how many there are."""


def silent(what: str, done: int, total: int) -> None:
    """Report nothing."""


class Known(NamedTuple):
    """The real images as a judge remembers them: what they are, their size, and their features [n f]."""

    about: Real
    image: ImageSpec
    features: Tensor


class Scorer:
    """The scorers of a request: the extractor is built once, the metrics are anew for each evaluation.

    Whatever draws random numbers in here finds generators of its own; the host's are as before afterwards.

    Args:
        scorers: those of the request.
        request: how many images, by which seed.
        device: where features are computed.
        others: extractors that have logits, for a message.

    Attributes:
        extractor: of the features.

    Raises:
        GankitError: a scorer cannot be built, or cannot be fed.
    """

    def __init__(self, scorers: Scorers, request: Request, device: torch.device, others: Iterable[str] = ()) -> None:
        self._chosen, self._request, self._device = scorers.metrics, request, device
        self.extractor = build_extractor(scorers.features, request, device)
        with self._apart():
            require_values(self.extractor, self._metrics(), others)

    def read_real_images(
        self,
        name: str,
        params: Mapping[str, Any],
        dataset: Dataset,
        size: tuple[int, int],
        report: Report = silent,
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
        wanted = self._request.real_samples or self._request.samples
        real = RealImages(name, params, dataset, image, wanted)
        with self._apart():
            require_counts(self._metrics(), real.count, self._request.samples)
            features = features_of(
                real,
                self.extractor,
                features_folder(),
                lambda done: report("features of real images", done, real.count),
            )
        self._known = Known(real.about, image, features)

    def rehearse(self) -> Columns:
        """What scores there will be: all is computed once, with the real images in place of generated ones.

        Raises:
            GankitError: a metric fails.
        """
        count, features = self._request.samples, self._known.features
        stand_in = (features[part % len(features)] for part in torch.arange(count).split(BATCH))
        return self._measure(stand_in)[1]

    def score(
        self, subject: Generated, report: Report = silent, features: Iterable[Tensor] | None = None
    ) -> Evaluation:
        """Compare generated images with the real ones.

        Args:
            subject: what is evaluated.
            report: is told of the progress.
            features: [n f] of its batches, in their order; None computes them.

        Raises:
            GankitError: an image or a metric fails.
        """
        request, (real, image, _) = self._request, self._known

        def reported() -> Iterator[Tensor]:
            done = 0
            for batch in map(self.extractor, subject.batches()) if features is None else features:
                yield batch
                done += len(batch)
                report("features of generated images", done, request.samples)

        scores, columns = self._measure(reported())
        return Evaluation(
            at=datetime.now(UTC).isoformat(timespec="seconds"),
            evaluated=subject.about,
            scores=scores,
            metrics={chosen.entry.name: _measured(chosen, columns) for chosen in self._chosen},
            features=self.extractor.about,
            samples=request.samples,
            real=real,
            image=Image(height=image.height, width=image.width, channels=image.channels),
            seed=request.seed,
            options=dict(subject.options),
            precision=PRECISION,
            device=str(self._device),
            versions=_versions(),
        )

    def _measure(self, generated: Iterable[Tensor]) -> tuple[dict[str, float], Columns]:
        with self._apart():
            return measure(generated, self._known.features, self.extractor, self._metrics())

    def _metrics(self) -> Mapping[str, Metric]:
        return {chosen.entry.name: build(chosen) for chosen in self._chosen}

    def _apart(self) -> AbstractContextManager[int]:
        return apart(self._request, self._device)


def apart(request: Request, device: torch.device) -> AbstractContextManager[int]:
    """Random generators that are the evaluation's own."""
    return seeded(np.random.SeedSequence(request.seed, spawn_key=(EVALUATE,)), device)


def build_extractor(chosen: Selected, request: Request, device: torch.device) -> Extractor:
    """The extractor on the device. Raises: GankitError: it cannot be built."""
    with apart(request, device):
        return Extractor(chosen.entry.name, identity(chosen), build(chosen), device)


def build(chosen: Selected) -> Any:
    """The component. Raises: GankitError: its parameters do not go together."""
    try:
        return chosen.build()
    except ValueError as error:
        raise GankitError(f"{chosen.entry.kind}: '{chosen.entry.name}': {error}") from error


def identity(chosen: Selected) -> dict[str, Any]:
    """The parameters as plain data, but for paths: of a file its content matters, and the extractor's hash has that."""
    paths = {name for name in type(chosen.params).model_fields if isinstance(getattr(chosen.params, name), Path)}
    return chosen.params.model_dump(mode="json", exclude=paths)


def _measured(chosen: Selected, columns: Columns) -> Measure:
    own = columns[chosen.entry.name]
    better = {score: direction for score, direction in own.items() if direction is not None}
    return Measure(params=identity(chosen), scores=tuple(own), better=better)


def _versions() -> dict[str, str]:
    """Of gankit, Python, and the libraries that are here."""
    versions = {"gankit": __version__, "python": platform.python_version()}
    for name in LIBRARIES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions
