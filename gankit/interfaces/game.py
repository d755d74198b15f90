"""What games use: the keys of a recipe that concern them, and what samples are generated from."""

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
    "train.microbatch",
    "train.clip_gradient",
)
"""The keys of a recipe that have an effect only if the game uses them."""

DISCRIMINATOR_KEYS = ("loss", "augmentations", "train.discriminator_steps", "train.fresh_fakes")
"""Those that no game without a discriminator uses."""


class Inputs(Protocol):
    """What samples are generated from, for `gankit.Game.generate`: a mapping of what networks may ask for by name.

    These are the latents ``z`` [n d], the ``labels`` [n] or [n v], or None, and the fields of the data [n ...], on the
    device of the network. Every random number depends on the seed and the number of the image alone.
    """

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """The shape ``(c, h, w)`` of an image as the networks see it."""

    def __len__(self) -> int:
        """The number of images to generate, ``n``."""

    def __getitem__(self, name: str) -> Any:
        """A value by name. Raises: KeyError: samples do not have it."""

    def normal(self, *shape: int) -> Tensor:
        """Normal numbers [n *shape], new ones in every call."""

    def uniform(self, *shape: int) -> Tensor:
        """Uniform numbers [n *shape] in [0, 1), new ones in every call."""

    def full(self, value: float) -> Tensor:
        """``value`` for each image: [n]."""

    def run(self, network: nn.Module, **options: Any) -> GeneratorOutput:
        """The output of a generator for these inputs, with those that its ``forward`` asks for."""
