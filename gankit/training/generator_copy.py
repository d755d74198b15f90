"""A copy of the generator that is being trained, in a network of its own."""

from __future__ import annotations

from pathlib import Path

import torch

from ..networks.frozen import frozen_networks
from ..sampling.trained_generator import TrainedGenerator
from .network_copies import build_again
from .scheduled_parameters import ComponentSchedule
from .setup import TrainingSetup


class GeneratorCopy(TrainedGenerator):
    """A generator with the weights of a run at its last `update`.

    It is built like a generator from a checkpoint, because the last bits of its images depend on the memory layout of
    its weights.
    """

    def __init__(self, setup: TrainingSetup, device: torch.device, ema: bool, directory: Path) -> None:
        self._setup = setup
        selected = setup.checked["generator"]
        network = build_again(lambda: selected.build(**setup.constructor_values), device)
        network.to(device).eval().requires_grad_(False)
        ours, theirs = (frozen_networks({"generator": part}) for part in (network, setup.state.generator))
        for name, frozen in ours.items():
            frozen.load(theirs[name].weights())
        super().__init__(
            network, setup.sampling.on(device), setup.classes, directory, ema=ema and setup.state.ema is not None
        )
        self._schedule = ComponentSchedule(network, selected.params)

    def update(self) -> None:
        """Copy the current weights and scheduled parameters of the run."""
        state = self._setup.state
        source = state.sampling_network if self.ema else state.generator
        self.module.load_state_dict(source.state_dict())
        self._schedule.advance(state.images)
