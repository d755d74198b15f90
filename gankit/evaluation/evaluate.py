"""Evaluate a run, a checkpoint or a folder of images."""

from __future__ import annotations

from pathlib import Path

from ..interfaces import Dataset
from ..runs.file_names import RECIPE
from ..runtime import Runtime
from .generated_images import checkpoint_of, open_generated_images, run_of
from .record import Evaluation
from .request import Request, names_with_logits, select_components, select_real
from .scorer import Report, Scorer, build, no_report


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
    registries = runtime.registries
    components = select_components(registries, request)
    device = request.find_device()
    kind = "a folder of images" if checkpoint_of(source) is None else "a checkpoint outside its run"
    run = run_of(source)
    run_recipe = None if run is None else run / RECIPE
    selected = select_real(registries, request, run_recipe, f"{source}: {kind}")
    dataset: Dataset = build(selected)
    images = open_generated_images(runtime, source, request, dataset.spec.channels, selected.entry.name, device)
    scorer = Scorer(components, request, device, names_with_logits(registries))
    dataset.prepare()
    scorer.read_real_images(selected.entry.name, selected.plain_params(), dataset, images.size, report)
    return scorer.score(images, report)
