"""The interface between games and gankit: the keys of a recipe that a game may use, and the inputs of samples."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from .networks import GeneratorOutput

if TYPE_CHECKING:
    from torch import Tensor, nn

GAME_KEYS = (
    "loss",
    "regularizers",
    "augmentations",
    "train.discriminator_steps",
    "train.fresh_fakes",
    "train.joint_pass",
    "train.microbatch",
    "train.clip_gradient",
    "train.cuda_graphs",
)
"""The keys of a recipe that have an effect only if the game uses them."""

DISCRIMINATOR_KEYS = ("loss", "augmentations", "train.discriminator_steps", "train.fresh_fakes", "train.joint_pass")
"""The keys among them that have no effect in a game without a discriminator."""


class Inputs(Protocol):
    """The inputs that samples are generated from, for `gankit.Game.generate`: a mapping of names to values.

    It contains the latents ``z`` [n d], the ``labels`` [n] or [n v] (or None), and the fields of the data [n ...], on
    the device of the network. The random numbers of an image depend only on the seed and the index of the image.
    """

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """The shape ``(c, h, w)`` of the images that networks receive and generate."""

    def __len__(self) -> int:
        """The number of images to generate, ``n``."""

    def __getitem__(self, name: str) -> Any:
        """A value by name. Raises: KeyError: the input does not exist."""

    def normal(self, *shape: int) -> Tensor:
        """Normally distributed random numbers ``[n *shape]``, new ones in every call."""

    def uniform(self, *shape: int) -> Tensor:
        """Uniformly distributed random numbers ``[n *shape]`` in [0, 1), new ones in every call."""

    def full(self, value: float) -> Tensor:
        """A tensor [n] with ``value`` for each image."""

    def run(self, network: nn.Module, **options: Any) -> GeneratorOutput:
        """The output of one forward pass of a generator, with the inputs that its ``forward`` has as parameters."""
