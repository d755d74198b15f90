"""Evaluate a run, a checkpoint or a folder of images."""

from __future__ import annotations

from pathlib import Path

from ..data.datasets import describe_dataset, prepare_dataset
from ..data.image_files import Folder
from ..interfaces import Report, no_report
from ..runtime import Runtime
from .generated_images import locate, open_generated_images
from .record import Evaluation
from .request import Request, open_real_dataset, select_metrics
from .scorer import Scorer


def evaluate(
    source: str | Path, request: Request, runtime: Runtime | None = None, report: Report = no_report
) -> Evaluation:
    """Compare generated images with real ones. The same request gives the same scores.

    Args:
        source: a run directory (its newest checkpoint), a checkpoint, or a folder of images.
        request: the metrics, the features and the number of images.
        runtime: with the components; None creates one with the installed plugins.
        report: called with the progress.

    Raises:
        GankitError: the request names something that does not exist, or the images do not fit it.
    """
    runtime, source = runtime or Runtime(), Path(source)
    selected = select_metrics(runtime.registries, request)
    device = request.find_device()
    checkpoint, run = locate(source)  # raises if there is nothing to evaluate
    kind = "a folder of images" if checkpoint is None else "a checkpoint outside its run"
    real = open_real_dataset(runtime.registries, request, run, f"{source}: {kind}")
    prepare_dataset(real.dataset, report)
    if checkpoint is None:
        request = request.with_samples(len(Folder(source).names()))
    elif request.samples is None:
        request = request.with_samples(len(real.dataset))
    images = open_generated_images(runtime, source, request, real, device)
    scorer = Scorer(selected, request, device)
    scorer.read_real_images(real, images.size, report)
    evaluation = scorer.score(images, map(scorer.extractor, images.batches()), report)
    found = describe_dataset(real.dataset)
    return (
        evaluation
        if found is None
        else evaluation.model_copy(update={"cautions": (*found.warnings, *evaluation.cautions)})
    )
