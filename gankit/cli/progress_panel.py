"""The panel that shows a run on a terminal while it trains."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from ..interfaces import Run
from ..messages import format_duration
from ..progress.meter import Meter, Speed
from ..reports.loss_names import OUTPUTS, loss_names, loss_title
from .console import escape, output_console
from .live_display import LiveDisplay

if TYPE_CHECKING:
    from ..progress.latest_events import LatestEvents

UPDATE_SECONDS = 1.0  # between updates, each of which waits for the device
HISTORY = 200  # updates
BLOCKS = "▁▂▃▄▅▆▇█"
LABEL_WIDTH = len("checkpoint")
MIN_LOSS_WIDTH = 24  # characters of a loss with its sparkline


class ProgressPanel:
    """A callback that keeps a panel below all other output.

    Args:
        console: of a terminal; None for standard output.
    """

    _meter: Meter  # since the start
    _shown: ShownRun
    _display: LiveDisplay

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or output_console()
        self._has_started = False

    def on_run_start(self, run: Run) -> None:
        if self._has_started:  # the run returned to a checkpoint
            self._meter.restart(run)
            self._shown.return_to(run.state.step)
            self._shown.set_position(run)
            self._display.refresh()
            return
        from ..progress.latest_events import LatestEvents

        self._meter = Meter(run)
        self._shown = ShownRun(run.recipe.name, f"{run.directory}/", LatestEvents(run))
        self._shown.set_position(run)
        self._display = LiveDisplay(self._shown, self._console)
        self._display.start()
        self._has_started = True

    def on_step_end(self, run: Run) -> None:
        if self._meter.is_due(UPDATE_SECONDS) or run.state.step == run.total_steps:
            self._shown.speed = self._meter.update(run)
            self._shown.add_scalars(run)
            self._shown.set_position(run)
            self._display.refresh()

    def on_checkpoint(self, run: Run) -> None:
        self._shown.set_position(run)

    def on_exception(self, run: Run) -> None:
        self._stop()

    def on_run_end(self, run: Run) -> None:
        self._shown.set_position(run)
        self._stop()

    def _stop(self) -> None:
        if self._has_started:
            self._shown.has_ended = True
            self._display.stop()


@dataclass
class ShownRun:
    """The content of the panel. It is drawn with as many rows and columns as the terminal has room for.

    Attributes:
        name: of the run.
        directory: of the run.
        events: its newest ones.
        step: of the newest update.
        total_steps: of the whole run.
        checkpoint: the name of the newest one; empty without any.
        speed: None before the first update.
        scalars: the losses and D's outputs at the latest updates, with their steps.
        has_ended: whether this is the final state: without what others print at the end.
    """

    name: str
    directory: str
    events: LatestEvents
    step: int = 0
    total_steps: int = 1
    checkpoint: str = ""
    speed: Speed | None = None
    scalars: deque[tuple[int, dict[str, float]]] = field(default_factory=lambda: deque(maxlen=HISTORY))
    has_ended: bool = False

    def set_position(self, run: Run) -> None:
        """Take over the counters and the newest checkpoint of the run."""
        self.step, self.total_steps = run.state.step, run.total_steps
        self.checkpoint = "" if run.checkpoint is None else run.checkpoint.name

    def add_scalars(self, run: Run) -> None:
        """Add the losses and D's outputs of the last step."""
        names = [name for name in (*loss_names(run.scalars), *OUTPUTS) if name in run.scalars]
        self.scalars.append((run.state.step, {name: float(run.scalars[name]) for name in names}))

    def return_to(self, step: int) -> None:
        """Forget what is later than a step."""
        while self.scalars and self.scalars[-1][0] > step:
            self.scalars.pop()

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        rows = [*self._rows(options)]
        room = max(1, options.size.height // 2)
        kept = sorted(range(len(rows)), key=lambda index: rows[index][0])[:room]
        yield Group(*(rows[index][1] for index in sorted(kept)))

    def _rows(self, options: ConsoleOptions) -> Iterator[tuple[int, RenderableType]]:
        """The lines from top to bottom, each after its rank: a short terminal shows the lines of the lowest ranks."""
        title = Text.assemble((escape(self.name), "bold"), "  ", escape(self.directory))
        yield 6, _cut(title, options)
        yield 0, self._bar(options)
        if self.speed is not None:
            left = "" if self.has_ended else f"  {format_duration(self.speed.left)} left"
            elapsed = format_duration(self.speed.elapsed)
            yield 2, _row("speed", f"{self.speed.images_per_second:,.0f} images/s  {elapsed} elapsed{left}", options)
        for line in self._losses(options):
            yield 1, line
        real, fake = (self._history(name) for name in OUTPUTS)
        if real and fake:
            yield 5, _row("D's output", f"{real[-1]:.3f} on real  {fake[-1]:.3f} on fake", options)
        if self.events.score:
            yield 4, _row("score", self.events.score, options)
        if self.events.finding:
            style = "yellow" if self.events.has_problem else "green"
            yield 3, _row("finding", self.events.finding, options, style)
        if self.checkpoint and not self.has_ended:
            yield 7, _row("checkpoint", self.checkpoint, options)

    def _bar(self, options: ConsoleOptions) -> Table:
        share = self.step / max(self.total_steps, 1)
        line = Table.grid(padding=(0, 2, 0, 0), expand=True)
        line.add_column(ratio=1)
        line.add_column(no_wrap=True)
        numbers = f"step {self.step:,}/{self.total_steps:,}  {math.floor(100 * share)}%"
        line.add_row(ProgressBar(total=max(self.total_steps, 1), completed=self.step), numbers)
        return line

    def _losses(self, options: ConsoleOptions) -> Iterator[Text]:
        """The losses with their sparklines: two on a line if there is room."""
        names = loss_names(dict.fromkeys(name for _, scalars in self.scalars for name in scalars))
        titles = {name: escape(loss_title(name)).removeprefix("loss ") for name in names}
        room = options.max_width - LABEL_WIDTH - 2
        columns = min(2, max(1, room // MIN_LOSS_WIDTH), max(len(names), 1))
        width = room // columns - 2
        for start in range(0, len(names), columns):
            chosen = names[start : start + columns]
            cells = [_loss(titles[name], self._history(name), width, options) for name in chosen]
            yield _row("loss" if start == 0 else "", "  ".join(cells), options)

    def _history(self, name: str) -> list[float]:
        return [scalars[name] for _, scalars in self.scalars if name in scalars]


def _loss(title: str, values: Sequence[float], width: int, options: ConsoleOptions) -> str:
    """``D 0.887 ▃▄▅``, padded to ``width``; a long title is cut, and values come before sparklines."""
    value = f"{values[-1]:.3f}"
    title = title[: max(1, width - len(value) - 1)]
    text = f"{title} {value} "
    if not options.ascii_only:
        text += sparkline(values, width - len(text))
    return text.ljust(width)


def sparkline(values: Sequence[float], width: int) -> str:
    """The last ``width`` values as blocks from the lowest to the highest of them; NaN and infinity are blanks."""
    last = values[-width:] if width > 0 else []
    finite = [value / 2 for value in last if math.isfinite(value)]  # half, so that no difference overflows
    low, high = min(finite, default=0.0), max(finite, default=0.0)
    scale = (len(BLOCKS) - 1) / (high - low) if high > low else 0.0
    return "".join(BLOCKS[round((v / 2 - low) * scale)] if math.isfinite(v) else " " for v in last)


def _row(label: str, text: str, options: ConsoleOptions, style: str = "") -> Text:
    return _cut(Text.assemble((f"{label:<{LABEL_WIDTH}}  ", "dim"), (escape(text), style)), options)


def _cut(line: Text, options: ConsoleOptions) -> Text:
    """One line of the terminal's width at most."""
    line.no_wrap = True
    line.overflow = "crop" if options.ascii_only else "ellipsis"
    return line
