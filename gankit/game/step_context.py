"""The networks and components that a training step works with.

Shapes: ``n`` images of the batch, ``c`` channels, ``h`` height, ``w`` width, ``d`` latent dimensions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ..device.compute_mode import FASTEST, ComputeMode
from ..device.engine import Engine
from ..device.recordings import Recordings
from ..distributed.processes import Processes
from ..injection import forward_names, select_arguments
from ..interfaces import Batch, DiscriminatorOutput, GeneratorOutput, Latent, Loss, Player
from .compiled_networks import CompiledNetworks
from .outputs import concatenate, images_of, in_full_precision
from .players import Players
from .returned_values import require_latents

IMAGES, LABELS = "images", "labels"

PhaseHook = Callable[[str], None]
"""Called at the end of each phase of a step with the phase's name, for profiling."""


class Fakes(NamedTuple):
    """Generated images [n c h w] in [-1, 1], the latents [n d] they were generated from, and all that G returned.

    ``number`` counts the draws for several turns in one step, from 1; 0 for other fakes.
    """

    images: Tensor
    latents: Tensor
    generated: GeneratorOutput
    number: int = 0


def tensors_of(batch: Batch) -> dict[str, Tensor]:
    """The tensors of a batch by name, for `batch_of`."""
    labels = {} if batch.labels is None else {LABELS: batch.labels}
    return {IMAGES: batch.images, **labels, **{f"fields.{name}": tensor for name, tensor in batch.fields.items()}}


def batch_of(tensors: Mapping[str, Tensor]) -> Batch:
    """The batch with these tensors."""
    fields = {name.removeprefix("fields."): tensor for name, tensor in tensors.items() if name.startswith("fields.")}
    return Batch(tensors[IMAGES], tensors.get(LABELS), fields)


def network_arguments(names: Sequence[str], batch: Batch, **inputs: Tensor) -> list[Any]:
    """The arguments of a network by their names: its inputs, and the images, labels and fields of a batch."""
    return select_arguments(names, {"image": batch.images, "labels": batch.labels, **batch.fields, **inputs})


def concatenated(batches: Sequence[Batch]) -> Batch:
    """Several batches as one."""
    return batch_of(concatenate([tensors_of(batch) for batch in batches]))


