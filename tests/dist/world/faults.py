"""Optimizers that are slow or end a process, and a callback that fails where asked."""

from __future__ import annotations

import os
import signal
import time

import torch
from torch import nn

import gankit

from .processes import rank


class Doomed(torch.optim.SGD):
    """Plain gradient descent, until ``$DIE`` says that this process ends: ``rank:step:kill|error|TERM``; once.

    At step ``nan_at`` every process gets a weight that is NaN.
    """

    def __init__(
        self, parameters: list[nn.Parameter], *, lr: gankit.Scheduled = 0.05, nan_at: int | None = None
    ) -> None:
        super().__init__(parameters, lr=lr)
        self.steps, self.nan_at = 0, nan_at

    def step(self, closure: None = None) -> None:  # type: ignore[override]
        super().step(closure)
        self.steps += 1
        if self.steps == self.nan_at:
            self.param_groups[0]["params"][0].data.flatten()[0] = float("nan")
        who, when, how = (os.environ.get("DIE") or "-1:0:none").split(":")
        if int(who) != rank() or int(when) != self.steps or os.environ.get("TORCHELASTIC_RESTART_COUNT", "0") != "0":
            return
        if how == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if how == "TERM":
            os.kill(os.getpid(), signal.SIGTERM)
        if how == "error":
            raise RuntimeError("the device fell off the bus")


class Slow(torch.optim.SGD):
    """Takes its time, so that a signal finds it at work."""

    def __init__(self, parameters: list[nn.Parameter], *, lr: gankit.Scheduled = 0.05) -> None:
        super().__init__(parameters, lr=lr)

    def step(self, closure: None = None) -> None:  # type: ignore[override]
        super().step(closure)
        time.sleep(0.1)


class Tells:
    """Writes down in which process it is called; fails at a step where asked, and recovers from what is not finite."""

    def __init__(self, *, fail_at: int | None = None, go_on: bool = True) -> None:
        self.fail_at, self.go_on = fail_at, go_on

    def on_run_start(self, run: gankit.Run) -> None:
        self._note(run, "start")

    def on_step_end(self, run: gankit.Run) -> None:
        if run.state.step == self.fail_at:
            raise RuntimeError("no more pictures")
        if run.not_finite():
            run.recover(go_on=self.go_on)
        self._note(run, "step")

    def on_run_end(self, run: gankit.Run) -> None:
        self._note(run, "end")

    def _note(self, run: gankit.Run, what: str) -> None:
        with (run.directory / "calls.txt").open("a") as file:
            file.write(f"{rank()} {what} {run.state.step}\n")
