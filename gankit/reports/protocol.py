"""The protocol of an evaluation, for people."""

from __future__ import annotations

from ..evaluation.record import Evaluation

HASH_LENGTH = 12  # characters of a hash that are shown


def settings_of(evaluation: Evaluation) -> list[tuple[str, str]]:
    """The images and settings that the scores come from."""
    source, real, image, features = evaluation.evaluated, evaluation.real, evaluation.image, evaluation.features
    evaluated = source.path if source.kind != "run" else f"{source.path}, {source.checkpoint}"
    evaluated += {None: "", True: ", averaged weights (EMA)", False: ", weights without EMA"}[source.ema]
    options = "".join(f", {name}={value}" for name, value in evaluation.options.items())
    split = f", split {real.split}" if real.split else ""
    channels = f"{image.channels} channel{'s' if image.channels > 1 else ''}"
    rows = [
        ("evaluated", evaluated),
        ("generated", f"{evaluation.samples:,} images, seed {evaluation.seed}{options}"),
        ("real", f"{real.count:,} images of {real.dataset}{split} (sha256 {real.fingerprint[:HASH_LENGTH]})"),
        ("size", f"{image.height} x {image.width}, {channels}"),
    ]
    if features is not None:
        rows.append(("features", f"{features.name} (sha256 {features.hash[:HASH_LENGTH]}); {features.resizer}"))
    return [*rows, ("computed", f"in {evaluation.precision} on {evaluation.device}")]
