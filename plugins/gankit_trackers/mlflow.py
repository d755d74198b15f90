"""The callback ``mlflow``: logs a run to MLflow."""

from __future__ import annotations

import logging
import os
import re
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import PositiveInt

import gankit

from .recipe_settings import Setting, recipe_settings
from .run_id import RunId
from .tracker import Tracker

if TYPE_CHECKING:
    from PIL import Image

MAX_BATCH = 100  # parameters in one request
MAX_NAME = 240  # characters
MAX_VALUE = 5000  # characters of a parameter or tag
ACTIVE = "active"  # the stage of what is not deleted
NO_URL = "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"


class MLflow(Tracker):
    """Logs scalars, samples, scores, findings and the recipe to MLflow.

    Scalars are those of ``metrics.jsonl``, as ``train/NAME``. Scores of the ``evaluate`` callback are ``scores/NAME``.
    Findings are tags. A resumed run continues the run of MLflow. If it returns to an earlier step, the steps that are
    trained again have two values, of which the later one is valid.

    A problem, such as an unreachable server, causes one notice. The client tries each record for a few minutes; then
    that record is lost, and the next one is tried. Records are also lost while more than 1000 are waiting.

    Args:
        every: steps between scalars, which are also logged at the first step and at the last.
        images_every: steps between grids of samples, which are also drawn at the first step and at the last.
        checkpoints: upload each checkpoint to the artifacts of the run.
        tracking_uri: of the server or the database; null takes ``MLFLOW_TRACKING_URI`` of the environment, or
            otherwise MLflow's default: the file ``mlflow.db`` in the working directory.
        experiment: which is created if missing.
    """

    name = "mlflow"
    client = "mlflow"

    def __init__(
        self,
        *,
        every: PositiveInt = 10,
        images_every: PositiveInt = 500,
        checkpoints: bool = False,
        tracking_uri: str | None = None,
        experiment: str = "gankit",
    ) -> None:
        super().__init__(every, images_every, checkpoints)
        self.tracking_uri, self.experiment = tracking_uri, experiment

    def _open(self, run: gankit.Run) -> MLflowLog:
        mlflow, name, settings = self._import_client(), run.directory.resolve().name, recipe_settings(run.recipe)
        return MLflowLog(mlflow, self._run_id, self.tracking_uri, self.experiment, name, settings)