@dataclass
class StepContext(Players):
    """Everything a training step works with, except for its progress, which is in `gankit.State`.

    Attributes:
        players: the network of each player.
        loss: of both players; None in a game of one player.
        regularizers: by the name under which their value is reported.
        augmentations: applied in this order to all images that D sees.
        engine: how this process computes.
        random: generator of the latents, seeded again for each step.
        processes: the processes that share each batch.
        discriminator_steps: D's turns per step.
        fresh_fakes: generate new fakes for G's turn instead of using the last ones that D saw.
        joint_pass: run D once on reals, fakes and the images of a regularizer together in its turn.
        microbatch: the largest part of a batch that is computed at once; None for the whole batch.
        clip_gradient: the maximum norm of a player's gradient; None for no clipping.
        compiled: compiled networks, with ``train.compile``.
        recordings: of the turns, with ``train.cuda_graphs``.
        modes: how each network computes; a missing one computes in the fastest way.
        game: the registered `gankit.Game`; outside of a run, None.
        fields: the names of the further fields of the data, which networks may ask for.
        end_phase: called at the end of each phase of a step.
    """

    players: Mapping[Player, nn.Module]
    latent: Latent
    loss: Loss | None
    regularizers: dict[str, Any]
    augmentations: Sequence[nn.Module]
    engine: Engine
    random: torch.Generator
    processes: Processes
    discriminator_steps: int = 1
    fresh_fakes: bool = False
    joint_pass: bool = False
    microbatch: int | None = None
    clip_gradient: float | None = None
    compiled: CompiledNetworks | None = None
    recordings: Recordings | None = None
    modes: Mapping[Player, ComputeMode] = field(default_factory=dict)
    game: Any = None
    fields: Sequence[str] = ()
    end_phase: PhaseHook = lambda phase: None

    def __post_init__(self) -> None:
        self._names: dict[Player, tuple[str, ...]] = {}
        self._draws = 0  # of fakes for several turns, in this step

    @contextmanager
    def step_scope(self, seed: int, step: int) -> Iterator[None]:
        """The random state and the settings of step number ``step``."""
        compiled = nullcontext() if self.compiled is None else self.compiled.step()
        with self.engine.step_scope(seed, step) as latent_seed, compiled:
            self.random.manual_seed(latent_seed)
            self._draws = 0
            yield

    @contextmanager
    def eager(self) -> Iterator[None]:
        """Run the networks eagerly inside the block, for code that hooks into their layers or counts operations."""
        compiled = nullcontext() if self.compiled is None else torch.compiler.set_stance("force_eager")
        with compiled, nullcontext() if self.recordings is None else self.recordings.paused():
            yield

    def draw_latents(self, count: int, labels: Tensor | None) -> Tensor:
        """Latents [n d] for this rank: its share of those that a single process would draw."""
        processes = self.processes
        total = count * processes.world_size
        latents = self.latent.sample(total, processes.all_gather(labels), self.random)
        require_latents(latents, total, self.random.device)
        return processes.local_rows(latents).to(self.engine.dtype)

    def draw_numbers(self, draw: Callable[..., Tensor], count: int, *shape: int) -> Tensor:
        """Numbers [n *shape] of `torch.rand` or `torch.randn` for this rank: its share of those of a single process."""
        rows, like = count * self.processes.world_size, {"device": self.random.device, "dtype": self.engine.dtype}
        return self.processes.local_rows(draw(rows, *shape, generator=self.random, **like))

    def draw_fakes(self, batch: Batch, graph: bool, latents: Tensor | None = None) -> Fakes:
        """Fakes for the labels and fields of a batch, from ``latents`` or from new ones.

        ``graph`` keeps the autograd graph, which G's turn needs.
        """
        latents = self.draw_latents(len(batch.images), batch.labels) if latents is None else latents
        with nullcontext() if graph else torch.no_grad():
            generated = self.run_generator(latents, batch)
        return Fakes(images_of(generated), latents, generated)

    def draw_fakes_for_turns(self, batch: Batch, graph: bool) -> Fakes:
        """The same as `draw_fakes`, recorded with ``train.cuda_graphs``; the next step overwrites recorded fakes."""
        if self.recordings is None:
            return self.draw_fakes(batch, graph)
        self._draws += 1  # several fakes of one step have recordings of their own
        number = self._draws

        def draw(inputs: Mapping[str, Tensor], recording: bool) -> Fakes:
            return self.draw_fakes(batch_of(inputs), graph)._replace(number=number)

        return self.recordings.run(("fakes", number, graph), tensors_of(batch), draw)[0]

    def run_generator(self, latents: Tensor, batch: Batch) -> GeneratorOutput:
        """G's output for the labels and fields of a batch, in fp32 at least."""
        return self.run(self.generator, *self.arguments("generator", batch, z=latents))

    def run(self, network: nn.Module, *inputs: Any) -> Any:
        """A network's output in fp32 at least, with the run's precision; G is compiled with ``train.compile``."""
        mode = self.mode_of(network)
        compiled = None if network is not self.generator else self.compiled  # D may be differentiated twice
        function = network if compiled is None else compiled.generator
        with self.engine.autocast(mode):
            output = function(*map(mode.in_layout, inputs))
        return in_full_precision(output, self.engine.dtype)

    def run_discriminator(self, images: Tensor, batch: Batch, mode: ComputeMode) -> DiscriminatorOutput:
        """D's output for augmented images [n c h w] and the labels and fields of a batch, eagerly, in a mode."""
        with self.engine.autocast(mode):
            values = self.arguments("discriminator", batch, images=images)
            return self.discriminator(*(mode.in_layout(value) for value in values))

    def arguments(self, player: Player, batch: Batch, **inputs: Tensor) -> list[Any]:
        """The arguments of a player's network: its inputs, and those of the batch's labels and fields it asks for."""
        if player not in self._names:
            self._names[player] = forward_names(player, self.players[player], self.fields)
        return network_arguments(self._names[player], batch, **inputs)

    def mode(self, player: Player) -> ComputeMode:
        """How the player's network computes."""
        return self.modes.get(player, FASTEST)

    @property
    def penalty_mode(self) -> ComputeMode:
        """How D computes where it is differentiated with respect to images: not in fp16.

        The loss scaler does not scale these gradients, and they would underflow.
        """
        mode = self.mode("discriminator")
        return replace(mode, precision="fp32") if self.engine.precision == "fp16" else mode

    def mode_of(self, network: nn.Module) -> ComputeMode:
        """How a network computes: as the player's that it is a part of, if any."""
        owners = (player for player, own in self.players.items() if any(network is part for part in own.modules()))
        owner = next(owners, None)
        return FASTEST if owner is None else self.mode(owner)

    def augment(self, images: Tensor) -> Tensor:
        """The images as D sees them. Turns call it in full precision: D could see the rounding errors of bf16."""
        for augmentation in self.augmentations:
            images = augmentation(images)
        return images
