"""A checkpoint to share, with what its run directory records about it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import GankitError
from ..evaluation.evaluation_log import read_evaluations
from ..evaluation.generated_images import locate
from ..evaluation.record import Evaluation
from ..events import Evaluated
from ..messages import quote
from ..recipe.model import Recipe
from ..runs.checkpoint import Checkpoint, find_checkpoint
from ..runs.file_names import EVALUATIONS, EVENTS, RECIPE
from ..runs.json_lines import read_log
from ..runs.resolve_source import resolve_source
from ..runtime import Runtime
from ..sampling.trained_generator import TrainedGenerator

ON_HUB = {  # datasets of gankit, by their names on the Hub
    "cifar10": "uoft-cs/cifar10",
    "mnist": "ylecun/mnist",
    "fashion_mnist": "zalando-datasets/fashion_mnist",
}
HUB_DATASET = re.compile(r"[\w-][\w.-]*(/[\w-][\w.-]*)?")
OWN_FILES = {"path", "image", "source"}  # parameters of datasets of files, or of other datasets


@dataclass(frozen=True)
class SharedModel:
    """A checkpoint to share.

    Attributes:
        checkpoint: the checkpoint to share.
        generator: its generator.
        license: of the weights, such as ``mit``; None if it is unknown.
        recipe: of its run; None outside of a run.
        evaluations: of its weights.
    """

    checkpoint: Checkpoint
    generator: TrainedGenerator
    license: str | None
    recipe: Recipe | None
    evaluations: Sequence[Evaluation]

    @property
    def takes_images(self) -> bool:
        """Whether the generator makes its images from other images."""
        return any(len(spec.shape) == 3 for spec in self.generator.sampling.specs.values())

    @property
    def hub_dataset(self) -> str | None:
        """The dataset's name on the Hub, where that is known."""
        data = self._innermost_dataset
        if isinstance(data, Mapping) and data["name"] == "huggingface":
            return self.dataset
        return ON_HUB.get(self.dataset or "")

    @property
    def _innermost_dataset(self) -> Any:
        """The dataset in the recipe, or the one that it wraps: its name and parameters, or its name alone."""
        data: Any = None if self.recipe is None else self.recipe.dataset.model_dump()
        while isinstance(data, Mapping) and (inner := data.get("dataset")):
            data = inner
        return data

    @property
    def dataset(self) -> str | None:
        """The name of the dataset in the recipe, or of the one that it wraps; None for the user's own files."""
        data = self._innermost_dataset
        if not isinstance(data, Mapping):
            return None if data is None else str(data)
        if data["name"] == "huggingface":
            path = str(data["path"])
            return path if HUB_DATASET.fullmatch(path) and not Path(path).exists() else None
        if OWN_FILES & data.keys():
            return None
        return str(data.get("set") or data["name"])  # of torchvision


def open_shared_model(source: str | Path, license: str | None, runtime: Runtime) -> SharedModel:
    """The model of a run or checkpoint.

    Args:
        source: a run directory (its newest checkpoint), a checkpoint, or another source (`gankit.sources`).
        license: as the user gives it. That of imported weights stays.
        runtime: loads the generator.

    Raises:
        GankitError: no checkpoint is valid, or the licenses differ.
    """
    checkpoint = Checkpoint.open(find_checkpoint(resolve_source(source).path))
    _, run = locate(checkpoint.path)
    evaluations = [] if run is None else _evaluations_of(checkpoint, run)
    return SharedModel(
        checkpoint,
        runtime.load_generator(checkpoint),
        _license(checkpoint, license),
        None if run is None else Recipe.load(run / RECIPE),
        evaluations,
    )


def _license(checkpoint: Checkpoint, given: str | None) -> str | None:
    """Raises: GankitError: imported weights have another license."""
    imported = checkpoint.manifest.get("imported")
    found = imported.get("license") if isinstance(imported, Mapping) else None
    if not found:
        return given
    if given is not None and given.lower() != str(found).lower():
        raise GankitError(
            f"{checkpoint.path}: these weights were imported under the license {quote(found)}, which also holds for "
            f"copies of them; remove --license {given}"
        )
    return str(found)


def _evaluations_of(checkpoint: Checkpoint, run: Path) -> list[Evaluation]:
    """The evaluations of these weights.

    Those during training do not name the weights. A run that returned to an earlier step may have evaluated another
    generator at this step. Its ``events.jsonl`` keeps only the events of the steps that led to the
    present state, and thus the scores of these weights.
    """
    events = [record for record in read_log(run / EVENTS) if record.get("event") == Evaluated.kind]
    trained = [record.get("scores") for record in events if record.get("step") == checkpoint.step]
    files = checkpoint.manifest["files"].values()
    found = []
    for evaluation in read_evaluations(run / EVALUATIONS):
        source = evaluation.evaluated
        during = source.kind == "training" and source.step == checkpoint.step and dict(evaluation.scores) in trained
        if during or source.weights in files:
            found.append(evaluation)
    return found
