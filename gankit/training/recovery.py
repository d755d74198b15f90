"""When a figure is not finite: go back to where all was whole, play the steps again, and find out what broke."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ..data.resize import to_uint8
from ..errors import GankitError
from ..files import whole_file
from ..interfaces import NotFinite
from ..pictures import save_grid
from .magnifier import FoundError, Spot, magnified

if TYPE_CHECKING:
    from .trainer import Trainer

FOLDER = "not_finite"
MOST_SHOWN = 8  # indices in a sentence; the event and the file have all


class Beginning:
    """A run's first state, kept in memory until there is a checkpoint: it is read like one.

    Args:
        networks: whose weights are copied.
        state: what a checkpoint would hold beside them.
    """

    path = None

    def __init__(self, networks: Mapping[str, nn.Module], state: Mapping[str, Any]) -> None:
        self._networks = {
            name: {key: tensor.detach().to("cpu", copy=True) for key, tensor in network.state_dict().items()}
            for name, network in networks.items()
        }
        self._state = copy.deepcopy(dict(state))

    def load_network(self, name: str, network: nn.Module) -> None:
        network.load_state_dict(self._networks[name])

    def load_state(self) -> dict[str, Any]:
        return copy.deepcopy(self._state)


@dataclass(frozen=True)
class Fault:
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
    spot: Spot | None
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


def investigate(trainer: Trainer, seen: NotFinite) -> Fault:
    """Play again what led to ``seen``, from the last state that was whole; the trainer stays where that ends.

    Several processes do so together, and come to the same; the first alone writes files.
    """
    state = trainer.state
    trainer.rewind()
    since = state.step
    if since >= seen.step:
        return Fault(seen, since, seen.step, None)
    while state.step < seen.step - 2:  # a weight may have broken in the step before the one that showed it
        trainer.step()
    try:
        with magnified(trainer.parts.game, state) as see:
            while state.step < seen.step:
                see(trainer.step())
    except FoundError as found:
        at = trainer.drawn
        fault = Fault(seen, since, state.step + 1, found.spot, at)
        return fault if at is None else _with_batch(trainer, fault, *at)
    fault = Fault(seen, since, seen.step, None, trainer.drawn)
    return fault if trainer.drawn is None else _with_batch(trainer, fault, *trainer.drawn)


def not_finite_in(networks: Mapping[str, nn.Module]) -> str | None:
    """The first weight, or statistic of a BatchNorm, that must not be saved; other buffers may hold what they like."""
    for side, network in networks.items():
        tensors: dict[str, Tensor] = dict(network.named_parameters())
        for name, module in network.named_modules():
            if isinstance(module, _BatchNorm):
                tensors |= {f"{name}.{key}": buffer for key, buffer in module.named_buffers(recurse=False)}
        for name, tensor in tensors.items():
            if not bool(tensor.isfinite().all()):
                return f"{side} {name}"
    return None


def _with_batch(trainer: Trainer, fault: Fault, position: int, length: int) -> Fault:
    """The same with its batch on the disk: as a picture, and as tensors."""
    loader = trainer.parts.loader
    indices = [int(index) for index in loader.order.at(position, length)[0]]
    batch = loader.at(position, length)
    tensors = {"images": batch.images.float().cpu().contiguous(), "indices": torch.tensor(indices)}
    if batch.labels is not None:
        tensors["labels"] = batch.labels.cpu()
    found = replace(fault, indices=tuple(indices))
    if not trainer.leads:
        return found
    folder = trainer.directory / FOLDER
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
