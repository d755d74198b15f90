"""The adversarial game: D tells real images from generated ones, G learns to be taken for real (arXiv 1406.2661).

A step reads top-down here, and nothing in it waits for the device.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn

from ..interfaces import Batch, Latent, Loss, Scalars
from .noise import BatchNoise
from ..device.engine import Engine
from ..interfaces import Player
from .turn import PlayerTurn

if TYPE_CHECKING:
    from .compiled_networks import CompiledNetworks
    from ..training.train_state import TrainState


class Fakes(NamedTuple):
    """Generated images [n c h w] in [-1, 1] and the latents [n d] that made them."""

    images: Tensor
    latents: Tensor


@dataclass
class Game:
    """Everything that a step plays with; where it stands is in `TrainState`.

    Attributes:
        regularizers: by the name under which their value is reported.
        augmentations: applied in this order to all that D sees.
        random: draws the latents; seeded anew each step.
        compiled: runs the networks in their place, where the recipe says ``train.compile``.
        rules: plays the steps; may follow turns like other components.
    """

    generator: nn.Module
    discriminator: nn.Module
    latent: Latent
    loss: Loss
    regularizers: dict[str, Any]
    augmentations: Sequence[nn.Module]
    engine: Engine
    random: torch.Generator
    discriminator_steps: int = 1
    fresh_fakes: bool = False
    microbatch: int | None = None
    clip_gradient: float | None = None
    compiled: CompiledNetworks | None = None
    rules: Any = None

    @contextmanager
    def step_scope(self, seed: int, step: int) -> Iterator[None]:
        """Where step number ``step`` of a run is played."""
        compiled = nullcontext() if self.compiled is None else self.compiled.step()
        with self.engine.step_scope(seed, step) as own, compiled:
            self.random.manual_seed(own)
            yield

    def draw_latents(self, count: int, labels: Tensor | None) -> Tensor:
        """Latents [n d] of the step's own randomness: this process's share of what one alone would draw."""
        processes = self.engine.processes
        whole = self.latent.sample(count * processes.world_size, processes.whole(labels), self.random)
        return processes.share(whole).to(self.engine.dtype)

    def draw_uniform(self, count: int, *shape: int) -> Tensor:
        """Numbers [n *shape] from [0, 1) likewise."""
        processes, where = self.engine.processes, self.random.device
        whole = count * processes.world_size
        return processes.share(torch.rand(whole, *shape, generator=self.random, device=where, dtype=self.engine.dtype))

    def draw_fakes(self, count: int, labels: Tensor | None, graph: bool, latents: Tensor | None = None) -> Fakes:
        """Fakes from these latents or fresh ones, with or without the graph that G's turn needs."""
        latents = self.draw_latents(count, labels) if latents is None else latents
        with nullcontext() if graph else torch.no_grad():
            return Fakes(self.run_generator(latents, labels), latents)

    def run_generator(self, latents: Tensor, labels: Tensor | None) -> Tensor:
        """G's images [n c h w], fp32 at least."""
        with self.engine.autocast():
            images = (self.compiled or self).generator(latents, labels)
        return images.to(self.engine.dtype)  # type: ignore[no-any-return]

    def augment(self, images: Tensor) -> Tensor:
        """What D sees of ``images``; never in bf16, whose 8 bits of mantissa would show."""
        if self.augmentations:
            with self.engine.full_precision():
                for augmentation in self.augmentations:
                    images = augmentation(images)
        return images


class Adversarial:
    """The usual game: ``discriminator_steps`` turns of D, then one of G."""

    def step(self, game: Game, batches: Iterator[Batch], state: TrainState) -> Scalars:
        """One update of G."""
        return adversarial_step(game, batches, state)


def adversarial_step(game: Game, batches: Iterator[Batch], state: TrainState) -> Scalars:
    """One update of G. The last fakes that D saw serve G's turn too: one generator forward less."""
    scalars: Scalars = {}
    for turn in range(game.discriminator_steps):
        batch = next(batches)
        shared = None
        if turn == game.discriminator_steps - 1 and not game.fresh_fakes and game.microbatch is None:
            shared = game.draw_fakes(len(batch.images), batch.labels, graph=True)
        scalars |= take_turn(game, state, "discriminator", batch, shared)
    with frozen(game.discriminator):
        scalars |= take_turn(game, state, "generator", batch, shared)
    return scalars


def take_turn(game: Game, state: TrainState, player: Player, batch: Batch, shared: Fakes | None) -> Scalars:
    """One player's turn: its loss and the penalties that are due, then each lazy penalty by itself."""
    due = due_regularizers(game, player, state.turns[player])
    joined = {name: r for name, r in due.items() if r.interval == 1}
    scalars = descend(game, state, player, batch, shared, joined, with_loss=True)
    reusable = shared if player == "discriminator" else None  # G's graph is spent by now
    for name, regularizer in due.items():
        if regularizer.interval > 1:
            scalars |= descend(game, state, player, batch, reusable, {name: regularizer}, scale=regularizer.interval)
    state.turns[player] += 1
    return scalars


