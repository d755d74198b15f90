"""The callback ``wandb``: logs a run to Weights & Biases."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import PositiveInt

import gankit

from .recipe_settings import recipe_settings
from .run_id import RunId
from .tracker import END_SECONDS, Tracker

if TYPE_CHECKING:
    from PIL import Image

START_SECONDS = 20  # for the server to answer; then the run is logged offline


class WeightsAndBiases(Tracker):
    """Logs scalars, samples, scores, findings and the recipe to Weights & Biases.

    Scalars are those of ``metrics.jsonl``, as ``train/NAME``, over ``step``. Scores of the ``evaluate`` callback are
    ``scores/NAME``. A resumed run continues the run of Weights & Biases. If it returns to an earlier step, the steps
    that are trained again have two rows, of which the second one is valid.

    Everything is kept in the folder ``wandb`` of the run directory, from which ``wandb sync`` can send it later. A
    problem causes one notice. If the server cannot be reached at the start, or the account is unknown, the run is
    logged offline; if the network fails later, the client goes on trying.

    Args:
        every: steps between scalars, which are also logged at the first step and at the last.
        images_every: steps between grids of samples, which are also drawn at the first step and at the last.
        checkpoints: upload each checkpoint, as a version of an artifact.
        project: of the run.
        entity: the user or team that owns the project; null is the default of the account.
        mode: ``offline`` writes the folder only, ``disabled`` nothing; null takes ``WANDB_MODE`` of the environment,
            which is ``online`` by default.
    """

    name = "wandb"
    client = "wandb"

    def __init__(
        self,
        *,
        every: PositiveInt = 10,
        images_every: PositiveInt = 500,
        checkpoints: bool = False,
        project: str = "gankit",
        entity: str | None = None,
        mode: Literal["online", "offline", "disabled"] | None = None,
    ) -> None:
        super().__init__(every, images_every, checkpoints)
        self.project, self.entity, self.mode = project, entity, mode

    def _open(self, run: gankit.Run) -> WandbLog:
        self._run_id.value = self._run_id.value or secrets.token_hex(4)
        options = {
            "id": self._run_id.value,
            "resume": "allow",
            "name": run.directory.resolve().name,
            "project": self.project,
            "entity": self.entity,
            "mode": self.mode,
            "dir": str(run.directory),
            "config": recipe_settings(run.recipe),
        }
        return WandbLog(self._import_client(), self._run_id, options)


class WandbLog:
    """A run of Weights & Biases.

    Args:
        wandb: the client.
        run_id: of the run.
        options: of ``wandb.init``.
    """

    def __init__(self, wandb: Any, run_id: RunId, options: Mapping[str, Any]) -> None:
        self._wandb, self._run_id, self._options = wandb, run_id, options
        self._run: Any = None

    def start(self, step: int) -> str | None:
        if self._run is not None:  # its rows cannot be deleted, and new ones are added
            return None
        self._run_id.save(self._options["id"])
        # for the whole process, unless it uses the client already: it would ask on the terminal for a missing key
        self._wandb.setup(self._wandb.Settings(silent=True))
        problem, run_id, folder = None, self._options["id"], self._options["dir"]
        try:
            run = self._wandb.init(**self._options, settings=self._settings())
        except self._wandb.Error as error:
            command = f"wandb sync --id {run_id} {folder}/wandb/offline*"
            reason = gankit.one_line(error).rstrip(".")
            problem = f"the run is logged offline, for '{command}', because of this error: {reason}"
            # the failed attempt still holds the id
            offline: dict[str, Any] = {"mode": "offline", "id": f"{run_id}-offline"}
            run = self._wandb.init(**{**self._options, **offline}, settings=self._settings())
        run.config.update(self._options["config"], allow_val_change=True)  # a resumed run may have other settings
        run.define_metric("step", hidden=True)
        run.define_metric("*", step_metric="step")  # the client's own counter would refuse to return to a step
        self._run = run
        return problem

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        self._run.log({"step": step, **values})

    def image(self, step: int, name: str, image: Image.Image) -> None:
        self._run.log({"step": step, name: self._wandb.Image(image)})

    def note(self, step: int, name: str, text: str) -> None:
        self._run.log({"step": step, f"findings/{name}": text})

    def checkpoint(self, step: int, folder: Path) -> None:
        artifact = self._wandb.Artifact(f"checkpoint-{self._options['id']}", "model", metadata={"step": step})
        artifact.add_dir(str(folder))
        self._run.log_artifact(artifact, aliases=["latest", folder.name])

    def finish(self, step: int, ending: str, failed: bool) -> None:
        self._run.summary["ending"] = ending
        self._run.finish(exit_code=int(failed))

    def _settings(self) -> Any:
        return self._wandb.Settings(
            console="off",
            reinit="create_new",  # leaves other runs of this process alone
            init_timeout=START_SECONDS,
            finish_timeout=END_SECONDS - 5,
            finish_timeout_raises=True,
        )
