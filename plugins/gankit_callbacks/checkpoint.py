"""When to save, and which checkpoints to keep."""

from __future__ import annotations

import shutil

from pydantic import PositiveInt

import gankit


class Checkpoint:
    """Saves every so many steps and when the run ends, be it done or interrupted; keeps the newest.

    Args:
        every: steps between two checkpoints.
        keep: how many to keep; null keeps all.
    """

    def __init__(self, *, every: PositiveInt = 1000, keep: PositiveInt | None = 3) -> None:
        self.every = every
        self.keep = keep

    def on_step_end(self, run: gankit.Run) -> None:
        if run.state.step % self.every == 0:
            run.save()

    def on_run_end(self, run: gankit.Run) -> None:
        run.save()

    def on_checkpoint(self, run: gankit.Run) -> None:
        """Remove the oldest beyond ``keep``, never the one just written."""
        if self.keep is None:
            return
        newest = run.checkpoint.name if run.checkpoint is not None else None
        for path in run.checkpoints[: -self.keep]:
            if path.name != newest:
                # renamed first: whoever looks meanwhile finds a checkpoint whole or not at all
                removed = path.rename(path.with_name(f".{path.name}.removed"))
                shutil.rmtree(removed, ignore_errors=True)
