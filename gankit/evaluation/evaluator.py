"""Evaluate a run while it trains."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from ..errors import GankitError
from ..interfaces import Dataset, Run
from ..runs.file_names import EVALUATIONS
from .evaluation_log import append_evaluation, read_evaluations
from .extractor import Extractor
from .generated_images import GeneratedImages, require_channels
from .metrics import ScoreDirections
from .record import EvaluatedSource, Evaluation
from .request import Request, names_with_logits, select_components, select_real
from .scorer import Scorer, build, build_extractor

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
        self._run, self._request, self._key = run, request, repr(request)
        registries = run.registries
        components = select_components(registries, request)
        device = _device(run, request)
        generator = run.copy_generator(device, request.ema)
        dataset: Dataset
        if request.real is None and request.recipe is None:
            dataset, name, params = run.dataset, run.recipe.dataset.name, run.recipe.dataset.params
            prepared = True
        else:
            selected = select_real(registries, request, None, str(run.directory))
            dataset, name, params = build(selected), selected.entry.name, selected.plain_params()
            prepared = False
        require_channels(str(run.directory), run.image.channels, dataset.spec.channels, name)
        self._scorer = Scorer(components, request, device, names_with_logits(registries))
        share = RankShare(run, generator, self._scorer.extractor, request)
        if not prepared:
            dataset.prepare()
        self._scorer.read_real_images(name, params, dataset, share.images().size)
        self._written = {_identity(record) for record in read_evaluations(run.directory / EVALUATIONS)}
        run.per_rank[self._key] = share
        run.run_on_all_ranks(_prepare_share, self._key, request)

    def rehearse(self) -> ScoreDirections:
        """The names of the scores of each metric, and which values of each are better.

        Every metric is computed once for this, with real images in place of generated ones.

        Raises:
            GankitError: a metric fails.
        """
        return self._scorer.rehearse()

    def evaluate(self) -> Evaluation:
        """The scores now. Raises: GankitError: a metric fails, or the evaluator is closed."""
        share = self._run.per_rank.get(self._key)
        if share is None:
            raise GankitError("this evaluator is closed")
        share.update()
        images: GeneratedImages = share.images()
        return self._scorer.score(images, features=self._features(len(images)))

    def record(self, evaluation: Evaluation) -> None:
        """Append to the run's ``evaluations.jsonl``, unless it has the same scores by the same protocol at this step.

        A resumed run repeats some steps and, unless it was changed, their scores. The last line of a step counts.

        Raises:
            GankitError: the file cannot be written.
        """
        identity = _identity(evaluation)
        if identity not in self._written:
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
            parts = self._run.run_on_all_ranks(_features_of_share, self._key, numbers, start == 0)
            for index in range(len(numbers)):
                yield parts[index % len(parts)][index // len(parts)]


class RankShare:
    """What one rank needs to compute its share of the images: a copy of the generator, and an extractor."""

    def __init__(self, run: Run, generator: Any, extractor: Extractor, request: Request) -> None:
        self._run, self._generator, self._extractor, self._request = run, generator, extractor, request

    def update(self) -> None:
        """Copy the current weights of the run."""
        self._generator.update()

    def images(self) -> GeneratedImages:
        """The images to score."""
        directory, step = self._run.directory, self._run.state.step
        info = EvaluatedSource(
            kind="training", path=str(directory), run=directory.resolve().name, step=step, ema=self._generator.ema
        )
        return GeneratedImages(self._generator, info, self._request)

    def features(self, numbers: range) -> list[Tensor]:
        """Features [n f] of the batches with these numbers."""
        images = self.images()
        return [self._extractor(images.batch(number)) for number in numbers]


def _prepare_share(run: Run, rank: int, world_size: int, key: str, request: Request) -> None:
    """On all ranks except for rank 0, which has its share already."""
    if rank == 0:
        return
    device = _device(run, request)
    extractor = build_extractor(select_components(run.registries, request).features, request, device)
    run.per_rank[key] = RankShare(run, run.copy_generator(device, request.ema), extractor, request)


def _features_of_share(run: Run, rank: int, world_size: int, key: str, numbers: range, is_first: bool) -> list[Tensor]:
    """The features of this rank; on the first call of an evaluation, from the current weights."""
    share: RankShare = run.per_rank[key]
    if is_first and rank > 0:
        share.update()
    return share.features(numbers[rank::world_size])


def _device(run: Run, request: Request) -> torch.device:
    return run.device if request.device == "auto" else request.find_device()


def _identity(evaluation: Evaluation) -> tuple[object, ...]:
    """What two records of the same evaluation of a training run have in common."""
    source, protocol = evaluation.evaluated, evaluation.protocol
    scores = tuple((name, key, str(evaluation.scores[name])) for name, key in protocol.items())
    return source.kind, source.step, source.ema, evaluation.seed, scores
