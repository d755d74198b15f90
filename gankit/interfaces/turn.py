"""A turn: the object that losses, regularizers and games receive."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Protocol

from .networks import DiscriminatorOutput, GeneratorOutput

if TYPE_CHECKING:
    import torch
    from torch import Tensor

Player = Literal["discriminator", "generator"]
PLAYERS: tuple[Player, ...] = ("generator", "discriminator")


Scalars = dict[str, "Tensor"]
"""The scalars of a step by name: detached 0-d tensors on the device. Converting one to a number waits for the device.
"""


class Turn(Protocol):
    """A turn is one update of one player on one batch. Losses, regularizers and ``after`` receive it.

    With ``train.microbatch``, the turn covers one microbatch in losses and regularizers, and the whole batch in
    ``after``. With several processes, it covers the part of the batch in this process. ``fake``, the logits and the
    outputs are computed on first use and then cached.
    """

    player: Player
    """The player whose turn it is."""
    images_seen: int
    """The number of real images that the run has used before this step."""

    @property
    def generator(self) -> torch.nn.Module:
        """G. Calling it directly ignores precision and compilation; use `generate` or `run`."""

    @property
    def discriminator(self) -> torch.nn.Module:
        """D. Calling it directly ignores precision and compilation; use `discriminate` or `run`.

        Raises:
            GankitError: the game has no discriminator.
        """

    @property
    def real(self) -> Tensor:
        """Real images [n c h w] in [-1, 1], before augmentation."""

    @property
    def fake(self) -> Tensor:
        """Generated images [n c h w], before augmentation; detached from G in D's turn."""

    @property
    def generated(self) -> GeneratorOutput:
        """G's complete return value for ``fake``, in fp32 or fp64; detached from G in D's turn."""

    @property
    def latents(self) -> Tensor:
        """The latents [n d] that ``fake`` was generated from."""

    @property
    def labels(self) -> Tensor | None:
        """The labels of ``real`` and ``fake``, [n] or, if they are vectors, [n v]; None if the run is unconditional."""

    def __getitem__(self, name: str) -> Tensor:
        """A field of the data, such as ``turn["source"]``: images [n c h w] in [-1, 1] or vectors [n v].

        It also returns tensors that a game has added with `Batch.replace`, and the real images as ``turn["image"]``.

        Raises:
            KeyError: the field does not exist.
        """

    @property
    def real_logits(self) -> Tensor:
        """D's logits for the augmented ``real``, in fp32 or fp64.

        In a loss, they are the logits of one head [n ...]. In regularizers and ``after``, they are the logits of all
        heads: those of a single head [n ...], or those of several heads, flattened and concatenated to [n m], where m
        is the number of logits for each image.
        """

    @property
    def fake_logits(self) -> Tensor:
        """D's logits for the augmented ``fake``, in the form of ``real_logits``."""

    @property
    def real_output(self) -> DiscriminatorOutput:
        """D's complete return value for the augmented ``real``: all heads, in the precision of D."""

    @property
    def fake_output(self) -> DiscriminatorOutput:
        """D's complete return value for the augmented ``fake``: all heads, in the precision of D."""

    def discriminate(self, images: Tensor, labels: Tensor | None = None, augment: bool = True) -> DiscriminatorOutput:
        """Run D with the run's precision and compilation.

        Args:
            images: [n c h w] in [-1, 1].
            labels: [n]; None uses the labels of the turn.
            augment: whether to augment the images first.
        """

    def draw_latents(self, count: int | None = None, labels: Tensor | None = None) -> Tensor:
        """Draw new latents [count d].

        Args:
            count: the number of latents; None draws as many as ``real`` has images.
            labels: [count]; None uses the labels of the turn, repeated if ``count`` is larger.
        """

    def generate(self, latents: Tensor | None = None, labels: Tensor | None = None, count: int | None = None) -> Tensor:
        """Generate images [n c h w] with an autograd graph.

        Args:
            latents: [n d]; None draws new ones.
            labels: [n]; None uses the labels of the turn, repeated where there are more latents.
            count: the number of new latents; None draws as many as ``real`` has images.
        """

    def uniform(self, *shape: int) -> Tensor:
        """Draw new uniformly distributed random numbers ``[n *shape]`` in [0, 1), one set for each image.

        Unlike numbers from `torch.rand`, they do not depend on how the batch is split into microbatches or over
        processes.
        """

    def normal(self, *shape: int) -> Tensor:
        """The same as `uniform`, with normally distributed numbers ``[n *shape]``."""

    def run(self, network: torch.nn.Module, *inputs: Any) -> Any:
        """Run a network with the run's precision. With ``train.compile``, G is compiled.

        Calling the network directly computes in fp32.

        Args:
            network: any module, such as a teacher.
            inputs: its arguments, passed by position.

        Returns:
            Its output, in fp32 or fp64: a tensor, or a list or mapping of tensors.
        """

    def gradient(self, images: Tensor) -> Tensor:
        """The gradient [n c h w] of D's summed logits with respect to ``images``, through the augmentations.

        The sum is over all logits of all heads. The result can be differentiated again. Use this method for gradient
        penalties: it works with compiled networks, and for ``turn.real`` and ``turn.fake`` it shares D's forward pass
        with the loss.

        Args:
            images: [n c h w] before augmentation.
        """

    def judged_by(self, discriminator: torch.nn.Module, real: Tensor, fake: Tensor) -> Turn:
        """This turn with another discriminator, for games whose D holds several.

        A loss that is called with it compares these images by the logits of this discriminator.

        Args:
            discriminator: a part of D that maps images, and what else its ``forward`` asks for, to logits.
            real: images [n c h w] in [-1, 1], one for each image of the batch.
            fake: images of the same shape.
        """

    def mean(self, value: Tensor) -> Tensor:
        """The mean of a tensor over all processes, differentiable."""

    def gather(self, rows: Tensor) -> Tensor:
        """The rows of a tensor [n ...] from all processes, in the same order as in a single-process run, detached.

        All processes receive the same tensor, for games that keep state such as a queue. Every process must call this
        method. In ``after``, the rows are those of the whole batch. In losses and other terms, they are those of one
        microbatch.
        """
