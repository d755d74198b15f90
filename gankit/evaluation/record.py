"""The record of an evaluation: its scores, and everything that decides whether two scores are comparable."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, computed_field, model_validator

EXPLAIN_FINGERPRINT = ("real.dataset", "real.split", "real.count", "image.height", "image.width", "image.channels")

Better = Literal["lower", "higher"]
"""Which values of a score are better."""

MAX_SCORES, MAX_NAME = 64, 200  # of a record, and of characters
Name = Annotated[str, Field(max_length=MAX_NAME)]
"""Name of a score or a metric."""


class EvaluatedSource(BaseModel, frozen=True):
    """Where the evaluated images come from.

    Attributes:
        kind: the newest checkpoint of a run, a given checkpoint, a folder of images, or a run during training.
        path: as given by the user, with the commit of a repository of the Hub; during training, the run directory.
        run: name of the run directory that contains the checkpoint.
        checkpoint: its name; None during training.
        step: training step of the weights.
        ema: whether the weights are averaged; None for a folder.
        weights: SHA-256 of the generator's weight file; None during training.
    """

    kind: Literal["run", "checkpoint", "folder", "training"]
    path: str
    run: str | None = None
    checkpoint: str | None = None
    step: int | None = None
    ema: bool | None = None
    weights: str | None = None


class MetricInfo(BaseModel, frozen=True):
    """A metric.

    Attributes:
        params: its parameters.
        scores: the names of its scores.
        better: which values are better, of scores that rate quality.
        pairs: whether it compares each generated image with its real partner; it then does not use the features.
        hash: SHA-256 of the weights of its own network; None without one.
    """

    params: dict[str, Any]
    scores: tuple[str, ...]
    better: dict[str, Better] = {}
    pairs: bool = False
    hash: str | None = None


class ExtractorInfo(BaseModel, frozen=True):
    """A feature extractor. ``params`` contains no paths: ``hash`` covers the content of the files."""

    name: str
    params: dict[str, Any]
    hash: str
    resizer: str


class RealImagesInfo(BaseModel, frozen=True):
    """The real images.

    Attributes:
        dataset: its name.
        params: its parameters.
        split: its split; ``held out`` for the held-out items of a dataset that gives them no name.
        count: number of images.
        fingerprint: SHA-256 of their pixels.
        inputs: SHA-256 of their fields and labels, if the images were generated from these; None otherwise.
    """

    dataset: str
    params: dict[str, Any]
    split: str
    count: int
    fingerprint: str
    inputs: str | None = None


class ImageShape(BaseModel, frozen=True):
    """The shape of real and generated images from which features are computed; height and width in pixels."""

    height: int
    width: int
    channels: int


class Evaluation(BaseModel, frozen=True):
    """Scores and how they were computed. JSON: ``model_dump(mode="json")`` and ``model_validate``.

    Attributes:
        at: date and time, ISO 8601.
        evaluated: where the evaluated images come from.
        scores: by name, such as ``fd_effnet_lite0``.
        metrics: by name.
        features: the extractor; None if all metrics compare pairs of images.
        samples: number of generated images.
        real: the real images.
        image: the shape of all images.
        seed: of the generated images, or of the choice among the images of a folder.
        options: sampling options that differ from the generator's defaults.
        precision: of generating images and computing features.
        device: of generating images and computing features.
        versions: of gankit, Python and the libraries that are used.
        cautions: sentences about scores that are less reliable, for example because of too few images.
        details: lines about single images, of metrics that have some.
    """

    at: str
    evaluated: EvaluatedSource
    scores: Annotated[dict[Name, float], Field(max_length=MAX_SCORES)]
    metrics: Annotated[dict[Name, MetricInfo], Field(max_length=MAX_SCORES)]
    features: ExtractorInfo | None = None
    samples: int
    real: RealImagesInfo
    image: ImageShape
    seed: int
    options: dict[str, Any] = {}
    precision: str
    device: str
    versions: dict[str, str]
    cautions: tuple[str, ...] = ()
    details: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _check_scores(self) -> Evaluation:
        known = {name for metric in self.metrics.values() for name in metric.scores}
        if unknown := [name for name in self.scores if name not in known]:
            raise ValueError(f"score {unknown[0]!r} belongs to none of the metrics")
        if self.features is None and not all(metric.pairs for metric in self.metrics.values()):
            raise ValueError("the features are missing")
        return self

    @computed_field  # type: ignore[prop-decorator]  # recommended by pydantic's documentation
    @property
    def protocol(self) -> dict[str, str]:
        """A key for each score. Scores with the same name and the same key are comparable."""
        return {score: _digest(self.protocol_of(score)) for score in self.scores}

    def protocol_of(self, score: str) -> dict[str, Any]:
        """Everything that must be equal for another score to be comparable with this one, by dotted names.

        It leaves out the source (with its step and EMA), the seed, the device, the versions, and values that are None.
        """
        metric, info = next((name, m) for name, m in self.metrics.items() if score in m.scores)
        features = None if info.pairs else self.features
        fields = {
            "score": score,
            "metric": metric,
            **{f"{metric}.{key}": value for key, value in info.params.items()},
            f"{metric}.hash": info.hash,
            **({} if features is None else _protocol_of_features(features)),
            **{f"option.{key}": value for key, value in self.options.items()},
            "samples": self.samples,
            "real.count": self.real.count,
            "real.fingerprint": self.real.fingerprint,
            "real.inputs": self.real.inputs,
            **{f"image.{key}": value for key, value in self.image},
            "precision": self.precision,
        }
        return {key: value for key, value in fields.items() if value is not None}


def differences(score: str, one: Evaluation, other: Evaluation) -> dict[str, tuple[Any, Any]]:
    """The fields in which the protocols of a score differ, with both values; empty if the scores are comparable.

    If the real images differ, the differences in dataset, parameters and split are listed as well.
    """
    found = _changes(one.protocol_of(score), other.protocol_of(score))
    if "real.fingerprint" in found:
        before, after = one.real, other.real
        found |= _changes(*({"real.dataset": real.dataset, "real.split": real.split} for real in (before, after)))
        if before.dataset == after.dataset:
            params = _changes(before.params, after.params)
            found |= {f"real.dataset.{key}": pair for key, pair in params.items() if key != "split"}
        if not found.keys().isdisjoint(EXPLAIN_FINGERPRINT):
            del found["real.fingerprint"]
            if before.inputs is not None and after.inputs is not None:
                found.pop("real.inputs", None)
    return found


def _protocol_of_features(features: ExtractorInfo) -> dict[str, Any]:
    return {
        "features": features.name,
        **{f"{features.name}.{key}": value for key, value in features.params.items()},
        "features.hash": features.hash,
        "features.resizer": features.resizer,
    }


def _changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """The keys whose values differ, with both values; None for a missing one."""
    pairs = {key: (before.get(key), after.get(key)) for key in {**before, **after}}
    return {key: pair for key, pair in pairs.items() if pair[0] != pair[1]}


def _digest(protocol: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(protocol, sort_keys=True, default=str).encode()).hexdigest()[:12]
