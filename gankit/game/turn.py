"""One player's turn: what losses, regularizers and ``after`` see (the contract is `gankit.interfaces.Turn`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import copy
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import torch
from torch import Tensor

from ..interfaces import DiscriminatorOutput
from .noise import BatchNoise

if TYPE_CHECKING:
    from .compiled_networks import CompiledNetworks
    from .game import Fakes, Game

Player = Literal["discriminator", "generator"]
Side = Literal["real", "fake"]
T = TypeVar("T")


class PlayerTurn:
    """A turn of ``player`` on one batch.

    Args:
        game: the networks, augmentation and latents.
        player: whose turn it is.
        real: real images [n c h w] in [-1, 1].
        labels: [n], or None.
        images_seen: real images shown to D before this step.
        fakes: what G has already drawn for this turn; drawn when first asked for where None.
        leaves: whether penalties will want gradients with respect to the images.
        alone: whether such penalties are all that there is to descend.
        draws: its random numbers; its own where None.
    """

    def __init__(
        self,
        game: Game,
        player: Player,
        real: Tensor,
        labels: Tensor | None,
        images_seen: int,
        fakes: Fakes | None = None,
        leaves: bool = False,
        alone: bool = False,
        draws: BatchNoise | None = None,
    ) -> None:
        self._draws = draws or BatchNoise(game, len(real), labels)
        self.game, self.player, self.labels, self.images_seen = game, player, labels, images_seen
        self.generator, self.discriminator = game.generator, game.discriminator
        self.penalized, self.alone = leaves, alone
        self.leaves = leaves and player == "discriminator"
        self.real = real.detach().requires_grad_() if self.leaves else real
        self._head: int | None = None
        self._computed: dict[str, Any] = (
            {} if fakes is None else {"fakes": fakes}
        )  # shared by the views of single heads
        self._seen: dict[str, Tensor] = {}  # real and fake, augmented; shared likewise
        self._memories: dict[str, dict[str, Tensor]] = {}  # compiled D's, before it saw these

    @property
    def fake(self) -> Tensor:
        return self._once("fake", self._fake)

    @property
    def latents(self) -> Tensor:
        return self._drawn().latents

    @property
    def real_output(self) -> DiscriminatorOutput:
        return self._once("real_output", lambda: self._output("real"))

    @property
    def fake_output(self) -> DiscriminatorOutput:
        return self._once("fake_output", lambda: self._output("fake"))

    @property
    def real_logits(self) -> Tensor:
        return self._logits(self.real_output)

    @property
    def fake_logits(self) -> Tensor:
        return self._logits(self.fake_output)

    def discriminate(self, images: Tensor, labels: Tensor | None = None, augment: bool = True) -> DiscriminatorOutput:
        return self._judge(self.game.augment(images) if augment else images, labels)

    def draw_latents(self, count: int | None = None, labels: Tensor | None = None) -> Tensor:
        wanted = count or len(self.real)
        return self.game.draw_latents(wanted, self._labels_for(wanted) if labels is None else labels)

    def generate(self, latents: Tensor | None = None, labels: Tensor | None = None, count: int | None = None) -> Tensor:
        if labels is None:
            labels = self._labels_for(len(latents) if latents is not None else count or len(self.real))
        if latents is None:
            latents = self.draw_latents(count, labels)
        return self.game.run_generator(latents, labels)

    def uniform(self, *shape: int) -> Tensor:
        return self._draws.uniform(*shape)

    def gradient(self, images: Tensor) -> Tensor:
        images = images if images.requires_grad else images.detach().requires_grad_()
        side: Side | None
        side = "real" if images is self.real else "fake" if images is self._computed.get("fake") else None
        seen = self.game.augment(images) if side is None else self._augmented(side)
        if (gradient := self._compiled_gradient(seen, side)) is not None:
            return gradient if seen is images else torch.autograd.grad(seen, images, gradient, create_graph=True)[0]
        known = side is not None and self._compiled is None
        output = getattr(self, f"{side}_output") if known else self._judge(seen, as_it_is=True)
        total = torch.stack([head.sum() for head in heads_of(output)]).sum()
        return torch.autograd.grad(total, images, create_graph=True)[0]

    def mean(self, value: Tensor) -> Tensor:
        return self.game.engine.mean(value)

    def each_head(self) -> list[PlayerTurn]:
        """Views of this turn in which the logits are one head's."""
        # in D's turn the reals go first, as in the reference: BatchNorm's running statistics depend on the order
        count = len(heads_of(self.real_output if self.player == "discriminator" else self.fake_output))
        if count == 1:
            return [self]
        views = [copy(self) for _ in range(count)]
        for index, view in enumerate(views):
            view._head = index
        return views

    def computed(self, name: str) -> bool:
        """Whether ``real_output``, ``fake_output`` or ``fake`` has been computed."""
        return name in self._computed

    @classmethod
    def joined(cls, parts: list[PlayerTurn]) -> PlayerTurn:
        """The turn that was played in parts, with what all of them have computed, detached."""
        if len(parts) == 1:
            return parts[0]
        first = parts[0]
        labels = None if first.labels is None else torch.cat([part.labels for part in parts if part.labels is not None])
        whole = cls(
            first.game, first.player, torch.cat([part.real.detach() for part in parts]), labels, first.images_seen
        )
        for name in first._computed:
            whole._computed[name] = _concatenate([part._computed[name] for part in parts])
        return whole

    def _labels_for(self, count: int) -> Tensor | None:
        """The turn's labels, begun again where there are fewer than ``count``."""
        if self.labels is None:
            return None
        return self.labels[torch.arange(count, device=self.labels.device) % len(self.labels)]

    def _drawn(self) -> Fakes:
        graph = self.player == "generator"
        return self._once("fakes", lambda: self._draw(graph))

    def _draw(self, graph: bool) -> Fakes:
        return self.game.draw_fakes(len(self.real), self.labels, graph, self._draws.latents())

    def _fake(self) -> Tensor:
        images = self._drawn().images
        if self.player == "generator":
            return images
        return images.detach().requires_grad_(self.leaves)

    def _augmented(self, side: Side) -> Tensor:
        if side not in self._seen:
            self._seen[side] = self.game.augment(getattr(self, side))
        return self._seen[side]

    def _output(self, side: Side) -> DiscriminatorOutput:
        seen = self._augmented(side)
        if self.penalized and self._compiled is not None:
            self._memories[side] = self._compiled.memory()
        return self._judge(seen)

    @property
    def _compiled(self) -> CompiledNetworks | None:
        """What runs D in this turn, if not D as it is.

        What is compiled cannot be differentiated twice, and gives zeros where D has no gradient at all: in a turn of
        penalties alone, these would let the optimizer's momentum move what the penalty does not concern.
        """
        compiled = self.game.compiled
        as_it_is = compiled is None or self.alone or (self.penalized and not compiled.penalties)
        return None if as_it_is else compiled

    def _judge(self, seen: Tensor, labels: Tensor | None = None, as_it_is: bool = False) -> DiscriminatorOutput:
        """D's output for images already augmented."""
        compiled = None if as_it_is else self._compiled
        discriminator = self.game.discriminator if compiled is None else compiled.discriminator
        with self.game.engine.autocast():  # losses and penalties, which call this, run in full precision
            return discriminator(seen, self.labels if labels is None else labels)

    def _compiled_gradient(self, seen: Tensor, side: Side | None) -> Tensor | None:
        """The gradient with respect to images already augmented; None where only D as it is can give it."""
        compiled = self.game.compiled
        if compiled is None or (self.alone and f"{side}_output" in self._computed):
            return None
        loss_wants_output = side is not None and not self.alone
        with self.game.engine.autocast():
            found = compiled.gradient(seen, self.labels, self._memories.get(side or ""), loss_wants_output)
        if found is None:
            if self.penalized and self._memories:  # what was compiled before this was known is computed again
                compiled.remember(next(iter(self._memories.values())))
                for known in self._memories:
                    del self._computed[f"{known}_output"]
            return None
        gradient, output = found
        if loss_wants_output:
            self._computed.setdefault(f"{side}_output", output)
        return gradient

    def _once(self, name: str, compute: Callable[[], T]) -> T:
        if name not in self._computed:
            self._computed[name] = compute()
        return self._computed[name]  # type: ignore[no-any-return]

    def _logits(self, output: DiscriminatorOutput) -> Tensor:
        heads = heads_of(output)
        if self._head is not None:
            return heads[self._head]
        return heads[0] if len(heads) == 1 else torch.cat([h.reshape(len(h), -1) for h in heads], dim=1)


def heads_of(output: DiscriminatorOutput) -> list[Tensor]:
    """The logits of each head, fp32 at least."""
    logits = output["logits"] if isinstance(output, Mapping) else output
    heads = list(logits) if isinstance(logits, (list, tuple)) else [logits]
    return [head if head.dtype == torch.float64 else head.float() for head in heads]


def _concatenate(values: list[Any]) -> Any:
    """Batches of tensors, or of whatever holds tensors, as one batch."""
    first = values[0]
    if isinstance(first, Tensor):
        return torch.cat([value.detach() for value in values])
    if isinstance(first, Mapping):
        return {key: _concatenate([value[key] for value in values]) for key in first}
    joined = [_concatenate(list(items)) for items in zip(*values, strict=True)]
    return type(first)(*joined) if hasattr(first, "_fields") else joined
