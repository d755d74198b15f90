"""Scores of a run while it trains."""

from __future__ import annotations

import torch

from ..check import Chosen
from ..errors import RecipeError
from ..evaluation.log import EVALUATIONS, append_evaluation, read_evaluations
from ..evaluation.measure import Columns
from ..evaluation.record import Evaluation, Subject
from ..generator import TrainedGenerator
from ..interfaces import Dataset, Run
from ..training.schedule import ComponentSchedule
from ..training.trainer import Trainer
from ..validation import validate
from .judge import Judge, build
from .request import Request, choose_dataset, choose_real, choose_scorers, with_logits
from .subject import GeneratedImages, require_channels


class Evaluator:
    """Scores a run's generator as it is now: just as ``gankit eval`` scores a checkpoint of that step.

    What takes its time is done once, here: networks are built, and the real images looked at. Nothing of the run
    changes: G's weights are copied into a network of this evaluator's own, and random generators are its own as well.

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
        self._run, self._request = run, request
        registries = run.registries
        scorers = choose_scorers(registries, request)
        device = run.parts.game.engine.device if request.device == "auto" else request.find_device()
        self._generator = LiveGenerator(run, device, request.ema)
        own = request.real is None and request.recipe is None
        chosen = (
            choose_dataset(registries, run.recipe.dataset, run.recipe.document, ("dataset",))
            if own
            else choose_real(registries, request, None, str(run.directory))
        )
        dataset: Dataset = run.dataset if own else build(chosen)
        require_channels(str(run.directory), run.parts.image.channels, dataset.spec.channels, chosen.entry.name)
        size = self._images().size
        self._judge = Judge(scorers, request, device, with_logits(registries))
        if not own:
            dataset.prepare()
        self._judge.study(chosen, dataset, size)
        self._written = {_key(record) for record in read_evaluations(run.directory / EVALUATIONS)}

    def rehearse(self) -> Columns:
        """The scores that there will be, of each metric, and which values of each are better.

        To find out, every metric is computed once, with real images in place of generated ones.

        Raises:
            GankitError: a metric fails.
        """
        return self._judge.rehearse()

    def evaluate(self) -> Evaluation:
        """The scores now. Raises: GankitError: a metric fails."""
        self._generator.follow(self._run)
        return self._judge.score(self._images())

    def record(self, evaluation: Evaluation) -> None:
        """Append to the run's ``evaluations.jsonl``, unless that has the same scores by the same protocol at this step.

        A resumed run plays some steps again, and comes to the same, unless it was changed. The last line of a step
        counts. Raises: GankitError: it cannot be written.
        """
        key = _key(evaluation)
        if key not in self._written:
            append_evaluation(self._run.directory / EVALUATIONS, evaluation)
            self._written.add(key)

    def _images(self) -> GeneratedImages:
        directory = self._run.directory
        about = Subject(
            kind="training",
            path=str(directory),
            run=directory.resolve().name,
            step=self._run.state.step,
            ema=self._generator.ema,
        )
        return GeneratedImages(self._generator, about, self._request)


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
            network = Chosen(entry, params).build(parts.image, recipe.latent.dim)
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
