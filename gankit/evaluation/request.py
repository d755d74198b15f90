"""How to evaluate, and the registered components that the request names."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import torch

from ..assembly.selection import select
from ..device.find_device import find_device
from ..errors import GankitError, Problem, RecipeError
from ..interfaces import DataSpec
from ..messages import did_you_mean
from ..recipe.located_document import Document
from ..recipe.overrides import apply_overrides
from ..registered_component import Selected
from ..registry import Registries
from .extractor import call_component
from .metrics import check_counts
from .pairs import compares_pairs, require_partners

DEFAULT_SAMPLES = 10_000  # the most that are generated unless a request says otherwise


@dataclass(frozen=True)
class Request:
    """How to evaluate. Scores of different runs are comparable if the request names the real images too.

    Attributes:
        metrics: names.
        features: name of the extractor.
        params: of these components: a mapping such as ``{"kid": {"subset_size": 500}}``, or a list of overrides such
            as ``kid.subset_size=500``.
        samples: number of generated images; None for as many as there are real images, at most 10,000. For a folder,
            None takes all of its images, at most 10,000. With metrics of pairs, None takes all real items, and there
            are never more images than these.
        real_samples: maximum number of real images; None for the number of generated ones. With metrics of pairs, it
            must be None.
        seed: of the generated images, or of the choice among the images of a folder; 0 to 2^63 - 1.
        real: dataset of the real images, as a mapping or as YAML; None for that of the run, of which metrics of pairs
            take the held-out items if there are some.
        recipe: a recipe with the dataset of the real images, for images that do not belong to a run.
        size: resize all images to this side, or to this (height, width), in pixels; None keeps the size of the
            generated images.
        device: ``auto``, ``cpu``, ``mps``, ``cuda`` or ``cuda:N``.
        ema: use the averaged weights if there are any.
        options: sampling options of the generator, such as ``{"truncation": 0.7}``.

    Raises:
        GankitError: a number is out of range.
    """

    metrics: Sequence[str]
    features: str
    params: Sequence[str] | Mapping[str, Mapping[str, Any]] = ()
    samples: int | None = None
    real_samples: int | None = None
    seed: int = 0
    real: str | Mapping[str, Any] | None = None
    recipe: Path | None = None
    size: int | tuple[int, int] | None = None
    device: str = "auto"
    ema: bool = True
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if isinstance(self.metrics, str):
            raise GankitError(f"metrics should be a list of names; got {self.metrics!r}")
        side = self.height_and_width and min(self.height_and_width)
        for name, value in {"samples": self.samples, "real_samples": self.real_samples, "size": side}.items():
            if value is not None and not 1 <= value < 2**31:
                raise GankitError(f"{name} must be from 1 to 2^31 - 1; got {value}")
        if not 0 <= self.seed < 2**63:
            raise GankitError(f"seed must be from 0 to 2^63 - 1; got {self.seed}")

    def with_samples(self, available: int) -> Request:
        """The request with a number of images, chosen from those that are available if it gives none."""
        return self if self.samples is not None else replace(self, samples=max(1, min(DEFAULT_SAMPLES, available)))

    def for_pairs(self, available: int | None, metric: str) -> Request:
        """The request with one generated image for each real item, or for ``samples`` of them.

        Args:
            available: number of real items; None if it is not known yet.
            metric: a metric of pairs, for the error message.

        Raises:
            GankitError: it asks for another number of real images.
        """
        if self.real_samples is not None:
            raise GankitError(
                f"metric '{metric}' compares each generated image with its real partner, but real_samples is "
                f"{self.real_samples}; leave it out, and limit the number of both with samples"
            )
        if available is None:
            return self
        return replace(self, samples=max(1, min(available if self.samples is None else self.samples, available)))

    @property
    def count(self) -> int:
        """The number of generated images. Raises: GankitError: it is not chosen yet."""
        if self.samples is None:
            raise GankitError("samples is not chosen yet")
        return self.samples

    def require_enough(
        self,
        registries: Registries,
        available: int | None,
        data: DataSpec | None = None,
        fields: Collection[str] | None = None,
    ) -> None:
        """Check the metrics before any image is read.

        Args:
            registries: with the metrics.
            available: number of real images of the dataset; None if it is not known yet.
            data: the fields of the data; None if they are not known yet.
            fields: the names of those that the generator's images are made from; None if they are not known yet.

        Raises:
            GankitError: a metric is unknown or not installed, needs more images, or compares pairs of images where
                images have no real partners.
        """
        metrics = {chosen.entry.name: build(chosen) for chosen in select_metrics(registries, self).metrics}
        if pairs := [name for name, metric in metrics.items() if compares_pairs(metric)]:
            if fields is not None:
                require_partners(pairs[0], fields, () if data is None else data.independent)
            # the number of held-out items is not known; this is the largest number of images
            samples = self.for_pairs(None, pairs[0]).with_samples(DEFAULT_SAMPLES).count
            check_counts(metrics, samples, samples)
            return
        samples = self.with_samples(DEFAULT_SAMPLES if available is None else available).count
        real = self.real_samples or samples
        own = self.real is None and self.recipe is None
        check_counts(metrics, min(real, available) if available is not None and own else real, samples)

    @property
    def height_and_width(self) -> tuple[int, int] | None:
        """The size to resize to; None to keep the size of the generated images."""
        return (self.size, self.size) if isinstance(self.size, int) else self.size

    def find_device(self, auto: torch.device | None = None) -> torch.device:
        """The device that computes; ``auto`` replaces the usual choice. Raises: GankitError: it does not exist."""
        return auto if auto is not None and self.device == "auto" else find_device(self.device, "--device")


class SelectedMetrics(NamedTuple):
    """The registered metrics and feature extractor that a request names.

    Attributes:
        metrics: in the order of the request.
        features: the extractor.
        with_logits: names of all registered extractors with a method ``logits``, for an error message.
    """

    metrics: Sequence[Selected]
    features: Selected
    with_logits: Sequence[str]


def select_metrics(registries: Registries, request: Request) -> SelectedMetrics:
    """The metrics and the extractor. Raises: RecipeError: lists all faults in their names and parameters."""
    document = document_of(request.params)
    names = list(dict.fromkeys(request.metrics))
    problems = list(document.problems)
    if not names:
        known = ", ".join(entry.name for entry in registries.metrics)
        problems.append(Problem("", "metrics", f"at least one metric is required; known: {known}"))
    for key in document.data:
        if key not in (*names, request.features):
            hint = did_you_mean(str(key), (*names, request.features))
            problems.append(document.problem((key,), f"not a metric or extractor of this evaluation{hint}"))
    chosen = []
    for registry, name in (*((registries.metrics, name) for name in names), (registries.features, request.features)):
        if name not in registry:
            problems.append(Problem("", registry.kind, registry.unknown(name)))
            continue
        selected, faults = select(registries, registry.kind, name, document.data.get(name, {}), document, (name,))
        problems += faults
        if selected is not None:
            chosen.append(selected)
    if problems:
        raise RecipeError(problems)
    with_logits = [entry.name for entry in registries.features if hasattr(entry.factory, "logits")]
    return SelectedMetrics(chosen[:-1], chosen[-1], with_logits)


def build(selected: Selected) -> Any:
    """The component. Raises: GankitError: its constructor refuses the parameters."""
    return call_component(f"{selected.entry.kind}: '{selected.entry.name}'", selected.build)


def document_of(given: Mapping[str, Any] | Iterable[str]) -> Document:
    """Parameters as a document: a mapping, or ``KEY=VALUE`` overrides."""
    if isinstance(given, Mapping):
        return Document(dict(given))
    document = Document({})
    apply_overrides(document, given)
    return document
