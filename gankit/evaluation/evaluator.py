"""Scores of a run while it trains."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from ..assembly.selection import Selected
from ..errors import GankitError, RecipeError
from .extractor import Extractor
from .evaluation_log import EVALUATIONS, append_evaluation, read_evaluations
from .metrics import Columns
from .record import Evaluation, Subject
from ..sampling.trained_generator import TrainedGenerator
from ..interfaces import Dataset, Run
from ..training.schedules import ComponentSchedule
from ..training.trainer import Trainer
from ..recipe.validation import validate
from .scorer import Scorer, build, build_extractor
from .request import Request, choose_dataset, choose_real, choose_scorers, with_logits
from .generated_images import GeneratedImages, require_channels

ROUND = 8  # batches that each process makes before the first one gathers them


class Evaluator:
    """Scores a run's generator as it is now: just as ``gankit eval`` scores a checkpoint of that step.

    What takes its time is done once, here: networks are built, and the real images looked at. Nothing of the run
    changes: G's weights are copied into a network of this evaluator's own, and random generators are its own as well.
    Where several processes train, each makes its share of the images and of their features: those that one would make.

    Args:
        run: as a callback is given it.
        request: how to evaluate. The real images are the run's own unless it names others; ``device: auto`` is the
            run's device.

    Raises:
        GankitError: the request names what is not there, or the real images do not fit; one sentence says what to do.
    """

    def __init__(self, run: Run, request: Request) -> None:
        if not isinstance(run, Trainer):
            raise TypeError(f"an evaluator needs a run that trains; got a {type(run).__name__}")
        self._run, self._request, self._key = run, request, repr(request)
        registries = run.registries
        scorers = choose_scorers(registries, request)
        device = _device(run, request)
        generator = LiveGenerator(run, device, request.ema)
        own = request.real is None and request.recipe is None
        chosen = (
            choose_dataset(registries, run.recipe.dataset, run.recipe.document, ("dataset",))
            if own
            else choose_real(registries, request, None, str(run.directory))
        )
        dataset: Dataset = run.dataset if own else build(chosen)
        require_channels(str(run.directory), run.parts.image.channels, dataset.spec.channels, chosen.entry.name)
        self._judge = Scorer(scorers, request, device, with_logits(registries))
        share = Share(run, generator, self._judge.extractor, request)
        if not own:
            dataset.prepare()
        self._judge.study(chosen, dataset, share.images().size)
        self._written = {_key(record) for record in read_evaluations(run.directory / EVALUATIONS)}
        run.kept[self._key] = share
        run.processes.everywhere(_get_ready, self._key, request)

    def rehearse(self) -> Columns:
        """The scores that there will be, of each metric, and which values of each are better.

        To find out, every metric is computed once, with real images in place of generated ones.

        Raises:
            GankitError: a metric fails.
        """
        return self._judge.rehearse()

    def evaluate(self) -> Evaluation:
        """The scores now. Raises: GankitError: a metric fails, or the evaluator is closed."""
        share = self._run.kept.get(self._key)
        if share is None:
            raise GankitError("this evaluator is closed: it evaluates no more")
        share.follow()
        images: GeneratedImages = share.images()
        return self._judge.score(images, features=self._features(len(images)))

    def record(self, evaluation: Evaluation) -> None:
        """Append to the run's ``evaluations.jsonl``, unless that has the same scores by the same protocol at this step.

        A resumed run plays some steps again, and comes to the same, unless it was changed. The last line of a step
        counts. Raises: GankitError: it cannot be written.
        """
        key = _key(evaluation)
        if key not in self._written:
            append_evaluation(self._run.directory / EVALUATIONS, evaluation)
            self._written.add(key)

    def close(self) -> None:
        """Let go of what takes memory."""
        self._run.kept.pop(self._key, None)

    def _features(self, batches: int) -> Iterator[Tensor]:
        """Features [n f] of all batches in their order, of which each process makes every ``world_size``-th."""
        size = ROUND * self._run.world_size
        for start in range(0, batches, size):
            numbers = range(start, min(start + size, batches))
            parts = self._run.processes.everywhere(_features_of, self._key, numbers, start == 0)
            for place in range(len(numbers)):
                yield parts[place % len(parts)][place // len(parts)]


class Share:
    """What a process needs for its part of the images: a generator that follows the run's, and an extractor."""

    def __init__(self, run: Trainer, generator: LiveGenerator, extractor: Extractor, request: Request) -> None:
        self._run, self._generator, self._extractor, self._request = run, generator, extractor, request

    def follow(self) -> None:
        """Be as the run is now."""
        self._generator.follow(self._run)

    def images(self) -> GeneratedImages:
        """The images that there are to score."""
        directory, ema = self._run.directory, self._generator.ema
        step, name = self._run.state.step, directory.resolve().name
        about = Subject(kind="training", path=str(directory), run=name, step=step, ema=ema)
        return GeneratedImages(self._generator, about, self._request)

    def features(self, numbers: range) -> list[Tensor]:
        """Features [n f] of the batches with these numbers."""
        images = self.images()
        return [self._extractor(images.batch(number)) for number in numbers]


def _get_ready(run: Trainer, part: int, parts: int, key: str, request: Request) -> None:
    """In all processes but the first, which is ready."""
    if part == 0:
        return
    device = _device(run, request)
    extractor = build_extractor(choose_scorers(run.registries, request).features, request, device)
    run.kept[key] = Share(run, LiveGenerator(run, device, request.ema), extractor, request)


def _features_of(run: Trainer, part: int, parts: int, key: str, numbers: range, anew: bool) -> list[Tensor]:
    """This process's features; ``anew``, of the generator as it is now."""
    share: Share = run.kept[key]
    if anew and part > 0:
        share.follow()
    return share.features(numbers[part::parts])


def _device(run: Trainer, request: Request) -> torch.device:
    return run.parts.game.engine.device if request.device == "auto" else request.find_device()


class LiveGenerator(TrainedGenerator):
    """A generator that follows a run's, in a network of its own.

    It is built as one from a checkpoint is, since the last bits of its images depend on how its weights lie in memory.
    """

    def __init__(self, run: Trainer, device: torch.device, ema: bool) -> None:
        recipe, parts = run.recipe, run.parts
        entry = run.registries.generators.get(recipe.generator.name)
        params, problems = validate(entry.schema, recipe.generator.params, recipe.document, ("generator",))
        if params is None:
            raise RecipeError(problems)
        with torch.random.fork_rng(devices=[]):  # first weights are drawn, and then replaced
            network = Selected(entry, params).build(parts.image, recipe.latent.dim)
        network.to(device).eval().requires_grad_(False)
        latent, ema = parts.game.latent, ema and run.state.ema is not None
        super().__init__(network, latent, parts.image, run.classes, parts.frequencies, run.directory, ema)
        self._schedule = ComponentSchedule(network, params)

    def follow(self, run: Trainer) -> None:
        """Take up the run's weights, and what its schedules have come to."""
        source = run.state.sampler if self.ema else run.state.generator
        self.module.load_state_dict(source.state_dict())
        self._schedule.advance(run.images)


def _key(evaluation: Evaluation) -> tuple[object, ...]:
    """What an evaluation in training shares with one that says the same."""
    about, protocol = evaluation.evaluated, evaluation.protocol
    scores = tuple((name, key, str(evaluation.scores[name])) for name, key in protocol.items())
    return about.kind, about.step, about.ema, evaluation.seed, scores