class MLflowLog:
    """A run of MLflow.

    Args:
        mlflow: the module.
        run_id: of the run, if it has one.
        tracking_uri: None is the default of MLflow.
        experiment: its name.
        run_name: the name of a new run.
        settings: of the recipe.
    """

    def __init__(
        self,
        mlflow: Any,
        run_id: RunId,
        tracking_uri: str | None,
        experiment: str,
        run_name: str,
        settings: Mapping[str, Setting],
    ) -> None:
        self._mlflow, self._run_id, self._tracking_uri = mlflow, run_id, tracking_uri
        self._experiment, self._run_name, self._settings = experiment, run_name, settings
        self._client: Any = None
        self._id = ""

    def start(self, step: int) -> str | None:
        if self._client is not None:  # its values cannot be deleted, and new ones are added
            return None
        with quiet_thread():
            client = self._mlflow.MlflowClient(tracking_uri=self._tracking_uri)
            found = self._known_run(client)
            run = found or client.create_run(self._experiment_id(client), run_name=self._run_name)
            lost = self._run_id.value if found is None else None
            self._id = str(run.info.run_id)
            self._run_id.save(self._id)
            client.update_run(self._id, status="RUNNING")
            self._client = client
            self._log_settings(run.data.params)
        return lost and f"{client.tracking_uri} lacks the run {lost}, so that a new one was started there"

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        now, metric = int(time.time() * 1000), self._mlflow.entities.Metric
        with quiet_thread():
            metrics = [metric(valid(name), value, now, step) for name, value in values.items()]
            self._client.log_batch(self._id, metrics=metrics, synchronous=True)

    def image(self, step: int, name: str, image: Image.Image) -> None:
        with quiet_thread():
            self._client.log_image(self._id, image, key=name, step=step, synchronous=True)

    def note(self, step: int, name: str, text: str) -> None:
        with quiet_thread():
            self._set_tag(f"finding.{name}", f"step {step:,}: {text}")

    def checkpoint(self, step: int, folder: Path) -> None:
        with quiet_thread():
            self._client.log_artifacts(self._id, str(folder), f"checkpoints/{folder.name}")

    def finish(self, step: int, ending: str, failed: bool) -> None:
        status = "FAILED" if failed else "KILLED" if ending.startswith("SIG") else "FINISHED"
        with quiet_thread(), without_printed_url():
            self._set_tag("ending", ending)
            self._client.set_terminated(self._id, status)

    def _set_tag(self, name: str, value: str) -> None:
        self._client.set_tag(self._id, valid(name), value[:MAX_VALUE], synchronous=True)

    def _known_run(self, client: Any) -> Any:
        """The run with the known id; None if there is none, or if it was deleted."""
        if self._run_id.value is None:
            return None
        try:
            run = client.get_run(self._run_id.value)
            return run if run.info.lifecycle_stage == ACTIVE else None
        except self._mlflow.MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return None

    def _experiment_id(self, client: Any) -> str:
        """Raises: gankit.GankitError: the experiment was deleted."""
        if (found := client.get_experiment_by_name(self._experiment)) is None:
            try:
                return str(client.create_experiment(self._experiment))
            except self._mlflow.MlflowException:  # another run may have created it just now
                if (found := client.get_experiment_by_name(self._experiment)) is None:
                    raise
        if found.lifecycle_stage != ACTIVE:
            raise gankit.GankitError(
                f"the experiment {self._experiment!r} was deleted; restore it, or set `experiment` to another one"
            )
        return str(found.experiment_id)

    def _log_settings(self, known: Mapping[str, str]) -> None:
        """Log the recipe as parameters. Those of a resumed run cannot be changed: their new values become tags."""
        values = {valid(name): str(value)[:MAX_VALUE] for name, value in self._settings.items()}
        new = [self._mlflow.entities.Param(name, value) for name, value in values.items() if name not in known]
        for start in range(0, len(new), MAX_BATCH):
            self._client.log_batch(self._id, params=new[start : start + MAX_BATCH], synchronous=True)
        for name, value in values.items():
            if known.get(name, value) != value:
                self._set_tag(f"recipe.{name}", value)


def valid(name: str) -> str:
    """A name that MLflow accepts: a relative path of some characters, none of whose parts begins with a dot."""
    parts = re.sub(r"[^\w. :/-]", "_", name[:MAX_NAME], flags=re.ASCII).split("/")
    return "/".join(stripped for part in parts if (stripped := part.lstrip("."))) or "_"


class ThreadFilter(logging.Filter):
    """Drops the messages of the thread that creates it."""

    def __init__(self) -> None:
        super().__init__()
        self._thread = threading.get_ident()

    def filter(self, record: logging.LogRecord) -> bool:
        return record.thread != self._thread


@contextmanager
def quiet_thread() -> Iterator[None]:
    """A block in which the messages of MLflow in this thread, and of the libraries it uses, are not printed."""
    handlers = [handler for handler in (*logging.getLogger("mlflow").handlers, logging.lastResort) if handler]
    quiet = ThreadFilter()
    for handler in handlers:
        handler.addFilter(quiet)
    try:
        yield
    finally:
        for handler in handlers:
            handler.removeFilter(quiet)


@contextmanager
def without_printed_url() -> Iterator[None]:
    """A block in which the client does not print the address of a run that ends."""
    before = os.environ.get(NO_URL)
    os.environ[NO_URL] = "true"
    try:
        yield
    finally:
        if before is None:
            del os.environ[NO_URL]
        else:
            os.environ[NO_URL] = before
