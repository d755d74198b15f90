"""An evaluation from beginning to end."""

from __future__ import annotations

from pathlib import Path

from .record import Evaluation
from ..interfaces import Dataset
from ..runtime import Runtime
from ..runs.run_directory import RECIPE
from .scorer import Scorer, Report, build, silent
from .request import Request, choose_real, choose_scorers, with_logits
from .generated_images import checkpoint_of, open_subject, run_of


def evaluate(
    source: str | Path, request: Request, runtime: Runtime | None = None, report: Report = silent
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
    registries = runtime.registries
    scorers = choose_scorers(registries, request)
    device = request.find_device()
    kind = "a folder of images" if checkpoint_of(source) is None else "a checkpoint outside of its run"
    run = run_of(source)
    own_recipe = None if run is None else run / RECIPE
    chosen = choose_real(registries, request, own_recipe, f"{source}: {kind}")
    dataset: Dataset = build(chosen)
    subject = open_subject(runtime, source, request, dataset.spec.channels, chosen.entry.name, device)
    judge = Scorer(scorers, request, device, with_logits(registries))
    dataset.prepare()
    judge.study(chosen, dataset, subject.size, report)
    return judge.score(subject, report)
