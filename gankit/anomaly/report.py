"""What broke a run: where, in which step, and on which images."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

from ..data.loader import Loader
from ..data.resize import to_uint8
from ..errors import GankitError
from ..files import whole_file
from ..interfaces import NotFinite
from ..sampling.image_grid import save_grid
from .locate_layer import NonFiniteValue

FOLDER = "not_finite"
MOST_SHOWN = 8  # indices in a sentence; the event and the file have all


@dataclass(frozen=True)
class AnomalyReport:
    """What a replay has shown.

    Attributes:
        seen: what the run noticed.
        since: the step from which it was played again.
        step: number of the step that broke; that of ``seen`` where the replay stayed whole.
        spot: where it broke; None where the replay stayed whole.
        batch: position in the data's order and length of the last batch that this step had drawn.
        indices: of its images in the data set.
        files: where that batch was written.
    """

    seen: NotFinite
    since: int
    step: int
    spot: NonFiniteValue | None
    batch: tuple[int, int] | None = None
    indices: tuple[int, ...] = ()
    files: tuple[str, ...] = ()

    def __str__(self) -> str:
        noticed = ", ".join(self.seen.names[:4]) + (", ..." if len(self.seen.names) > 4 else "")
        shown = ", ".join(map(str, self.indices[:MOST_SHOWN])) + (", ..." if len(self.indices) > MOST_SHOWN else "")
        file = self.files[0] if self.files else "no file"
        if self.since >= self.seen.step:
            return (
                f"{noticed} became NaN or infinite at step {self.seen.step:,}; the last checkpoint is of step "
                f"{self.since:,}, so that it cannot be played again. Let health look as often as checkpoints are "
                "written"
            )
        if self.spot is None:
            return (
                f"{noticed} became NaN or infinite at step {self.seen.step:,}; but the steps from {self.since + 1:,} "
                "on, played again, stayed finite: so it came from outside of the steps. Look at callbacks and at your "
                "own code between the steps; where there is none, test the machine's memory. The batch of that step, "
                f"images {shown} of the data set, is in {file} all the same"
            )
        return (
            f"in step {self.step:,}, {self.spot} (first noticed in {noticed}). The batch, images {shown} of the data "
            f"set, is in {file}. Try a lower learning rate, train.clip_gradient, "
            "or train.precision=fp32; look at the batch and at what divides, takes roots or logarithms in that layer"
        )

    def event(self, fatal: bool) -> dict[str, Any]:
        """For ``events.jsonl``; a fatal one ends the run, with an error that says the same."""
        spot = self.spot
        about = {} if spot is None else {"network": spot.network, "layer": spot.layer, "what": spot.what}
        figures = {
            "noticed_at_step": self.seen.step,
            "noticed_in": list(self.seen.names),
            "replayed_from_step": self.since,
            "broke_at_step": self.step if spot else None,
            **about,
            "indices": list(self.indices),
            "files": list(self.files),
        }
        about_it = {"finding": "not_finite", "message": f"{self}.", "figures": figures}
        return {"event": "finding", "step": self.step, **about_it, "fatal": fatal}


def with_batch(fault: AnomalyReport, loader: Loader, batch: tuple[int, int], directory: Path | None) -> AnomalyReport:
    """The same with its batch, which lies in a run directory then as a picture and as tensors; with None, nowhere."""
    indices = [int(index) for index in loader.order.at(*batch)[0]]
    drawn = loader.at(*batch)
    tensors = {"images": drawn.images.float().cpu().contiguous(), "indices": torch.tensor(indices)}
    if drawn.labels is not None:
        tensors["labels"] = drawn.labels.cpu()
    found = replace(fault, batch=batch, indices=tuple(indices))
    if directory is None:
        return found
    folder = directory / FOLDER
    stem = f"step-{fault.step:08d}"
    files = tuple(str(Path(FOLDER, stem + suffix)) for suffix in (".png", ".safetensors"))
    try:
        folder.mkdir(exist_ok=True)
        with whole_file(folder / f"{stem}.safetensors") as temporary:
            save_file(tensors, temporary)
        save_grid(to_uint8(tensors["images"]), folder / f"{stem}.png")
    except (OSError, SafetensorError, GankitError):  # a full disk must not hide what was found
        return found
    return replace(found, files=files)
