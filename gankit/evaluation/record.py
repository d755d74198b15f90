"""A score is a record: what was measured, with what, on what, and how. Two scores compare where these agree."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, computed_field, model_validator

EXPLAIN_FINGERPRINT = ("real.dataset", "real.split", "real.count", "image.height", "image.width", "image.channels")

Better = Literal["lower", "higher"]
"""Which values of a score are the better ones."""

Protocol = Mapping[str, Any]
"""Everything that two comparable scores have in common, by dotted names; what is None is left out."""


Name = Annotated[str, Field(max_length=200)]
"""Of a score or a metric."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True)


class Subject(_Part):
    """What was evaluated.

    Attributes:
        kind: a run's newest checkpoint, a checkpoint that was named, a folder of images, or a run while it trained.
        path: as it was given; the run directory of a run that trained.
        run: the name of the run directory that the checkpoint lies in.
        checkpoint: its name; None while training.
        step: at which the checkpoint was written, or the run stood.
        ema: whether the weights are the average; None for a folder.
        weights: SHA-256 of the generator's weight file; None while training.
    """

    kind: Literal["run", "checkpoint", "folder", "training"]
    path: str
    run: str | None = None
    checkpoint: str | None = None
    step: int | None = None
    ema: bool | None = None
    weights: str | None = None


class Measure(_Part):
    """A metric: its parameters, its scores' names, and which values of those are better that tell good from bad."""

    params: dict[str, Any]
    scores: tuple[str, ...]
    better: dict[str, Better] = {}


class Extraction(_Part):
    """A feature extractor. ``params`` has no paths: what a file holds is in ``hash``, where it lies is no matter."""

    name: str
    params: dict[str, Any]
    hash: str
    resizer: str


class Real(_Part):
    """The real images: a data set's name, its parameters and split, how many, and the SHA-256 of their pixels."""

    dataset: str
    params: dict[str, Any]
    split: str
    count: int
    fingerprint: str


class Image(_Part):
    """What real and generated images were brought to before features were computed."""

    height: int
    width: int
    channels: int


class Evaluation(_Part):
    """Scores, and all that one must know to trust them. JSON: ``model_dump(mode="json")``, ``model_validate``.

    Attributes:
        at: when, ISO 8601.
        evaluated: what.
        scores: by column, such as ``fd_effnet_lite0``.
        metrics: by name.
        samples: generated images.
        seed: of the generated images, or of the choice among a folder's.
        options: sampling options of the generator, those that are not as it has them by itself.
        precision: in which images and features were computed.
        device: the same.
        versions: of gankit, torch and the libraries that metrics use.
    """

    at: str
    evaluated: Subject
    scores: Annotated[dict[Name, float], Field(max_length=64)]
    metrics: Annotated[dict[Name, Measure], Field(max_length=64)]
    features: Extraction
    samples: int
    real: Real
    image: Image
    seed: int
    options: dict[str, Any] = {}
    precision: str
    device: str
    versions: dict[str, str]

    @model_validator(mode="after")
    def _every_score_is_a_metrics(self) -> Evaluation:
        known = {name for measure in self.metrics.values() for name in measure.scores}
        if unknown := [name for name in self.scores if name not in known]:
            raise ValueError(f"{unknown[0]!r} is a score of none of its metrics")
        return self

    @computed_field  # type: ignore[prop-decorator]  # as pydantic's manual has it
    @property
    def protocol(self) -> dict[str, str]:
        """A key for each score: scores of one name and one key can be compared."""
        return {score: _digest(self.protocol_of(score)) for score in self.scores}

    def protocol_of(self, score: str) -> Protocol:
        """What another score must share with this one to be comparable. Raises: KeyError.

        Not part of it: what was evaluated (so neither the step nor EMA), the seed, the device, and the versions.
        """
        metric, measure = next((name, m) for name, m in self.metrics.items() if score in m.scores)
        fields = {
            "score": score,
            "metric": metric,
            **{f"{metric}.{key}": value for key, value in measure.params.items()},
            "features": self.features.name,
            **{f"{self.features.name}.{key}": value for key, value in self.features.params.items()},
            "features.hash": self.features.hash,
            "features.resizer": self.features.resizer,
            **{f"option.{key}": value for key, value in self.options.items()},
            "samples": self.samples,
            "real.count": self.real.count,
            "real.fingerprint": self.real.fingerprint,
            "image.height": self.image.height,
            "image.width": self.image.width,
            "image.channels": self.image.channels,
            "precision": self.precision,
        }
        return {key: value for key, value in fields.items() if value is not None}


def differences(score: str, one: Evaluation, other: Evaluation) -> dict[str, tuple[Any, Any]]:
    """The fields in which the protocols of a score differ, with both values; empty where the scores compare.

    Where other real images are the reason, their data set, its parameters and split are named if these differ.
    """
    first, second = one.protocol_of(score), other.protocol_of(score)
    names = [*first, *(name for name in second if name not in first)]
    found = {name: (first.get(name), second.get(name)) for name in names if first.get(name) != second.get(name)}
    if "real.fingerprint" in found:
        for name in ("dataset", "split"):
            pair = getattr(one.real, name), getattr(other.real, name)
            if pair[0] != pair[1]:
                found[f"real.{name}"] = pair
        if one.real.dataset == other.real.dataset:
            before, after = one.real.params, other.real.params
            found |= {
                f"real.dataset.{key}": (before.get(key), after.get(key))
                for key in {**before, **after}
                if key != "split" and before.get(key) != after.get(key)
            }
        if any(name in found for name in EXPLAIN_FINGERPRINT):
            del found["real.fingerprint"]
    return found


def column(score: str, extractor: str, established: Mapping[str, str]) -> str:
    """What a score is called: as literature knows it with this extractor, or by both names."""
    return established.get(score, f"{score}_{extractor}")


def _digest(protocol: Protocol) -> str:
    return hashlib.sha256(json.dumps(protocol, sort_keys=True, default=str).encode()).hexdigest()[:12]
