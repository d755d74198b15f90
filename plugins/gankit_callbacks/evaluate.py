"""Scores while training, the best checkpoint, and an end when nothing gets better."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Annotated, Any, Literal

from pydantic import Field, NonNegativeInt, PositiveInt

import gankit

from .best_checkpoint import FOLDER, keep_best, name_of

Names = Annotated[tuple[str, ...], Field(min_length=1)]
Seed = Annotated[NonNegativeInt, Field(lt=2**63)]


class Evaluate:
    """Scores G every so many steps and at the last one, and keeps the best checkpoint in ``best/``.

    Generated images (of the EMA, where there is one) are compared with the run's own real ones, as by ``gankit eval``,
    and so are the scores the same. They go into ``evaluations.jsonl`` and ``events.jsonl``. Nothing of the training
    changes.

    Args:
        every: steps between two evaluations.
        metrics: their names.
        features: the extractor's name.
        params: of metrics and features, such as ``{kid: {subset_size: 500}}``.
        samples: generated images.
        real_samples: real ones; null for as many.
        size: bring all images to this many pixels a side first; null leaves them as they are.
        seed: of the generated images.
        best_by: the score that says which checkpoint is the best, such as ``fd_effnet_lite0``; null takes the first
            that tells good from bad.
        better: whether lower or higher values of it are better; auto lets its metric say so.
        keep_best: save a checkpoint where the score is the best so far, and keep it in ``best/step-...``.
        patience: evaluations without a better score after which the run ends; null never ends it.
    """

    def __init__(
        self,
        *,
        every: PositiveInt = 1000,
        metrics: Names = ("fd",),
        features: str = "effnet_lite0",
        params: dict[str, dict[str, Any]] | None = None,
        samples: PositiveInt = 2000,
        real_samples: PositiveInt | None = None,
        size: PositiveInt | None = None,
        seed: Seed = 0,
        best_by: str | None = None,
        better: Literal["auto", "lower", "higher"] = "auto",
        keep_best: bool = True,
        patience: PositiveInt | None = None,
    ) -> None:
        self.every = every
        self.best_by = best_by
        self.better = better
        self.keep_best = keep_best
        self.patience = patience
        self._request = gankit.Request(
            metrics=metrics,
            features=features,
            params=params or {},
            samples=samples,
            real_samples=real_samples,
            size=size,
            seed=seed,
        )
        self._evaluator: gankit.Evaluator | None = None
        self._score = ""
        self._direction = ""
        self._best = Best()

    def on_run_start(self, run: gankit.Run) -> None:
        """Build all that evaluations need. Raises: gankit.GankitError: something is not there, or does not fit."""
        try:
            self._evaluator = gankit.Evaluator(run, self._request)
            columns = self._evaluator.rehearse()
            self._score, self._direction = self._choose(
                {name: b for own in columns.values() for name, b in own.items()}
            )
        except gankit.GankitError as error:
            raise gankit.GankitError(f"callback 'evaluate': {error}") from error
        if self.keep_best and self._best.step is not None:
            name = name_of(self._best.step)
            found = [path for path in run.checkpoints if path.name == name]
            if found and not (run.directory / FOLDER / name).exists():  # the run was killed in between
                keep_best(found[0], run.directory)

    def on_step_end(self, run: gankit.Run) -> None:
        if run.state.step % self.every and run.state.step < run.total_steps:
            return
        assert self._evaluator is not None
        if run.not_finite() is not None:  # there is nothing to score
            return
        evaluation = self._evaluator.evaluate()
        self._evaluator.record(evaluation)
        run.log({"event": "evaluated", "scores": evaluation.scores})
        value = evaluation.scores[self._score]
        measured = f"{self._direction} {self._score} {evaluation.protocol[self._score]}"
        self._best = self._best.after(run.state.step, value, measured, 1.0 if self._direction == "higher" else -1.0)
        if self._best.step == run.state.step:
            if self.keep_best:
                run.save()
        elif self.patience is not None and self._best.since >= self.patience:
            run.stop(self._best.bored(self._score))

    def on_checkpoint(self, run: gankit.Run) -> None:
        if self.keep_best and run.checkpoint is not None and self._best.step == run.state.step:
            keep_best(run.checkpoint, run.directory)

    def on_exception(self, run: gankit.Run) -> None:
        self._close()

    def on_run_end(self, run: gankit.Run) -> None:
        self._close()

    def state_dict(self) -> dict[str, Any]:
        """The best score so far."""
        return asdict(self._best)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._best = Best(**state)

    def _close(self) -> None:
        """Let go of what takes much memory."""
        if self._evaluator is not None:
            self._evaluator.close()
            self._evaluator = None

    def _choose(self, scores: Mapping[str, Literal["lower", "higher"] | None]) -> tuple[str, str]:
        """The score that says what is best, and which values of it are better."""
        telling = [name for name, better in scores.items() if better is not None]
        score = self.best_by or next(iter(telling or scores))
        if score not in scores:
            raise gankit.GankitError(
                f"best_by: no metric of this evaluation gives '{score}'; they give {', '.join(scores)}"
            )
        better = scores[score] if self.better == "auto" else self.better
        if better is None:
            remedy = f"choose another one ({', '.join(telling)}), or " if telling else ""
            raise gankit.GankitError(
                f"best_by: its metric does not say whether lower or higher values of '{score}' are better; "
                f"{remedy}say it with better: lower or better: higher"
            )
        return score, better


@dataclass(frozen=True)
class Best:
    """The best score so far.

    Attributes:
        measured: which score, by which protocol, and what is better; another one begins anew.
        step: at which it was; None before there was any.
        value: itself.
        since: how many evaluations have come after it.
    """

    measured: str = ""
    step: int | None = None
    value: float = math.nan
    since: int = 0

    def after(self, step: int, value: float, measured: str, sign: float) -> Best:
        """With one more evaluation: larger is better where ``sign`` is 1, and what is no finite number never is."""
        before = self if measured == self.measured else Best(measured)
        if math.isfinite(value) and (before.step is None or sign * value > sign * before.value):
            return Best(measured, step, value)
        return replace(before, since=before.since + 1)

    def bored(self, score: str) -> str:
        """Why the run should end."""
        if self.step is None:
            return f"{score} was no finite number in {self.since} evaluation{'s' if self.since > 1 else ''}"
        return f"{score} has not improved since step {self.step}: {self.value:.5g}"
