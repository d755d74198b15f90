"""The callback ``health``: when each check runs, and how its findings are reported."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, PositiveInt

import gankit

from . import batch_norm, discriminator_saturation, gradient_checks, image_checks, weight_changes
from .findings import Finding, FindingLog
from .recent_scalars import RecentScalars

MEASURED_STEPS = 5  # gradients are measured in this many steps before a check
EARLY_CHECKS = 3  # the first checks include the image checks
STALE_EMA = 0.05  # above this share of initial weights in the EMA, its samples are not judged


class Health:
    """Detects common failures of GAN training and reports each once, in ``events.jsonl`` and on the terminal.

    Every ``every`` steps it checks for NaN and infinity, a saturated D, abnormal gradients of both players, and weights
    that do not change or change too fast. At some of these checks it also draws images and checks their value range,
    whether latents and labels have an effect, diversity, missing modes and leaking augmentations. In the five steps
    before a check it computes the norms of gradients. It waits for the device only at checks. Before the first check it
    checks only the recipe, since networks that have just been initialized are not healthy yet.

    Args:
        every: steps between checks.
        pictures_every: steps between image checks, which also run at the first three checks and at the end.
        samples: generated images per image check; four times as many real images are read once.
        on_nan: at NaN or infinity, ``stop`` the run, or ``roll_back`` to the last checkpoint and continue without the
            batch that caused it. In both cases the cause is located.
    """

    def __init__(
        self,
        *,
        every: PositiveInt = 100,
        pictures_every: PositiveInt = 500,
        samples: Annotated[int, Field(ge=32)] = 256,
        on_nan: Literal["stop", "roll_back"] = "stop",
    ) -> None:
        self.every, self.pictures_every, self.samples = every, pictures_every, samples
        self._roll_back = on_nan == "roll_back"
        self._findings = FindingLog()
        self._scalars = RecentScalars(discriminator_saturation.WINDOW)
        self._gradient_norms = gankit.GradientNorms()
        self._gradient_checks = gradient_checks.GradientChecks()
        self._weight_changes = weight_changes.WeightChanges()
        self._image_checks = image_checks.ImageChecks(samples)
        self._stateful: dict[str, Any] = {  # by the names in checkpoints
            "standing": self._findings,
            "window": self._scalars,
            "gradients": self._gradient_norms,
            "balance": self._gradient_checks,
            "weights": self._weight_changes,
            "pictures": self._image_checks,
        }

    def on_run_start(self, run: gankit.Run) -> None:
        self._gradient_norms.attach(run.state)
        self._gradient_norms.enabled = self._check_is_near(run)
        self._weight_changes.start(run.state)
        found = batch_norm.batch_norm_of_one(run.recipe, run.state, run.world_size)
        self._report(run, (batch_norm.KIND,), found)

    def on_step_end(self, run: gankit.Run) -> None:
        self._scalars.add(run.scalars)
        self._gradient_norms.next_step()
        step, last = run.state.step, run.state.step == _last_step(run)
        if step % self.every == 0 or last:
            self._gradient_norms.enabled = False
            if run.not_finite() is not None:
                run.recover(go_on=self._roll_back)
                return
            if step >= self.every:
                self._check(run)
                if self._images_due(step) or last:
                    self._check_images(run)
        self._gradient_norms.enabled = self._check_is_near(run)

    def on_run_end(self, run: gankit.Run) -> None:
        self._gradient_norms.detach()

    def on_exception(self, run: gankit.Run) -> None:
        self._gradient_norms.detach()

    def state_dict(self) -> dict[str, Any]:
        return {name: part.state_dict() for name, part in self._stateful.items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        for name, part in self._stateful.items():
            part.load_state_dict(state[name])

    def _check_is_near(self, run: gankit.Run) -> bool:
        """Whether the next step is one of the last few before a check."""
        step = run.state.step
        return min(self.every - step % self.every, _last_step(run) - step) <= MEASURED_STEPS

    def _images_due(self, step: int) -> bool:
        early, due = step <= EARLY_CHECKS * self.every, step % self.pictures_every < self.every
        return early or due or self._findings.suspects(image_checks.KINDS)

    def _check(self, run: gankit.Run) -> None:
        fast = [kind for kind in weight_changes.FAST.values() if kind in self._findings]
        kinds, found = self._weight_changes.check(run.state, fast)
        found += discriminator_saturation.discriminator_saturation(self._scalars.values())
        found += self._gradient_checks.check(self._gradient_norms.read())
        kinds += (discriminator_saturation.KIND, *gradient_checks.KINDS)
        if any(finding.kind != gradient_checks.IMBALANCE for finding in found):  # these explain the imbalance
            found = [finding for finding in found if finding.kind != gradient_checks.IMBALANCE]
        else:
            kinds += (gradient_checks.IMBALANCE,)
        self._report(run, kinds, found)

    def _check_images(self, run: gankit.Run) -> None:
        if _initial_share_of_ema(run) > STALE_EMA:
            return
        try:
            kinds, found = self._image_checks.check(run)
        except (gankit.GankitError, NotImplementedError, RuntimeError, ValueError) as error:
            # a run that trains may still fail to sample, for instance out of memory
            reason = f"its images: {type(error).__name__}: {error}"
            message = f"health no longer checks the generated images: {type(error).__name__}: {error}"
            run.log(gankit.Notice("not_judged", message, {"reason": reason}))
            self._image_checks.enabled = False
            return
        self._report(run, kinds, found)

    def _report(self, run: gankit.Run, kinds: Sequence[str], found: Sequence[Finding]) -> None:
        for event in self._findings.update(kinds, found):
            run.log(event)


def _last_step(run: gankit.Run) -> int:
    """The step at which the run, or the segment of its recipe, ends."""
    steps: list[int] = [run.total_steps, *(segment.step for segment in run.recipe.segments)]
    return min(steps)


def _initial_share_of_ema(run: gankit.Run) -> float:
    """The weight of G's initial values in its EMA; 0 for a run without EMA."""
    ema = run.recipe.ema
    if ema is None:
        return 0.0
    half_life = ema.half_life_images
    half_life_now = float(half_life.at(run.images) if hasattr(half_life, "at") else half_life)
    kept = 2.0 ** -(run.images / half_life_now) if half_life_now > 0 else 0.0
    ramped = max(run.state.step, 1) ** (-0.693 / ema.ramp_up) if ema.ramp_up is not None else 1.0
    return min(kept, ramped)
