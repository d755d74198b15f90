"""The report of a NaN or infinity: the step, the layer and the batch of images that it comes from."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from ..data.loader import Loader
from ..data.resize import to_uint8
from ..errors import GankitError
from ..events import Finding
from ..files import output_file, save_safetensors
from ..interfaces import NotFinite
from ..runs.file_names import NOT_FINITE, WEIGHTS_SUFFIX, checkpoint_name
from ..sampling.image_grid import save_grid
from .locate_layer import NonFiniteValue

MAX_SHOWN = 8  # indices in the message; the event and the file have all of them


@dataclass(frozen=True)
class AnomalyReport:
    """The result of replaying the steps that led to a NaN or infinity.

    Attributes:
        noticed: the value that the run noticed.
        replayed_from: the step that the replay started from.
        step: the step that produced the first NaN or infinity; that of ``noticed`` if the replay stayed finite.
        value: the first value; None if the replay stayed finite.
        batch: position in the data order and length of the last batch that the step used.
        indices: of the batch's images in the dataset.
        files: the files that the batch was written to, relative to the run directory.
    """

    noticed: NotFinite
    replayed_from: int
    step: int
    value: NonFiniteValue | None
    batch: tuple[int, int] | None = None
    indices: tuple[int, ...] = ()
    files: tuple[str, ...] = ()

    def __str__(self) -> str:
        noticed = ", ".join(self.noticed.names[:4]) + (", ..." if len(self.noticed.names) > 4 else "")
        shown = ", ".join(map(str, self.indices[:MAX_SHOWN])) + (", ..." if len(self.indices) > MAX_SHOWN else "")
        file = self.files[0] if self.files else "no file"
        if self.replayed_from >= self.noticed.step:
            return (
                f"{noticed} became NaN or infinite at step {self.noticed.step:,}. The last checkpoint is of step "
                f"{self.replayed_from:,}, so the step cannot be replayed. Let health check as often as checkpoints "
                "are written"
            )
        if self.value is None:
            return (
                f"{noticed} became NaN or infinite at step {self.noticed.step:,}, but a replay of the steps from "
                f"{self.replayed_from + 1:,} stayed finite: the cause is outside the steps. Check the callbacks and "
                "your own code between the steps; if there is none, test the machine's memory. The batch of that "
                f"step, images {shown} of the dataset, is in {file}"
            )
        return (
            f"in step {self.step:,}, {self.value} (first noticed in {noticed}). The batch, images {shown} of the "
            f"dataset, is in {file}. Try a lower learning rate, train.clip_gradient, or train.precision=fp32; "
            "inspect the batch, and divisions, roots and logarithms in that layer"
        )

    def finding(self, fatal: bool) -> Finding:
        """The event for the log; a fatal one ends the run with an error that has the same message."""
        value = self.value
        place = {} if value is None else {name: getattr(value, name) for name in ("network", "layer", "what")}
        figures: dict[str, Any] = {
            "noticed_at_step": self.noticed.step,
            "noticed_in": list(self.noticed.names),
            "replayed_from_step": self.replayed_from,
            "broke_at_step": self.step if value else None,
            **place,
            "indices": list(self.indices),
            "files": list(self.files),
        }
        return Finding("not_finite", f"{self}.", figures, step=self.step, fatal=fatal)


def with_batch(report: AnomalyReport, loader: Loader, batch: tuple[int, int], directory: Path | None) -> AnomalyReport:
    """The report with its batch, which is written to the run directory as an image grid and as tensors.

    Args:
        report: without a batch.
        loader: of the run.
        batch: position in the data order and length.
        directory: of the run; None writes nothing.
    """
    indices = [int(index) for index in loader.order.at(*batch)[0]]
    report = replace(report, batch=batch, indices=tuple(indices))
    if directory is None:
        return report
    images, labels = loader.at(*batch)
    tensors = {"images": images.float().cpu().contiguous(), "indices": torch.tensor(indices)}
    if labels is not None:
        tensors["labels"] = labels.cpu()
    stem = Path(NOT_FINITE, checkpoint_name(report.step))
    grid, file = f"{stem}.png", f"{stem}{WEIGHTS_SUFFIX}"
    try:
        with output_file(directory / file) as temporary:
            save_safetensors(tensors, temporary)
        pictures = images if loader.codec is None else loader.codec.decode(images)
        save_grid(to_uint8(pictures.cpu()), directory / grid)
    except GankitError:  # a full disk must not hide the finding
        return report
    return replace(report, files=(grid, file))
