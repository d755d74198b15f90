"""An evaluation from beginning to end."""

from __future__ import annotations

import platform
from collections.abc import Callable
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from .. import __version__
from ..check import Chosen
from ..errors import GankitError
from ..evaluation.cache import features_folder, features_of
from ..evaluation.extractor import Extractor
from ..evaluation.measure import measure, require_values
from ..evaluation.real import RealImages
from ..evaluation.record import Evaluation, Image, Measure
from ..interfaces import Dataset, ImageSpec, Metric
from ..runtime import Runtime
from ..training.directory import RECIPE
from .request import PRECISION, Request, choose_real, choose_scorers
from .subject import checkpoint_of, open_subject, run_of

LIBRARIES = ("torch", "torchvision", "torchmetrics", "torch-fidelity", "timm", "numpy", "pillow")

Report = Callable[[str, int, int], None]
"""Is told what is being computed, how many images are done, and how many there are."""


def evaluate(
    source: str | Path,
    request: Request,
    runtime: Runtime | None = None,
    report: Report = lambda what, done, total: None,
) -> Evaluation:
    """Compare generated images with real ones. The same request gives the same scores.

    Args:
        source: a run directory (its newest checkpoint), a checkpoint, or a folder of images.
        request: by which metrics and features, on how many images.
        runtime: with the components; None makes one of the installed plugins.
        report: is told of the progress.

    Raises:
        GankitError: the request names what is not there, or the images do not fit it; one sentence says what to do.
    """
    runtime, source = runtime or Runtime(), Path(source)
    chosen_metrics, chosen_features = choose_scorers(runtime.registries, request)
    device = request.find_device()
    kind = "a folder of images" if checkpoint_of(source) is None else "a checkpoint outside of its run"
    run = run_of(source)
    own_recipe = None if run is None else run / RECIPE
    chosen_real = choose_real(runtime.registries, request, own_recipe, f"{source}: {kind}")
    dataset: Dataset = _build(chosen_real)
    subject = open_subject(runtime, source, request, dataset.spec.channels, chosen_real.entry.name, device)
    metrics: dict[str, Metric] = {chosen.entry.name: _build(chosen) for chosen in chosen_metrics}
    extractor = Extractor(chosen_features.entry.name, _identity(chosen_features), _build(chosen_features), device)
    with_logits = [entry.name for entry in runtime.registries.features if hasattr(entry.factory, "logits")]
    require_values(extractor, metrics, with_logits)
    dataset.prepare()
    image = ImageSpec(*subject.size, dataset.spec.channels)
    about_real = chosen_real.params.model_dump(mode="json")
    wanted = request.real_samples or request.samples
    real = RealImages(chosen_real.entry.name, about_real, dataset, image, wanted)
    known = features_of(
        real, extractor, features_folder(), lambda done: report("features of real images", done, real.count)
    )
    scores, columns = measure(
        subject.batches(),
        known,
        extractor,
        metrics,
        lambda done: report("features of generated images", done, request.samples),
    )
    return Evaluation(
        at=datetime.now(UTC).isoformat(timespec="seconds"),
        evaluated=subject.about,
        scores=scores,
        metrics={c.entry.name: Measure(params=_identity(c), scores=columns[c.entry.name]) for c in chosen_metrics},
        features=extractor.about,
        samples=request.samples,
        real=real.about,
        image=Image(height=image.height, width=image.width, channels=image.channels),
        seed=request.seed,
        precision=PRECISION,
        device=str(device),
        versions=_versions(),
    )


def _build(chosen: Chosen) -> Any:
    try:
        return chosen.build()
    except ValueError as error:
        raise GankitError(f"{chosen.entry.kind}: '{chosen.entry.name}': {error}") from error


def _identity(chosen: Chosen) -> dict[str, Any]:
    """The parameters as plain data, but for paths: of a file its content matters, and the extractor's hash has that."""
    paths = {name for name in type(chosen.params).model_fields if isinstance(getattr(chosen.params, name), Path)}
    return chosen.params.model_dump(mode="json", exclude=paths)


def _versions() -> dict[str, str]:
    """Of gankit, Python, and the libraries that are here."""
    versions = {"gankit": __version__, "python": platform.python_version()}
    for name in LIBRARIES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions
