"""When to look at a run, and what to do about what is seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, PositiveInt

import gankit

from . import balance, batch_statistics, weights
from .balance import GradientWatch, saturated
from .batch_statistics import batch_norm_of_one
from .findings import Finding, Standing
from .gradients import GradientNorms
from .pictures import KINDS, Pictures
from .weights import WeightWatch
from .window import Window

ARMED = 5  # steps before a check whose gradients are measured
EARLY = 3  # the first checks look at pictures too
STALE = 0.05  # share of its first weights in the average that samples come from, above which they tell nothing


class Health:
    """Looks for what goes wrong in GANs, and says each finding once, in ``events.jsonl`` and on the terminal.

    Every ``every`` steps: NaN and infinities, D's saturation, both gradients, weights that stand still or run away.
    Now and then, in pictures too: the range, what latents and labels change, diversity, missing modes, leaking
    augmentations. Between two checks it computes nothing and waits for nothing; before the first one it judges nothing
    but the recipe, for no network is healthy then.

    Args:
        every: steps between two checks.
        pictures_every: steps between two looks at pictures, beside those at the first three checks and at the end.
        samples: fakes drawn for such a look; four times as many reals are read once.
        on_nan: at NaN or infinity, ``stop`` the run, or ``roll_back`` to the last checkpoint and go on without the
            batch that broke it. Either way the cause is looked for.
    """

    def __init__(
        self,
        *,
        every: PositiveInt = 100,
        pictures_every: PositiveInt = 500,
        samples: Annotated[int, Field(ge=32)] = 256,
        on_nan: Literal["stop", "roll_back"] = "stop",
    ) -> None:
        self.every = every
        self.pictures_every = pictures_every
        self.samples = samples
        self._rolls_back = on_nan == "roll_back"
        self._standing = Standing()
        self._window = Window(balance.LENGTH)
        self._gradients = GradientNorms()
        self._balance = GradientWatch()
        self._weights = WeightWatch()
        self._pictures = Pictures(samples)

    def on_run_start(self, run: gankit.Run) -> None:
        self._gradients.attach(run.state)
        self._gradients.armed = self._nears_check(run)
        self._weights.start(run.state)
        self._tell(run, (batch_statistics.KIND,), batch_norm_of_one(run.recipe, run.state, run.world_size))

    def on_step_end(self, run: gankit.Run) -> None:
        self._window.add(run.scalars)
        self._gradients.next_step()
        step, last = run.state.step, run.state.step == run.total_steps
        if step % self.every == 0 or last:
            self._gradients.armed = False
            if run.not_finite() is not None:
                run.recover(go_on=self._rolls_back)
                return
            if step >= self.every:
                self._check(run)
                if self._looks_at_pictures(step) or last:
                    self._look(run)
        self._gradients.armed = self._nears_check(run)

    def on_run_end(self, run: gankit.Run) -> None:
        self._gradients.detach()

    def on_exception(self, run: gankit.Run) -> None:
        self._gradients.detach()

    def state_dict(self) -> dict[str, Any]:
        return {
            "standing": self._standing.state_dict(),
            "window": self._window.state_dict(),
            "gradients": self._gradients.state_dict(),
            "balance": self._balance.state_dict(),
            "weights": self._weights.state_dict(),
            "pictures": self._pictures.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._standing.load_state_dict(state["standing"])
        self._window.load_state_dict(state["window"])
        self._gradients.load_state_dict(state["gradients"])
        self._balance.load_state_dict(state["balance"])
        self._weights.load_state_dict(state["weights"])
        self._pictures.load_state_dict(state["pictures"])

    def _nears_check(self, run: gankit.Run) -> bool:
        """Whether the next step is one of the few before a check."""
        step = run.state.step
        return min(self.every - step % self.every, run.total_steps - step) <= ARMED

    def _looks_at_pictures(self, step: int) -> bool:
        early, due = step <= EARLY * self.every, step % self.pictures_every < self.every
        return early or due or self._standing.suspects(KINDS)

    def _check(self, run: gankit.Run) -> None:
        fast = [kind for kind in weights.FAST.values() if kind in self._standing]
        kinds, moved = self._weights.check(run.state, fast)
        found = [*moved, *saturated(self._window.values()), *self._balance.check(self._gradients.read())]
        kinds += balance.KINDS
        if any(finding.kind != balance.IMBALANCE for finding in found):  # which says why the gradients are far apart
            found = [finding for finding in found if finding.kind != balance.IMBALANCE]
        else:
            kinds += (balance.IMBALANCE,)
        self._tell(run, kinds, found)

    def _look(self, run: gankit.Run) -> None:
        if _stale_average(run) > STALE:
            return
        try:
            kinds, found = self._pictures.judge(run)
        except (gankit.GankitError, NotImplementedError, RuntimeError, ValueError) as error:
            # what a run can be trained with is not always what a picture can be drawn with
            run.log({"event": "not_judged", "reason": f"its pictures: {type(error).__name__}: {error}"})
            self._pictures.give_up()
            return
        self._tell(run, kinds, found)

    def _tell(self, run: gankit.Run, kinds: Sequence[str], found: Sequence[Finding]) -> None:
        for event in self._standing.judge(kinds, found):
            run.log(event)


def _stale_average(run: gankit.Run) -> float:
    """The share of G's first weights in its moving average, where samples come from one."""
    ema = run.recipe.ema
    if ema is None:
        return 0.0
    half_life = ema.half_life_images
    lives = float(half_life.at(run.images) if hasattr(half_life, "at") else half_life)
    kept = 2.0 ** -(run.images / lives) if lives > 0 else 0.0
    ramped = max(run.state.step, 1) ** (-0.693 / ema.ramp_up) if ema.ramp_up is not None else 1.0
    return min(kept, ramped)
