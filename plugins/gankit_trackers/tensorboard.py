"""The callback ``tensorboard``: logs a run for TensorBoard."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import PositiveInt

import gankit

from .event_file import EventFile
from .recipe_settings import Setting, recipe_settings
from .tracker import Tracker

if TYPE_CHECKING:
    from PIL import Image

FOLDER = "tensorboard"
MAX_FOLDERS = 10_000


class TensorBoard(Tracker):
    """Logs scalars, samples, scores, findings and the recipe for TensorBoard: ``tensorboard --logdir results``.

    Scalars are those of ``metrics.jsonl``, as ``train/NAME``; TensorBoard keeps 32 bits of them. Scores of the
    ``evaluate`` callback are ``scores/NAME``. A resumed run continues its curves. If it returns to an earlier step,
    TensorBoard hides what was logged after that step.

    A problem, such as a full disk, causes one notice. The records concerned are lost, and later ones are tried.

    Args:
        every: steps between scalars, which are also logged at the first step and at the last.
        images_every: steps between grids of samples, which are also drawn at the first step and at the last.
        folder: of the event files of all runs, each in a subfolder with the name of its run directory, and a number if
            another run has that one; null is the folder ``tensorboard`` in the run directory.
    """

    name = "tensorboard"
    client = "tensorboard"

    def __init__(self, *, every: PositiveInt = 10, images_every: PositiveInt = 500, folder: Path | None = None) -> None:
        super().__init__(every, images_every)
        self.folder = folder

    def _open(self, run: gankit.Run) -> TensorBoardLog:
        self._import_client()
        return TensorBoardLog(partial(self._find_folder, run.directory), recipe_settings(run.recipe))

    def _find_folder(self, directory: Path) -> Path:
        """The folder of the event files of a run."""
        if self.folder is None:
            return directory / FOLDER
        name = directory.resolve().name
        if self._run_id.value is None:
            self._run_id.save(_new_folder(self.folder, name))
        return self.folder / str(self._run_id.value)


class TensorBoardLog:
    """The event files of a run.

    Args:
        find_folder: returns the folder of the files.
        settings: of the recipe.
    """

    def __init__(self, find_folder: Callable[[], Path], settings: Mapping[str, Setting]) -> None:
        from torch.utils.tensorboard import summary

        self._find_folder, self._settings, self._summary = find_folder, dict(settings), summary
        self._file: EventFile | None = None

    def start(self, step: int) -> None:
        if self._file is not None:
            self._file.close()
        self._file = EventFile(self._find_folder(), purge_step=step + 1)
        experiment, session, _ = self._summary.hparams(self._settings, {})
        self._add(experiment, step)
        self._add(session, step)

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self._add(self._summary.scalar(name, value), step)

    def image(self, step: int, name: str, image: Image.Image) -> None:
        pixels = np.asarray(image)
        self._add(self._summary.image(name, pixels, dataformats="HW" if pixels.ndim == 2 else "HWC"), step)

    def note(self, step: int, name: str, text: str) -> None:
        self._add(self._summary.text(f"findings/{name}", text), step)

    def checkpoint(self, step: int, folder: Path) -> None:
        """Event files hold no checkpoints."""

    def finish(self, step: int, ending: str, failed: bool) -> None:
        self._add(self._summary.text("ending", ending), step)
        _, _, end = self._summary.hparams(self._settings, {})
        self._add(with_status(end, "STATUS_FAILURE") if failed else end, step)
        assert self._file is not None
        self._file.close()

    def _add(self, summary: Any, step: int) -> None:
        assert self._file is not None  # between start and finish
        self._file.add(summary, step)


def _new_folder(folder: Path, name: str) -> str:
    """Make a subfolder of this name, or with a number if it exists. Returns: its name."""
    for found in (name, *(f"{name}-{number}" for number in range(2, MAX_FOLDERS))):
        with suppress(FileExistsError):
            (folder / found).mkdir(parents=True)
            return found
    raise gankit.GankitError(f"{folder}: has the logs of {MAX_FOLDERS:,} runs called {name!r}; set another folder")


def with_status(end: Any, status: str) -> Any:
    """The end of a session of the hparams plugin, which torch can only make with the status of a success."""
    from tensorboard.plugins.hparams.api_pb2 import Status
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    plugin_data = end.value[0].metadata.plugin_data
    content = HParamsPluginData.FromString(plugin_data.content)
    content.session_end_info.status = Status.Value(status)
    plugin_data.content = content.SerializeToString()
    return end
