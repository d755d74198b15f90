"""The callback ``report``: writes the page of the run, ``report.html``."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import suppress

from pydantic import NonNegativeInt, PositiveInt

import gankit

MAX_SAMPLES = 48  # pictures of samples over time, in addition to the first and the last
MAX_SHARE = 0.02  # of the training time, for pages at checkpoints


class ReportPage:
    """Writes ``report.html`` at checkpoints and at the end: samples over time, curves, scores and findings.

    The callback is part of every run whose recipe does not say ``report: false``. Its pictures are in the folder
    ``report`` of the run directory: samples at the first step, every ``every`` steps, and at the last. Whenever there
    are more than 48, the interval doubles, and the samples between are deleted. When the run is done, the nearest real
    images of some samples are searched.

    A long log takes seconds to read. Checkpoints that follow each other quickly therefore share a page, so that writing
    takes at most 2% of the training time.

    A page that cannot be written does not end the run. It causes one notice.

    Args:
        every: steps between the samples at the beginning.
        seed: of their latents.
        features: extractor whose distances decide which real images are the nearest ones.
        neighbors: samples whose nearest real images are shown; 0 searches none.
        among: real images that are searched, at most.
    """

    def __init__(
        self,
        *,
        every: PositiveInt = 100,
        seed: NonNegativeInt = 0,
        features: str = "pixels",
        neighbors: NonNegativeInt = 8,
        among: PositiveInt = 2000,
    ) -> None:
        self.every, self.seed, self.features, self.neighbors, self.among = every, seed, features, neighbors, among
        self._has_failed = False
        self._next_page = 0.0  # monotonic time

    def on_run_start(self, run: gankit.Run) -> None:
        self._page, step = gankit.RunReport(run.directory), run.state.step
        self._grid = gankit.SampleGrid.of_moderate_size(run.image, self.seed)
        self._attempt(run, lambda: self._page.keep_samples(lambda of: of <= step))

    def on_step_end(self, run: gankit.Run) -> None:
        step, last = run.state.step, run.total_steps
        if step == 1:
            self._attempt(run, lambda: self._page.add_real_images(self._grid.real(run), self._grid.columns))
        interval = self.every * 2 ** math.ceil(math.log2(max(1, step / (MAX_SAMPLES * self.every))))
        if step in (1, last) or step % interval == 0:
            self._attempt(run, lambda: self._page.add_samples(step, *self._grid.generated(run)))
            self._attempt(run, lambda: self._page.keep_samples(lambda of: of in (1, step) or of % interval == 0))

    def on_checkpoint(self, run: gankit.Run) -> None:
        started = time.monotonic()
        if run.ending is None and started < self._next_page:
            return
        self._write(run)
        self._next_page = time.monotonic() + (time.monotonic() - started) / MAX_SHARE

    def on_run_end(self, run: gankit.Run) -> None:
        if run.ending == "done" and self.neighbors:
            self._attempt(run, lambda: self._find_neighbors(run))
        self._write(run)

    def on_exception(self, run: gankit.Run) -> None:
        with suppress(Exception):  # the error that ends the run may be why the page cannot be written
            self._page.write(run.ending)

    def _find_neighbors(self, run: gankit.Run) -> None:
        self._page.find_neighbors(run, run.sample(self.neighbors, self.seed), self.features, self.among)

    def _write(self, run: gankit.Run) -> None:
        self._attempt(run, lambda: self._page.write(run.ending))

    def _attempt(self, run: gankit.Run, work: Callable[[], object]) -> None:
        """Do a part of the page; log its first failure."""
        try:
            work()
        except Exception as error:
            if not self._has_failed:
                self._has_failed = True
                reason = gankit.one_line(error)
                message = f"report.html is incomplete: {reason}; training continues"
                run.log(gankit.Notice("report_incomplete", message))
