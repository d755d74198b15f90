"""Loss scaling for fp16, whose range is too small for most gradients (arXiv 1710.03740, sec. 3.2)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.amp import GradScaler

from .engine import Engine

MAX_SKIPPED = 100  # updates in a row; the scale is then far below any that would help


class LossScaler:
    """Scales the loss of one player, and skips its updates whose gradients are NaN or infinite.

    Each skipped update halves the scale, and 2,000 updates in a row without one double it. Without fp16, nothing is
    scaled or skipped. Nothing here waits for the device, except for the step of an optimizer that is not fused.

    Args:
        engine: of the run; None for a player outside of a run, which is not scaled.

    Attributes:
        enabled: whether the run computes in fp16.
        skipped: the number of skipped updates, on the device.
        skipped_in_a_row: those since the last update that was not skipped.
    """

    def __init__(self, engine: Engine | None = None) -> None:
        self.enabled = engine is not None and engine.precision == "fp16"
        self._one = torch.ones((), device=engine.device if engine is not None and self.enabled else None)
        self.skipped = self.skipped_in_a_row = torch.zeros_like(self._one, dtype=torch.int64)
        self._scaler = self._new_scaler()

    @property
    def factor(self) -> Tensor:
        """The current scale, on the device."""
        return self.scale(self._one)

    def scale(self, loss: Tensor) -> Tensor:
        """The loss whose backward computes scaled gradients."""
        scaled: Tensor = self._scaler.scale(loss)
        return scaled

    def unscale(self, optimizer: torch.optim.Optimizer) -> None:
        """Divide the gradients by the scale, and check them. The gradients of all processes are averaged before."""
        self._scaler.unscale_(optimizer)

    @torch.no_grad()
    def step(self, optimizer: torch.optim.Optimizer) -> None:
        """Run the optimizer's step unless the gradients are NaN or infinite, and adapt the scale."""
        if not self.enabled:
            optimizer.step()
            return
        before = self.factor
        self._scaler.step(optimizer)
        self._scaler.update()
        skipped = self.factor < before
        self.skipped = self.skipped + skipped
        self.skipped_in_a_row = (self.skipped_in_a_row + 1) * skipped

    def state_dict(self) -> dict[str, Any]:
        """The scale and the counts, as plain data."""
        counts = {"skipped": int(self.skipped), "skipped_in_a_row": int(self.skipped_in_a_row)}
        return {"scaler": self._scaler.state_dict(), **counts}

    def load_state_dict(self, state: Mapping[str, Any] | None) -> None:
        """Restore the result of `state_dict`, also after a step that failed midway; None resets it."""
        if not self.enabled:
            return
        self._scaler = self._new_scaler()
        counts = [0, 0]
        if state is not None:
            self._scaler.load_state_dict(dict(state["scaler"]))
            counts = [int(state["skipped"]), int(state["skipped_in_a_row"])]
        self.scale(self._one)  # fails here if the state is damaged
        self.skipped, self.skipped_in_a_row = torch.tensor(counts, device=self._one.device).unbind()

    def _new_scaler(self) -> GradScaler:
        return GradScaler(self._one.device.type, enabled=self.enabled)
