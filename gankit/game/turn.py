"""One player's turn: what losses, regularizers and ``after`` see. The interface is `gankit.Turn`."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from copy import copy
from dataclasses import replace
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from ..device.recordings import REMEDY
from ..errors import GankitError
from ..interfaces import Batch, DiscriminatorOutput, GeneratorOutput, Player
from ..networks.nested_tensors import map_tensors
from .discriminator_calls import Side, discriminator_of_turn
from .noise import BatchNoise
from .outputs import all_logits, concatenate, heads_of, images_of
from .step_context import Fakes, StepContext, concatenated

T = TypeVar("T")


class PlayerTurn:
    """A turn of ``player`` on one batch.

    Args:
        context: the networks, augmentations and latents.
        player: whose turn it is.
        batch: real images [n c h w] in [-1, 1] and their labels [n] or None.
        images_seen: real images used for training before this step; None in a recording, where it is not constant.
        fakes: images that G has generated for this turn; None generates them on first use.
        noise: random numbers of the batch; None draws new ones.
        loss: whether the turn computes the player's loss.
        penalties: whether it computes regularizers. In D's turn, ``real`` and ``fake`` then require gradients.
    """

    def __init__(
        self,
        context: StepContext,
        player: Player,
        batch: Batch,
        *,
        images_seen: int | None,
        fakes: Fakes | None = None,
        noise: BatchNoise | None = None,
        loss: bool = True,
        penalties: bool = False,
    ) -> None:
        self._batch = batch
        real, self.labels = batch.images, batch.labels
        self.context, self.player, self._images_seen = context, player, images_seen
        self._loss, self._penalties = loss, penalties
        self._needs_input_gradients = penalties and player == "discriminator"
        self.real = real.detach().requires_grad_() if self._needs_input_gradients else real
        self._noise = noise or BatchNoise(context, len(real), self.labels)
        self._is_joint = context.joint_pass and player == "discriminator" and loss
        self._discriminator = discriminator_of_turn(context, batch, loss=loss, penalties=penalties)
        # shared by the views of single heads
        self._generated: dict[str, Any] = {} if fakes is None else {"fakes": fakes}
        self._augmented: dict[Side, Tensor] = {}
        self._head: int | None = None
        self._over = False

    @property
    def generator(self) -> nn.Module:
        return self.context.generator

    @property
    def discriminator(self) -> nn.Module:
        return self.context.discriminator

    @property
    def images_seen(self) -> int:
        if self._images_seen is None:
            raise GankitError(
                f"train.cuda_graphs: a term reads turn.images_seen, which a recorded turn cannot follow; {REMEDY}"
            )
        return self._images_seen

    @property
    def fake(self) -> Tensor:
        return self._once("fake", self._fake_for_player)

    @property
    def generated(self) -> GeneratorOutput:
        output = self._fakes().generated
        return output if self.player == "generator" else map_tensors(output, torch.Tensor.detach)

    @property
    def latents(self) -> Tensor:
        return self._fakes().latents

    @property
    def real_output(self) -> DiscriminatorOutput:
        return self._output("real")

    @property
    def fake_output(self) -> DiscriminatorOutput:
        return self._output("fake")

    @property
    def real_logits(self) -> Tensor:
        return self._logits(self.real_output)

    @property
    def fake_logits(self) -> Tensor:
        return self._logits(self.fake_output)

    def __getitem__(self, name: str) -> Tensor:
        return self._batch[name]

    def discriminate(self, images: Tensor, labels: Tensor | None = None, augment: bool = True) -> DiscriminatorOutput:
        batch = None if labels is None and len(images) == len(self.real) else self._batch_of(len(images), labels)
        images = self.context.augment(images) if augment else images
        # a term that differentiates with respect to images needs a graph of these images only
        if self._awaits_joint_pass and torch.is_grad_enabled() and not images.requires_grad:
            return self._discriminate_jointly((images, batch or self._batch))[0]
        return self._discriminator.discriminate(images, batch)

    def draw_latents(self, count: int | None = None, labels: Tensor | None = None) -> Tensor:
        count = count or len(self.real)
        return self.context.draw_latents(count, self._batch_of(count, labels).labels)

    def generate(self, latents: Tensor | None = None, labels: Tensor | None = None, count: int | None = None) -> Tensor:
        batch = self._batch_of(len(latents) if latents is not None else count or len(self.real), labels)
        if latents is None:
            latents = self.context.draw_latents(len(batch.images), batch.labels)
        return images_of(self.context.run_generator(latents, batch))  # type: ignore[no-any-return]

    def uniform(self, *shape: int) -> Tensor:
        return self._noise.uniform(*shape)

    def normal(self, *shape: int) -> Tensor:
        return self._noise.normal(*shape)

    def run(self, network: nn.Module, *inputs: Any) -> Any:
        return self.context.run(network, *inputs)

    def gradient(self, images: Tensor) -> Tensor:
        images = images if images.requires_grad else images.detach().requires_grad_()
        side: Side | None = None
        if images is self.real:
            side = "real"
        elif images is self._generated.get("fake"):
            side = "fake"
        augmented = self.context.augment(images) if side is None else self._augment(side)
        return self._discriminator.gradient(images, augmented, side)

    def judged_by(self, discriminator: nn.Module, real: Tensor, fake: Tensor) -> PlayerTurn:
        context = replace(self.context, players={**self.context.players, "discriminator": discriminator}, compiled=None)
        return PlayerTurn(
            context,
            self.player,
            replace(self._batch, images=real),
            images_seen=self._images_seen,
            fakes=Fakes(fake, self._noise.latents(), fake),
            noise=self._noise,
            loss=self._loss,
            penalties=self._penalties,
        )

    def mean(self, value: Tensor) -> Tensor:
        return self.context.processes.mean(value)

    def gather(self, rows: Tensor) -> Tensor:
        gathered = self.context.processes.all_gather(rows.detach())
        assert gathered is not None  # rows were given
        return gathered

    def each_head(self) -> list[PlayerTurn]:
        """Views of this turn whose logits are those of a single head of D."""
        # D's turn asks for the reals first, as the reference does: BatchNorm's running statistics depend on the order
        count = len(heads_of(self.real_output if self.player == "discriminator" else self.fake_output))
        if count == 1:
            return [self]
        views = [copy(self) for _ in range(count)]
        for index, view in enumerate(views):
            view._head = index
        return views

    def has_output(self, side: Side) -> bool:
        """Whether D's output for the turn's own ``real`` or ``fake`` images has been computed."""
        return side in self._discriminator.outputs

    def detach(self) -> None:
        """Free the autograd graph of D's outputs."""
        outputs = self._discriminator.outputs
        outputs.update({side: map_tensors(output, torch.Tensor.detach) for side, output in outputs.items()})

    def replayed(self, images_seen: int) -> PlayerTurn:
        """This turn in a step that replays its recording. What is computed from it does not change this one."""
        turn = copy(self)
        turn._images_seen = images_seen
        turn._generated, turn._augmented = {**self._generated}, {**self._augmented}
        turn._noise = self._noise.copied()
        turn._discriminator = copy(self._discriminator)
        turn._discriminator.outputs = {**self._discriminator.outputs}
        return turn

    @classmethod
    def joined(cls, parts: list[PlayerTurn]) -> PlayerTurn:
        """The turn of the whole batch, for ``after``.

        The results of several microbatches are concatenated and detached. A single one is returned as it is.
        """
        first = parts[0]
        if len(parts) == 1:
            first._over = True
            return first
        batch = concatenated([part._batch for part in parts])
        whole = cls(first.context, first.player, batch, images_seen=first._images_seen)
        whole._over = True
        whole._generated = concatenate([part._generated for part in parts])
        whole._discriminator.outputs = concatenate([part._discriminator.outputs for part in parts])
        return whole

    def _batch_of(self, count: int, labels: Tensor | None) -> Batch:
        """``count`` rows of the turn's batch, repeated from the start where it is larger; with ``labels`` if given."""
        batch = self._batch
        if count != len(batch.images):
            batch = batch.rows(torch.arange(count, device=batch.images.device) % len(batch.images))
        return batch if labels is None else replace(batch, labels=labels)

    def _fakes(self) -> Fakes:
        graph = self.player == "generator"
        return self._once("fakes", lambda: self.context.draw_fakes(self._batch, graph, self._noise.latents()))

    def _fake_for_player(self) -> Tensor:
        images = self._fakes().images
        if self.player == "generator":
            return images
        return images.detach().requires_grad_(self._needs_input_gradients)

    def _augment(self, side: Side) -> Tensor:
        if side not in self._augmented:
            with self._with_graph():
                self._augmented[side] = self.context.augment(getattr(self, side))
        return self._augmented[side]

    def _output(self, side: Side) -> DiscriminatorOutput:
        if not self.has_output(side):
            with self._with_graph():
                if self._awaits_joint_pass:
                    self._discriminate_jointly()
                else:
                    self._discriminator.discriminate(self._augment(side), side=side)
        return self._discriminator.outputs[side]

    @property
    def _awaits_joint_pass(self) -> bool:
        return self._is_joint and not self._discriminator.outputs

    def _discriminate_jointly(self, *further: tuple[Tensor, Batch]) -> list[DiscriminatorOutput]:
        """Run D on the turn's own batches and further images with their batches; return its outputs for the latter."""
        own = [(self._augment("real"), self._batch), (self._augment("fake"), self._batch)]
        return self._discriminator.discriminate_jointly([*own, *further])[len(own) :]

    def _once(self, name: str, compute: Callable[[], T]) -> T:
        if name not in self._generated:
            with self._with_graph():
                self._generated[name] = compute()
        return self._generated[name]  # type: ignore[no-any-return]

    def _with_graph(self) -> AbstractContextManager[None]:
        """Enables gradients for a value that the turn keeps: a term may need them later."""
        return nullcontext() if self._over else torch.enable_grad()

    def _logits(self, output: DiscriminatorOutput) -> Tensor:
        return all_logits(output) if self._head is None else heads_of(output)[self._head]
