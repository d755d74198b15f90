"""Evaluate a run while it trains."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch

from ..data.datasets import prepare_dataset
from ..errors import GankitError
from ..events import Notice
from ..interfaces import Run, no_report
from ..runs.file_names import EVALUATIONS
from .evaluated_batch import evaluate_batch
from .evaluation_log import append_evaluation, read_evaluations
from .extractor import Extractor
from .generated_images import GeneratedImages, evaluated_size, require_channels
from .metrics import EvaluatedBatch, ScoreDirections
from .partners import open_partners, real_partners
from .real_dataset import RealDataset, open_real_dataset
from .real_images import RealImages, unpaired_images
from .record import EvaluatedSource, Evaluation
from .request import Request, select_metrics
from .scorer import Scorer, build_extractor, metrics_of_pairs

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
        self._pairs = metrics_of_pairs(selected, request, device)
        real = _real_dataset(run, request)
        require_channels(run.directory, run.image.channels, real)
        cautions: Sequence[str] = ()
        if self._pairs:
            real, cautions = real_partners(real, request, self._pairs)
            request = request.for_pairs(len(real.dataset), self._pairs[0])
        elif request.samples is None:
            request = request.with_samples(len(real.dataset))
        self._scorer = Scorer(selected, request, device)
        share = _share(run, request, device, self._scorer.extractor, real, self._pairs)
        images = share.partners or unpaired_images(
            real, evaluated_size(share.generator, request), request.real_samples or request.count
        )
        self._scorer.read_real_images(
            images, warn=lambda text: run.log(Notice("features_not_cached", text)), cautions=cautions
        )
        self._written = {_key(record): _values(record) for record in read_evaluations(run.directory / EVALUATIONS)}
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
        return self._scorer.score(images, self._batches(images.batch_count))

    def record(self, evaluation: Evaluation) -> None:
        """Append to the run's ``evaluations.jsonl``, unless it has the same scores by the same protocol at this step.

        A resumed run repeats some steps and, unless it was changed, their scores. The last line of a step counts.

        Raises:
            GankitError: the file cannot be written.
        """
        if self._written.get(_key(evaluation)) != _values(evaluation):
            append_evaluation(self._run.directory / EVALUATIONS, evaluation)
            self._written[_key(evaluation)] = _values(evaluation)

    def close(self) -> None:
        """Free the memory of the networks."""
        self._run.per_rank.pop(self._key, None)

    def _batches(self, count: int) -> Iterator[EvaluatedBatch]:
        """All batches in order; each rank computes every ``world_size``-th one."""
        size = (1 if self._pairs else BATCHES_PER_ROUND) * self._run.world_size
        for start in range(0, count, size):
            numbers = range(start, min(start + size, count))
            parts = self._run.run_on_all_ranks(_batches_of_share, self._key, numbers)
            yield from (parts[index % len(parts)][index // len(parts)] for index in range(len(numbers)))


class RankShare(NamedTuple):
    """The values that one rank needs to compute its share of the batches.

    Attributes:
        generator: a copy of the run's.
        extractor: computes the features; None if all metrics compare pairs of images.
        request: how to evaluate.
        partners: the real items that images are generated from; None without metrics of pairs.
    """

    generator: Any
    extractor: Extractor | None
    request: Request
    partners: RealImages | None


def _real_dataset(run: Run, request: Request) -> RealDataset:
    """The request's dataset, or else the run's own; prepared."""
    if request.real is None and request.recipe is None:
        real = RealDataset(run.recipe.dataset.name, run.recipe.dataset.params, run.dataset)
    else:
        real = open_real_dataset(run.registries, request, None, str(run.directory))
    if real.dataset is not run.dataset:
        prepare_dataset(real.dataset, no_report)
    return real if request.recipe is not None else real._replace(fit=run.recipe.loader.fit)


def _share(
    run: Run,
    request: Request,
    device: torch.device,
    extractor: Extractor | None,
    real: RealDataset,
    pairs: Sequence[str],
) -> RankShare:
    generator = run.copy_generator(device, request.ema)
    size = evaluated_size(generator, request)
    partners = open_partners(generator, real, size, request.count, pairs[0]) if pairs else None
    return RankShare(generator, extractor, request, partners)


def _images(run: Run, share: RankShare) -> GeneratedImages:
    """The images to score. The generator has the weights of its last update."""
    directory, step, ema = run.directory, run.state.step, share.generator.ema
    info = EvaluatedSource(kind="training", path=str(directory), run=directory.resolve().name, step=step, ema=ema)
    return GeneratedImages(share.generator, info, share.request, share.partners)


def _prepare_share(run: Run, rank: int, world_size: int, key: str, request: Request) -> None:
    """On all ranks except for rank 0, which has its share already."""
    if rank > 0:
        device, selected = request.find_device(run.device), select_metrics(run.registries, request)
        extractor, pairs = build_extractor(selected, request, device), metrics_of_pairs(selected, request, device)
        real = _real_dataset(run, request)
        if pairs:
            real, _ = real_partners(real, request, pairs)
        run.per_rank[key] = _share(run, request, device, extractor, real, pairs)


def _batches_of_share(run: Run, rank: int, world_size: int, key: str, numbers: range) -> list[EvaluatedBatch]:
    """This rank's part of these batches. For the first ones, copy the current weights of the run."""
    share: RankShare = run.per_rank[key]
    if numbers.start == 0:
        share.generator.update()
    images = _images(run, share)
    return [evaluate_batch(images, number, share.extractor) for number in numbers[rank::world_size]]


def _key(evaluation: Evaluation) -> tuple[object, ...]:
    """The evaluated weights and the settings of the evaluation."""
    source = evaluation.evaluated
    return source.kind, source.step, source.ema, evaluation.seed, tuple(evaluation.protocol.items())


def _values(evaluation: Evaluation) -> tuple[str, ...]:
    """The scores, where NaN equals NaN."""
    return tuple(str(evaluation.scores[name]) for name in evaluation.protocol)
