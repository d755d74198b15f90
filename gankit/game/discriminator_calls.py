"""How a turn runs D and differentiates it: eagerly, or compiled.

Shapes: ``n`` images of the batch, ``c`` channels, ``h`` height, ``w`` width. All images here are augmented already.
"""

from __future__ import annotations

from functools import partial
from itertools import accumulate, pairwise
from typing import Literal

import torch
from torch import Tensor

from ..device.compute_mode import ComputeMode
from ..interfaces import Batch, DiscriminatorOutput
from ..networks.nested_tensors import map_tensors
from .compiled_networks import Buffers, CompiledNetworks
from .outputs import total_of_logits
from .step_context import StepContext, concatenated

Side = Literal["real", "fake"]
"""The two batches of a turn, whose outputs of D are computed once."""

SIDES: tuple[Side, ...] = ("real", "fake")


def discriminator_of_turn(
    context: StepContext, batch: Batch, *, loss: bool, penalties: bool
) -> EagerDiscriminator | CompiledDiscriminator:
    """Choose how a turn on this batch runs D, eagerly or compiled, by whether it computes a loss and penalties."""
    if context.compiled is None:
        return EagerDiscriminator(context, batch)
    return CompiledDiscriminator(context, batch, context.compiled, loss, penalties)


class EagerDiscriminator:
    """D in one turn, in the precision of the run; losses and penalties, which call it, run in full precision.

    In an fp16 run, D's gradients with respect to images are computed in fp32. The loss shares these outputs.

    Attributes:
        outputs: D's outputs for the turn's own batches that have been computed.
    """

    def __init__(self, context: StepContext, batch: Batch) -> None:
        self.outputs: dict[Side, DiscriminatorOutput] = {}
        self._context, self._batch = context, batch
        self._modes: dict[Side, ComputeMode] = {}  # in which the outputs were computed

    def discriminate(
        self,
        images: Tensor,
        batch: Batch | None = None,
        side: Side | None = None,
        mode: ComputeMode | None = None,
    ) -> DiscriminatorOutput:
        """D's output for images [n c h w]; computed once for each ``side``.

        Args:
            images: augmented.
            batch: with their labels and fields; None is the turn's.
            side: which of the turn's own batches they are; None for others.
            mode: how D computes; None for its own.
        """
        if side is not None and side in self.outputs:
            return self.outputs[side]
        mode = mode or self._context.mode("discriminator")
        output = self._run(images, self._batch if batch is None else batch, side, mode)
        if side is not None:
            self.outputs[side], self._modes[side] = output, mode
        return output

    def discriminate_jointly(self, parts: list[tuple[Tensor, Batch]]) -> list[DiscriminatorOutput]:
        """D's output for each part, in one forward pass.

        Args:
            parts: augmented images with the batch that has their labels and fields. The first two parts are the turn's
                own reals and fakes.
        """
        mode = self._context.mode("discriminator")
        images = torch.cat([images for images, _ in parts])
        output = self.discriminate(images, concatenated([batch for _, batch in parts]), mode=mode)
        ends = [*accumulate(len(images) for images, _ in parts)]
        outputs = [map_tensors(output, partial(_rows, *rows)) for rows in pairwise([0, *ends])]
        for side, own in zip(SIDES, outputs, strict=False):
            self.outputs[side], self._modes[side] = own, mode
        return outputs

    def gradient(self, images: Tensor, augmented: Tensor, side: Side | None = None) -> Tensor:
        """The gradient [n c h w] of D's summed logits on ``augmented`` with respect to ``images``; differentiable."""
        mode = self._context.penalty_mode
        if side is not None and self._modes.get(side, mode) != mode:
            self.outputs.pop(side, None)  # of the loss, in fp16
        return _differentiate(self.discriminate(augmented, side=side, mode=mode), images)

    def _run(self, images: Tensor, batch: Batch, side: Side | None, mode: ComputeMode) -> DiscriminatorOutput:
        return self._context.run_discriminator(images, batch, mode)


class CompiledDiscriminator(EagerDiscriminator):
    """D in one turn, compiled where its derivatives allow it.

    Compiled functions cannot be differentiated twice. They also return zeros where D has no gradient at all, which
    would let the optimizer's momentum move parameters that a penalty does not depend on. So turns of penalties alone
    run D eagerly, and so do turns with penalties whose gradient cannot be compiled.
    """

    def __init__(
        self, context: StepContext, batch: Batch, compiled: CompiledNetworks, loss: bool, penalties: bool
    ) -> None:
        super().__init__(context, batch)
        self._compiled, self._loss, self._penalties = compiled, loss, penalties
        self._buffers: dict[Side, Buffers] = {}  # D's buffers before it saw each batch

    def discriminate_jointly(self, parts: list[tuple[Tensor, Batch]]) -> list[DiscriminatorOutput]:
        if not self._penalties:
            return super().discriminate_jointly(parts)
        # the compiled gradient needs D's buffers from before each batch
        own = [self.discriminate(*part, side) for part, side in zip(parts, SIDES, strict=False)]
        return [*own, *(self.discriminate(*part) for part in parts[len(own) :])]

    def gradient(self, images: Tensor, augmented: Tensor, side: Side | None = None) -> Tensor:
        compiled = None if not self._loss and side in self.outputs else self._gradient(augmented, side)
        if compiled is not None:
            if augmented is images:
                return compiled
            return torch.autograd.grad(augmented, images, compiled, create_graph=True)[0]
        if side is not None and self._runs_eagerly:
            return super().gradient(images, augmented, side)
        return _differentiate(super()._run(augmented, self._batch, None, self._context.penalty_mode), images)

    @property
    def _runs_eagerly(self) -> bool:
        return not self._loss or (self._penalties and not self._compiled.supports_penalties)

    def _run(self, images: Tensor, batch: Batch, side: Side | None, mode: ComputeMode) -> DiscriminatorOutput:
        if self._runs_eagerly:
            return super()._run(images, batch, side, mode)
        if side is not None and self._penalties:
            self._buffers[side] = self._compiled.copy_buffers()
        with self._context.engine.autocast(mode):
            return self._compiled.discriminator(*self._context.arguments("discriminator", batch, images=images))

    def _gradient(self, augmented: Tensor, side: Side | None) -> Tensor | None:
        """The compiled gradient with respect to ``augmented``; None if D's gradient cannot be compiled."""
        with_output = side is not None and self._loss
        buffers = None if side is None else self._buffers.get(side)
        with self._context.engine.autocast(self._context.penalty_mode):
            arguments = self._context.arguments("discriminator", self._batch, images=augmented)
            found = self._compiled.gradient(arguments, buffers, with_output)
        if found is not None:
            gradient, output = found
            if side is not None and with_output:
                self.outputs.setdefault(side, output)
            return gradient
        if self._penalties and self._buffers:  # compiled outputs of this turn cannot serve penalties: run them again
            self._compiled.restore_buffers(next(iter(self._buffers.values())))
            for known in self._buffers:
                del self.outputs[known]
            self._buffers.clear()
        return None


def _rows(start: int, end: int, tensor: Tensor) -> Tensor:
    """These rows of an entry of D's output; one without a batch axis as it is."""
    return tensor[start:end] if tensor.dim() else tensor


def _differentiate(output: DiscriminatorOutput, images: Tensor) -> Tensor:
    return torch.autograd.grad(total_of_logits(output), images, create_graph=True)[0]
