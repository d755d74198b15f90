"""The callback ``evaluate``: scores during training, the best checkpoint, and early stopping."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Annotated, Any, Literal

from pydantic import Field, NonNegativeInt, PositiveInt

import gankit

from .best_checkpoint import FOLDER, keep_best

Names = Annotated[tuple[str, ...], Field(min_length=1)]
Seed = Annotated[NonNegativeInt, Field(lt=2**63)]


class Evaluate:
    """Scores G every ``every`` steps and at the last step, and keeps the best checkpoint in ``best/``.

    Generated images (from the EMA if there is one) are compared with the run's own real images, with the same scores as
    ``gankit eval``. If a metric compares pairs of images, such as ``psnr``, they are generated from the held-out items
    of the dataset, if there are some. Scores are written to ``evaluations.jsonl`` and ``events.jsonl``. Training is not
    affected.

    Args:
        every: steps between evaluations.
        metrics: names of the metrics.
        features: name of the feature extractor.
        params: parameters of metrics and features, such as ``{kid: {subset_size: 500}}``.
        samples: number of generated images. Metrics of pairs use at most one image for each real item.
        real_samples: number of real images; null takes as many as ``samples``.
        size: resize all images to this many pixels a side first; null keeps their size.
        seed: of the generated images.
        best_by: the score that selects the best checkpoint, such as ``fd_effnet_lite0``; null takes the first score
            whose metric says whether lower or higher is better.
        better: whether lower or higher values of that score are better; auto asks its metric.
        keep_best: save a checkpoint at each new best score and keep it in ``best/step-...``.
        patience: number of evaluations without a better score after which the run stops; null never stops it.
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
        self.every, self.keep_best, self.patience = every, keep_best, patience
        self.best_by, self.better = best_by, better
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

    def fits(
        self,
        registries: gankit.Registries,
        images: int | None,
        data: gankit.DataSpec | None = None,
        fields: Collection[str] | None = None,
    ) -> None:
        """Raises: gankit.GankitError: a metric is unknown, needs more images than there are, or needs real partners of
        generated images that have none."""
        self._request.require_enough(registries, images, data, fields)

    def on_run_start(self, run: gankit.Run) -> None:
        """Build the evaluator. Raises: gankit.GankitError: a component is missing or does not fit."""
        try:
            self._evaluator = gankit.Evaluator(run, self._request)
            columns, cautions = self._evaluator.rehearse()
            self._score, self._direction = self._choose(
                {name: b for own in columns.values() for name, b in own.items()}
            )
        except gankit.GankitError as error:
            raise gankit.GankitError(f"callback 'evaluate': {error}") from error
        for caution in cautions:
            run.log(gankit.Notice("caution", f"callback 'evaluate': {caution}"))
        if self.keep_best and self._best.step is not None:
            name = gankit.checkpoint_name(self._best.step)
            found = [path for path in run.checkpoints if path.name == name]
            if found and not (run.directory / FOLDER / name).exists():  # the run was killed before it was kept
                keep_best(found[0], run.directory)

    def on_step_end(self, run: gankit.Run) -> None:
        if run.state.step % self.every and run.state.step < run.total_steps:
            return
        assert self._evaluator is not None
        if run.not_finite() is not None:  # NaN weights cannot be scored
            return
        evaluation = self._evaluator.evaluate()
        self._evaluator.record(evaluation)
        value = evaluation.scores[self._score]
        measured = f"{self._direction} {self._score} {evaluation.protocol[self._score]}"
        self._best = self._best.after(run.state.step, value, measured, 1.0 if self._direction == "higher" else -1.0)
        best = None if self._best.step is None else self._best.value
        run.log(gankit.Evaluated(evaluation.scores, self._score, best, self._best.step))
        if self._best.step == run.state.step:
            if self.keep_best:
                run.save()
        elif self.patience is not None and self._best.since >= self.patience:
            run.stop(self._best.stop_reason(self._score))

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
        """Free the evaluator's memory."""
        if self._evaluator is not None:
            self._evaluator.close()
            self._evaluator = None

    def _choose(self, scores: Mapping[str, Literal["lower", "higher"] | None]) -> tuple[str, str]:
        """The name of the score that selects the best checkpoint, and which values of it are better."""
        directed = [name for name, better in scores.items() if better is not None]
        score = self.best_by or next(iter(directed or scores))
        if score not in scores:
            raise gankit.GankitError(
                f"best_by: no metric of this evaluation computes '{score}'; choose one of {', '.join(scores)}"
            )
        better = scores[score] if self.better == "auto" else self.better
        if better is None:
            remedy = f"choose another score ({', '.join(directed)}), or " if directed else ""
            raise gankit.GankitError(
                f"best_by: the metric of '{score}' does not say whether lower or higher values are better; "
                f"{remedy}set better: lower or better: higher"
            )
        return score, better


@dataclass(frozen=True)
class Best:
    """The best score so far.

    Attributes:
        measured: the score's name, protocol and direction; a change of any of them starts over.
        step: of the best score; None before the first.
        value: of the best score.
        since: number of evaluations after it.
    """

    measured: str = ""
    step: int | None = None
    value: float = math.nan
    since: int = 0

    def after(self, step: int, value: float, measured: str, sign: float) -> Best:
        """Add an evaluation. Larger values are better if ``sign`` is 1; NaN and infinity never are."""
        before = self if measured == self.measured else Best(measured)
        if math.isfinite(value) and (before.step is None or sign * value > sign * before.value):
            return Best(measured, step, value)
        return replace(before, since=before.since + 1)

    def stop_reason(self, score: str) -> str:
        """Why the run stops."""
        if self.step is None:
            return f"{score} was NaN or infinite in {self.since} evaluation{'s' if self.since > 1 else ''}"
        return f"{score} has not improved since step {self.step}: {self.value:.5g}"
