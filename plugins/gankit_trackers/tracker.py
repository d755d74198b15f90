"""The values that all trackers log, and when."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import gankit

from .log import Log
from .outbox import Outbox
from .run_id import RunId

if TYPE_CHECKING:
    from PIL import Image

MAX_REASON = 300  # characters
END_SECONDS, FAILED_SECONDS = 30.0, 5.0  # to wait for the tracker when a run ends


class Tracker:
    """The base class of callbacks that log a run to a tracker.

    The client of the tracker works in a thread of its own, and what it raises becomes one notice.

    Args:
        every: steps between scalars.
        images_every: steps between grids of samples.
        checkpoints: whether to upload checkpoints.

    Attributes:
        name: of the callback, the package of the client on PyPI, and the extra that installs it.
        client: the module of the client.
    """

    name: ClassVar[str]
    client: ClassVar[str]

    def __init__(self, every: int, images_every: int, checkpoints: bool = False) -> None:
        self.checkpoints = checkpoints
        self._reader = gankit.ScalarReader(every)
        self._images = gankit.StepInterval(images_every)
        self._run_id = RunId(f"{self.name}_run.json")
        self._log: Log | None = None
        self._outbox: Outbox | None = None
        self._has_reported = False

    def fits(self) -> None:
        """Raises: gankit.GankitError: the client is not installed."""
        self._import_client()

    def on_run_start(self, run: gankit.Run) -> None:
        """Begin to log. Raises: gankit.GankitError: the client is not installed."""
        self._reader.start(run)
        self._images.start(run)
        self._grid = gankit.SampleGrid.of_moderate_size(run.image)
        if self._outbox is None:
            self._run_id.load(run.directory)
            self._log = self._open(run)
            self._outbox = Outbox(self._log)
            run.listeners.append(partial(self._on_event, run))
        self._outbox.start(run.state.step)

    def on_step_end(self, run: gankit.Run) -> None:
        assert self._log is not None
        assert self._outbox is not None
        step = run.state.step
        if reading := self._reader.read(run):
            values = {f"train/{name}": value for name, value in reading.items() if name != "step"}
            self._outbox.put(partial(self._log.scalars, step, values))
        if self._images.due(run):
            image = _picture(*self._grid.generated(run))
            self._outbox.put(partial(self._log.image, step, "samples", image), large=True)
        self._report(run, self._outbox.problem)

    def on_checkpoint(self, run: gankit.Run) -> None:
        if self.checkpoints and self._outbox is not None and run.checkpoint is not None:
            assert self._log is not None
            self._outbox.put(partial(_upload, self._log, run.state.step, run.checkpoint), large=True)
        if run.ending is not None:
            self._close(run)

    def on_run_end(self, run: gankit.Run) -> None:
        if not (self.checkpoints and _saves_last_step(run)):  # else after that checkpoint
            self._close(run)

    def on_exception(self, run: gankit.Run) -> None:
        self._close(run)

    def state_dict(self) -> dict[str, Any]:
        """The id of the run in the tracker, and the scalars that are not logged yet."""
        return {"run_id": self._run_id.value, **self._reader.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._reader.load_state_dict(state)
        if state["run_id"] is not None:  # the start of a run, to which it may return, has no id yet
            self._run_id.value = str(state["run_id"])

    def _import_client(self) -> Any:
        return gankit.import_optional(self.client, self.name, f"callback '{self.name}'", extra=self.name)

    def _open(self, run: gankit.Run) -> Log:
        """The log of a run, which is not started yet."""
        raise NotImplementedError

    def _on_event(self, run: gankit.Run, event: gankit.Event) -> None:
        """Log scores and findings, and end the log if the last checkpoint is not saved.

        An event after the end of the log is left out.
        """
        if self._outbox is None or self._log is None:
            return
        step = run.state.step
        if isinstance(event, gankit.Evaluated):
            scores = {f"scores/{name}": float(value) for name, value in event.scores.items()}
            self._outbox.put(partial(self._log.scalars, step, scores))
        elif isinstance(event, gankit.NotSaved) and run.ending is not None:
            self._close(run)  # `on_checkpoint` will not be called
        elif isinstance(event, (gankit.Finding, gankit.Recovered)):
            self._outbox.put(partial(self._log.note, step, event.finding, event.message))

    def _close(self, run: gankit.Run) -> None:
        self._reader.stop()
        if self._outbox is None or self._log is None:
            return
        outbox, self._outbox, ending = self._outbox, None, str(run.ending)
        failed = ending.startswith("failed")
        finish = partial(self._log.finish, run.state.step, ending, failed)
        outbox.close(finish, FAILED_SECONDS if failed else END_SECONDS)
        self._report(run, outbox.problem)

    def _report(self, run: gankit.Run, problem: str | None) -> None:
        """Log the first problem of the tracker. Later ones are not reported."""
        if problem is not None and not self._has_reported:
            self._has_reported = True
            message = f"callback '{self.name}': {gankit.truncate(problem, MAX_REASON)}; training is not affected"
            run.log(gankit.Notice("tracker_problem", message))


def _upload(log: Log, step: int, checkpoint: Path) -> None:
    """Upload a checkpoint. Raises: FileNotFoundError: the run has deleted it, since newer ones are kept."""
    if checkpoint.is_dir():
        log.checkpoint(step, checkpoint)
    if not checkpoint.is_dir():
        raise FileNotFoundError(f"{checkpoint.name} was deleted before its upload ended; keep more checkpoints")


def _picture(images: Any, columns: int) -> Image.Image:
    """A grid of images uint8 [n c h w] as a Pillow image: L, RGB or RGBA."""
    from PIL import Image

    picture = Image.fromarray(gankit.make_grid(images, columns).squeeze(-1).numpy())
    return picture.convert("RGBA") if picture.mode == "LA" else picture


def _saves_last_step(run: gankit.Run) -> bool:
    """Whether a checkpoint follows the end of the run."""
    is_saved = run.checkpoint is not None and run.checkpoint.name == gankit.checkpoint_name(run.state.step)
    is_due = run.segment_ended or run.recipe.train.final_checkpoint
    return bool(is_due) and not is_saved and run.not_finite() is None
