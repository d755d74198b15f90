"""A callback that shows a run in the output of a notebook cell."""

from __future__ import annotations

import importlib
import math
import sys
import time
from base64 import b64encode
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from ..errors import GankitError
from ..events import Notice
from ..interfaces import Run
from ..messages import format_duration, one_line
from ..reports.import_matplotlib import import_matplotlib
from ..reports.loss_names import OUTPUTS, loss_names
from ..reports.run_summary import parse_count, parse_float, read_metrics
from ..sampling.image_grid import make_grid, to_pillow
from .latest_events import LatestEvents
from .meter import Meter
from .scalar_history import ScalarHistory

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_SHARE = 0.1  # of the time of training that updates may take
MAX_SIDE = 1000  # pixels of the grid of samples


def in_notebook() -> bool:
    """Whether this process is the kernel of a notebook, such as Jupyter's or Colab's."""
    ipython = sys.modules.get("IPython")  # a kernel has imported it
    shell = None if ipython is None else ipython.get_ipython()
    return any(base.__name__ == "ZMQInteractiveShell" for base in type(shell).__mro__)


class NotebookFigure:
    """Shows samples, losses, D's outputs and a line on the state of the run, and updates them while it trains.

    The figure stays in the output of the cell. In a notebook, every run has this callback, named ``NotebookFigure``.
    Elsewhere, it does nothing. A figure that cannot be drawn does not end the run. It causes one notice.

    Args:
        seconds: between updates; more if they would take over 10% of the time of training.
        images: the number of samples.
        seed: of the samples.
    """

    _events: LatestEvents
    _meter: Meter

    def __init__(self, *, seconds: float = 3.0, images: int = 25, seed: int = 0) -> None:
        self.seconds, self.images, self.seed = seconds, images, seed
        self._enabled = in_notebook()
        self._history: ScalarHistory | None = None  # until the run starts
        self._grid: Image | None = None  # of the newest samples
        self._next = -math.inf  # time of the next update
        self._display: Any = None

    def on_run_start(self, run: Run) -> None:
        if not self._enabled:
            return
        if self._history is not None:  # the run returned to a checkpoint
            self._history.return_to(run.state.step)
            self._meter.restart(run)
            return
        self._history, self._meter, self._events = ScalarHistory(), Meter(run), LatestEvents(run)
        with suppress(GankitError):  # of a damaged log, which does not keep the run from training
            for line in read_metrics(run.directory):  # from before a resume
                if (step := parse_count(line.get("step"))) <= run.state.step:
                    for name in _shown_names(line):
                        self._history.add_point(step, name, parse_float(line[name]))

    def on_step_end(self, run: Run) -> None:
        if self._enabled and self._history is not None:
            self._history.add(run.state.step, run.scalars, _shown_names(run.scalars))
            if time.monotonic() >= self._next:
                self._update(run)

    def on_run_end(self, run: Run) -> None:
        self._update(run)

    def on_exception(self, run: Run) -> None:
        self._update(run, read=False)  # the device may have failed

    def _update(self, run: Run, read: bool = True) -> None:
        """Draw and show the figure.

        Args:
            run: of which it is.
            read: whether to generate samples and read scalars, which waits for the device.
        """
        if not self._enabled or self._history is None:
            return
        try:
            import_matplotlib()
            from .figure import draw_progress

            started = time.monotonic()
            if read:
                self._history.read()
                self._grid = to_pillow(make_grid(run.sample(self.images, self.seed))).convert("RGBA")
                self._grid.thumbnail((MAX_SIDE, MAX_SIDE))
            if self._grid is not None:  # as it is if the first step fails
                status = self._status(run)
                self._show(draw_progress(self._grid, self._history.curves, status), status)
            self._next = started + max(self.seconds, (time.monotonic() - started) / MAX_SHARE)
        except Exception as error:
            self._enabled = False
            message = f"the figure in the notebook cannot be drawn: {one_line(error)}; training continues without it"
            run.log(Notice("picture_missing", message))

    def _show(self, png: bytes, status: str) -> None:
        content = {"image/png": b64encode(png).decode(), "text/plain": status}
        if self._display is None:
            display = importlib.import_module("IPython.display").display
            self._display = display(content, raw=True, display_id=True)
        else:
            self._display.update(content, raw=True)

    def _status(self, run: Run) -> str:
        """``quickstart  step 1,240/2,000 (62%)  1,310 images/s  0:41 left``, then the newest score and finding."""
        step, total, speed = run.state.step, run.total_steps, self._meter.update(run)
        position = f"step {step:,}/{total:,} ({math.floor(100 * step / max(total, 1))}%)"
        if run.ending is None:
            now = [f"{speed.images_per_second:,.0f} images/s", f"{format_duration(speed.left)} left"]
        else:
            now = [f"{format_duration(speed.elapsed)} elapsed", run.ending]
        parts = [str(run.recipe.name), position, *now, self._events.score, self._events.finding]
        return "  ".join(filter(None, parts))


def _shown_names(scalars: Any) -> list[str]:
    return [*loss_names(scalars), *(name for name in OUTPUTS if name in scalars)]
