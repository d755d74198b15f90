"""Evaluate a run while it trains."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from torch import Tensor

from ..data.datasets import prepare_dataset
from ..errors import GankitError
from ..events import Notice
from ..interfaces import Run, no_report
from ..runs.file_names import EVALUATIONS
from .evaluation_log import append_evaluation, read_evaluations
from .extractor import Extractor
from .generated_images import GeneratedImages, require_channels
from .metrics import ScoreDirections
from .record import EvaluatedSource, Evaluation
from .request import RealDataset, Request, open_real_dataset, select_metrics
from .scorer import Scorer, build_extractor

BATCHES_PER_ROUND = 8  # that each rank computes before rank 0 gathers them


class Evaluator:
    """Scores the current generator of a run, exactly as ``gankit eval`` scores a checkpoint of the same step.

    The constructor does the expensive work once: it builds the networks and reads the real images. Evaluating does not
    change the run: the weights of G are copied into a separate network, and random generators are separate as well.
    With several processes, each computes its share of the images and features; the scores are those of one process.

    Args:
        run: the argument of a callback.
        request: how to evaluate. The real images are the run's own unless the request names others, and
            ``device: auto`` is the run's device.

    Raises:
        GankitError: the request names something that does not exist, or the real images do not fit.
    """

    def __init__(self, run: Run, request: Request) -> None:
        self._run, self._key = run, repr(request)
        selected = select_metrics(run.registries, request)
        device = request.find_device(run.device)
        if request.real is None and request.recipe is None:
            real = RealDataset(run.recipe.dataset.name, run.recipe.dataset.params, run.dataset)
        else:
            real = open_real_dataset(run.registries, request, None, str(run.directory))
        real = real._replace(fit=run.recipe.loader.fit)
        require_channels(run.directory, run.image.channels, real)
        if real.dataset is not run.dataset:
            prepare_dataset(real.dataset, no_report)
        if request.samples is None:
            request = request.with_samples(len(real.dataset))
        self._scorer = Scorer(selected, request, device)
        share = RankShare(run.copy_generator(device, request.ema), self._scorer.extractor, request)
        size = _images(run, share).size
        self._scorer.read_real_images(real, size, warn=lambda text: run.log(Notice("features_not_cached", text)))
        self._written = {_identity(record) for record in read_evaluations(run.directory / EVALUATIONS)}
        run.per_rank[self._key] = share
        run.run_on_all_ranks(_prepare_share, self._key, request)

    def rehearse(self) -> tuple[ScoreDirections, Sequence[str]]:
        """The names of the scores of each metric and which values of each are better; and cautions about the scores.

        Every metric is computed once for this, with real images in place of generated ones.

        Raises:
            GankitError: a metric fails.
        """
        return self._scorer.rehearse()

    def evaluate(self) -> Evaluation:
        """Score the current generator. Raises: GankitError: a metric fails, or the evaluator is closed."""
        if (share := self._run.per_rank.get(self._key)) is None:
            raise GankitError("this evaluator is closed")
        images = _images(self._run, share)
        return self._scorer.score(images, self._features(len(images)))

    def record(self, evaluation: Evaluation) -> None:
        """Append to the run's ``evaluations.jsonl``, unless it has the same scores by the same protocol at this step.

        A resumed run repeats some steps and, unless it was changed, their scores. The last line of a step counts.

        Raises:
            GankitError: the file cannot be written.
        """
        if (identity := _identity(evaluation)) not in self._written:
            append_evaluation(self._run.directory / EVALUATIONS, evaluation)
            self._written.add(identity)

    def close(self) -> None:
        """Free the memory of the networks."""
        self._run.per_rank.pop(self._key, None)

    def _features(self, batches: int) -> Iterator[Tensor]:
        """Features [n f] of all batches in order; each rank computes every ``world_size``-th batch."""
        size = BATCHES_PER_ROUND * self._run.world_size
        for start in range(0, batches, size):
            numbers = range(start, min(start + size, batches))
            parts = self._run.run_on_all_ranks(_features_of_share, self._key, numbers)
            yield from (parts[index % len(parts)][index // len(parts)] for index in range(len(numbers)))


class RankShare(NamedTuple):
    """What one rank needs to compute its share of the images: a copy of the generator, and an extractor."""

    generator: Any
    extractor: Extractor
    request: Request


def _images(run: Run, share: RankShare) -> GeneratedImages:
    """The images to score. The generator has the weights of its last update."""
    directory, step, ema = run.directory, run.state.step, share.generator.ema
    info = EvaluatedSource(kind="training", path=str(directory), run=directory.resolve().name, step=step, ema=ema)
    return GeneratedImages(share.generator, info, share.request)


def _prepare_share(run: Run, rank: int, world_size: int, key: str, request: Request) -> None:
    """On all ranks except for rank 0, which has its share already."""
    if rank > 0:
        device = request.find_device(run.device)
        extractor = build_extractor(select_metrics(run.registries, request).features, request, device)
        run.per_rank[key] = RankShare(run.copy_generator(device, request.ema), extractor, request)


def _features_of_share(run: Run, rank: int, world_size: int, key: str, numbers: range) -> list[Tensor]:
    """Features [n f] of this rank's part of these batches. For the first ones, copy the current weights of the run."""
    share: RankShare = run.per_rank[key]
    if numbers.start == 0:
        share.generator.update()
    images = _images(run, share)
    return [share.extractor(images.batch(number)) for number in numbers[rank::world_size]]


def _identity(evaluation: Evaluation) -> tuple[object, ...]:
    """What two records of the same evaluation of a training run have in common."""
    source, protocol = evaluation.evaluated, evaluation.protocol
    scores = tuple((name, key, str(evaluation.scores[name])) for name, key in protocol.items())
    return source.kind, source.step, source.ema, evaluation.seed, scores
