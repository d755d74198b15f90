"""A callback that scores a run by its settings, and fails where it is told to."""

from __future__ import annotations

import math
import os
import signal
import time

import gankit


class Score:
    """In each step, logs ``distance``: how far the learning rate of G is from 0.01, and one more for each step left.

    Args:
        nan_above: learning rates above it score NaN.
        fail_above: learning rates above it raise an error.
        seconds: that each step waits.
        kill_first: kill the process of the first trial.
    """

    def __init__(
        self, *, nan_above: float = 1e9, fail_above: float = 1e9, seconds: float = 0.0, kill_first: bool = False
    ) -> None:
        self.nan_above, self.fail_above, self.seconds, self.kill_first = nan_above, fail_above, seconds, kill_first

    def on_step_end(self, run: gankit.Run) -> None:
        lr = run.recipe.optimizers.generator.params["lr"]
        if self.kill_first and run.directory.name == "trial-0000":
            os.kill(os.getpid(), signal.SIGKILL)
        if lr > self.fail_above:
            raise RuntimeError("CUDA out of memory: a stand-in")
        time.sleep(self.seconds)
        distance = abs(math.log10(lr) + 2) + run.total_steps - run.state.step
        run.log(gankit.Evaluated({"distance": math.nan if lr > self.nan_above else distance}))


@gankit.hookimpl
def register(registries: gankit.Registries) -> None:
    registries.callbacks.add("score", Score)
