"""The callback ``checkpoint``: saves checkpoints and removes old ones."""

from __future__ import annotations

import shutil

from pydantic import PositiveInt

import gankit


class Checkpoint:
    """Saves a checkpoint every ``every`` steps and keeps the newest. Every run saves one at its end without it.

    Args:
        every: steps between two checkpoints.
        keep: number of checkpoints to keep; null keeps all.
    """

    def __init__(self, *, every: PositiveInt = 1000, keep: PositiveInt | None = 3) -> None:
        self.every, self.keep = every, keep

    def on_step_end(self, run: gankit.Run) -> None:
        if run.state.step % self.every == 0:
            run.save()

    def on_checkpoint(self, run: gankit.Run) -> None:
        """Remove the oldest checkpoints beyond ``keep``, never the one just written."""
        if self.keep is None:
            return
        newest = run.checkpoint.name if run.checkpoint is not None else None
        for path in run.checkpoints[: -self.keep]:
            if path.name != newest:
                # rename first, so that other processes never see a partly removed checkpoint
                removed = path.rename(path.with_name(f".{path.name}.removed"))
                shutil.rmtree(removed, ignore_errors=True)
