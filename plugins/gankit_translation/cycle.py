"""The regularizers of CycleGAN (arXiv 1703.10593), for a G that translates in both directions."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import NonNegativeFloat
from torch import Tensor, nn
from torch.nn import functional as F

import gankit

from .layers import require_no_running_averages

DIRECTIONS = ("to_image", "to_source")


class TwoDirections(gankit.Regularizer):
    """A regularizer of a generator with the networks ``to_image`` and ``to_source``."""

    def fits(self, generator: nn.Module, output: object, image: gankit.ImageSpec) -> None:
        """Raises: ValueError: G lacks one of the networks."""
        if missing := [name for name in DIRECTIONS if not hasattr(generator, name)]:
            raise ValueError(
                f"needs a generator with the networks {' and '.join(DIRECTIONS)}, such as two_translators; "
                f"{type(generator).__name__} lacks {missing[0]}"
            )


class Cycle(TwoDirections):
    """Cycle consistency (arXiv 1703.10593, equation 2): the mean absolute error of translating there and back.

    G returns the translations of the images to sources as ``sources``.

    Args:
        weight: of the sum over both directions; the paper's lambda.
    """

    def __init__(self, *, weight: NonNegativeFloat = 10.0) -> None:
        self.weight = weight

    def generator(self, turn: gankit.Turn) -> Tensor:
        """The error of the images plus that of the sources."""
        networks, made = turn.generator, turn.generated
        assert isinstance(made, Mapping)
        images = turn.run(networks.to_image, made["sources"])  # type: ignore[arg-type]
        sources = turn.run(networks.to_source, turn.fake)  # type: ignore[arg-type]
        return self.weight * (F.l1_loss(images, turn.real) + F.l1_loss(sources, turn["source"]))


class Identity(TwoDirections):
    """Identity mapping (arXiv 1703.10593, section 5.2): each network keeps images of its own target domain.

    It keeps the colors of translations near those of the input.

    Args:
        weight: of the sum over both directions; the paper uses half of the weight of ``cycle``.
    """

    def __init__(self, *, weight: NonNegativeFloat = 5.0) -> None:
        self.weight = weight

    def fits(self, generator: nn.Module, output: object, image: gankit.ImageSpec) -> None:
        """Raises: ValueError: G lacks one of the networks, or has running averages."""
        super().fits(generator, output, image)
        require_no_running_averages(generator, "identity")

    def generator(self, turn: gankit.Turn) -> Tensor:
        """The mean absolute changes of the images and of the sources.

        Raises:
            gankit.GankitError: images and sources have different numbers of channels.
        """
        networks, source = turn.generator, turn["source"]
        if source.shape[1] != turn.real.shape[1]:
            raise gankit.GankitError(
                "identity needs images and sources with equal numbers of channels; these have "
                f"{turn.real.shape[1]} and {source.shape[1]}"
            )
        images = turn.run(networks.to_image, turn.real)  # type: ignore[arg-type]
        sources = turn.run(networks.to_source, source)  # type: ignore[arg-type]
        return self.weight * (F.l1_loss(images, turn.real) + F.l1_loss(sources, source))