def due_regularizers(game: Game, player: Player, turn: int) -> dict[str, Any]:
    """The regularizers of ``player`` whose interval has come round in its turn number ``turn``."""
    return {name: r for name, r in game.regularizers.items() if hasattr(r, player) and turn % r.interval == 0}


def descend(
    game: Game,
    state: TrainState,
    player: Player,
    batch: Batch,
    shared: Fakes | None,
    regularizers: dict[str, Any],
    with_loss: bool = False,
    scale: float = 1.0,
) -> Scalars:
    """One optimizer step of ``player`` on the sum of its terms, each multiplied by ``scale``."""
    network, optimizer = getattr(game, player), state.optimizers[player]
    parameters = [p for p in network.parameters() if p.requires_grad]
    optimizer.zero_grad(set_to_none=True)
    sums: Scalars = {}
    turns: list[PlayerTurn] = []
    draws, begin = BatchNoise(game, len(batch.images), batch.labels), 0
    for part in split(batch, game.microbatch):
        own, begin = draws.part(begin, len(part.images)), begin + len(part.images)
        share = len(part.images) / len(batch.images)
        # one context a turn, so that casts of the weights are shared; what is not a network leaves it again
        with game.engine.autocast(), game.engine.full_precision():
            turn = PlayerTurn(game, player, *part, state.images, shared, bool(regularizers), not with_loss, own)
            # before the loss, for a compiled penalty gives the logits of its images too
            penalties = {
                name if one_sided(regularizer) else f"{player}_{name}": getattr(regularizer, player)(turn)
                for name, regularizer in regularizers.items()
            }
            terms = ({f"{player}_loss": loss_term(game.loss, turn)} if with_loss else {}) | penalties
        total = torch.stack([term.reshape(()) for term in terms.values()]).sum()
        (total * (scale * share)).backward(inputs=parameters)
        for name, value in (terms | (logit_means(turn) if with_loss else {})).items():
            sums[name] = sums.get(name, 0) + value.detach() * share
        turns.append(turn)
    game.engine.processes.average_gradients(parameters)
    if game.clip_gradient is not None:
        torch.nn.utils.clip_grad_norm_(parameters, game.clip_gradient)
    optimizer.step()
    if with_loss:
        sums |= after(game, turns)
    return game.engine.means(sums)


def one_sided(regularizer: Any) -> bool:
    """Whether it has a term for one player alone, which its name then says enough about."""
    return not (hasattr(regularizer, "discriminator") and hasattr(regularizer, "generator"))


def loss_term(loss: Loss, turn: PlayerTurn) -> Tensor:
    """The player's loss: evaluated once a head of D, and summed."""
    side: Callable[[PlayerTurn], Tensor] = getattr(loss, turn.player)
    return torch.stack([side(view).reshape(()) for view in turn.each_head()]).sum()


def logit_means(turn: PlayerTurn) -> Scalars:
    """D's mean output on the reals and fakes of its own turn."""
    if turn.player == "generator":
        return {}
    seen = [side for side in ("real", "fake") if turn.computed(f"{side}_output")]
    return {f"{side}_logits": getattr(turn, f"{side}_logits").mean() for side in seen}


def after(game: Game, parts: list[PlayerTurn]) -> Scalars:
    """Let every component that has ``after`` follow the turn just taken, whole even where it was played in parts.

    Returns:
        The figures that they gave of themselves.
    """
    figures: Scalars = {}
    components = (
        game.loss,
        *game.regularizers.values(),
        *game.augmentations,
        game.latent,
        game.generator,
        game.discriminator,
        game.rules,
    )
    followers = [component for component in components if hasattr(component, "after")]
    if followers:
        with torch.no_grad():
            whole = PlayerTurn.joined(parts)
            for component in followers:
                figures |= component.after(whole) or {}
    return figures


def split(batch: Batch, size: int | None) -> list[Batch]:
    """The batch in parts of at most ``size`` images."""
    if size is None or size >= len(batch.images):
        return [batch]
    images = batch.images.split(size)
    labels = batch.labels.split(size) if batch.labels is not None else [None] * len(images)
    return [Batch(*part) for part in zip(images, labels, strict=True)]


@contextmanager
def frozen(network: nn.Module) -> Iterator[None]:
    """No gradients for the network's parameters; those that had none to begin with stay so afterwards."""
    trained = [p for p in network.parameters() if p.requires_grad]
    for parameter in trained:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in trained:
            parameter.requires_grad_(True)
