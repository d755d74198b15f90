"""Evaluate a run, a checkpoint or a folder of images."""

from __future__ import annotations

from pathlib import Path

from ..data.datasets import describe_dataset, prepare_dataset
from ..data.files.image_files import Folder
from ..errors import GankitError
from ..interfaces import Report, no_report
from ..runs.resolve_source import resolve_source
from ..runtime import Runtime
from .evaluated_batch import evaluated_batches
from .generated_images import locate, open_generated_images
from .partners import real_partners
from .real_dataset import cautions_of_other_data, open_real_dataset
from .real_images import unpaired_images
from .record import Evaluation
from .request import Request, select_metrics
from .scorer import Scorer, metrics_of_pairs


def evaluate(
    source: str | Path, request: Request, runtime: Runtime | None = None, report: Report = no_report
) -> Evaluation:
    """Compare generated images with real ones. The same request gives the same scores.

    Args:
        source: a run directory (its newest checkpoint), a checkpoint, ``hub:owner/name``, ``builtin:NAME``, or a folder
            of images.
        request: the metrics, the features and the number of images.
        runtime: with the components; None creates one with the installed plugins.
        report: called with the progress.

    Raises:
        GankitError: the request names something that does not exist, or the images do not fit it.
    """
    runtime = runtime or Runtime()
    selected = select_metrics(runtime.registries, request)
    device = request.find_device()
    resolved = resolve_source(source)
    checkpoint, run = locate(resolved.path)  # raises if there is nothing to evaluate
    kind = "a folder of images" if checkpoint is None else "a checkpoint outside its run"
    pairs = metrics_of_pairs(selected, request, device)
    if pairs and checkpoint is None:
        raise GankitError(
            f"{source}: metric '{pairs[0]}' compares each generated image with its real partner, but the images of a "
            "folder have none; evaluate a run or a checkpoint, or choose metrics that compare sets of images"
        )
    real = open_real_dataset(runtime.registries, request, run, f"{source}: {kind}")
    prepare_dataset(real.dataset, report)
    cautions: list[str] = []
    if checkpoint is not None and request.real is None and request.recipe is None:
        cautions += cautions_of_other_data(real, checkpoint)
    if pairs:
        real, found_cautions = real_partners(real, request, pairs)
        cautions += found_cautions
        request = request.for_pairs(len(real.dataset), pairs[0])
    elif checkpoint is None:
        request = request.with_samples(len(Folder(resolved.path).names()))
    elif request.samples is None:
        request = request.with_samples(len(real.dataset))
    images = open_generated_images(runtime, resolved, request, real, device, pairs[0] if pairs else None, report)
    scorer = Scorer(selected, request, device)
    count = request.real_samples or request.count
    scorer.read_real_images(
        images.partners or unpaired_images(real, images.size, count, report), report, cautions=cautions
    )
    evaluation = scorer.score(images, evaluated_batches(images, scorer.extractor), report)
    found = describe_dataset(real.dataset)
    return (
        evaluation
        if found is None
        else evaluation.model_copy(update={"cautions": (*found.warnings, *evaluation.cautions)})
    )
