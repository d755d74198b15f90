"""Path length regularization.

Shapes: ``n`` images, ``c`` channels, ``h`` height, ``w`` width, ``l`` layers, ``s`` features of a style.
"""

from __future__ import annotations

import math
from typing import Annotated, Any

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn

import gankit

Weight = Annotated[gankit.Scheduled, Field(ge=0)]


class PathLength(nn.Module):
    """Path length regularization (arXiv 1912.04958, sec. 3.2, eq. 4).

    A fixed-size step in style space should change the image by the same amount everywhere. The path length is the norm
    of the gradient, with respect to the styles, of the dot product of the image and random noise; the mean square is
    taken over layers. The penalty is the squared difference between the path length and its running average. It is
    computed in full precision on part of the batch, with new latents and noise. With ``train.microbatch``, each
    microbatch updates the average.

    Args:
        weight: weight of the mean squared difference.
        interval: apply the penalty every ``interval`` turns of G.
        decay: weight of the new path lengths in the running average.
        batch_shrink: factor by which the batch is reduced.

    Raises:
        gankit.GankitError: G lacks ``styles(z, labels)`` [n l s] or ``synthesize(styles)`` [n c h w].
    """

    average: Tensor

    def __init__(
        self,
        *,
        weight: Weight = 2.0,
        interval: PositiveInt = 4,
        decay: Annotated[float, Field(gt=0, le=1)] = 0.01,
        batch_shrink: PositiveInt = 2,
    ) -> None:
        super().__init__()
        self.weight, self.interval, self.decay, self.batch_shrink = weight, interval, decay, batch_shrink
        self.register_buffer("average", torch.zeros(()))

    def fits(self, generator: nn.Module, output: object, image: gankit.ImageSpec) -> None:
        _with_styles(generator)

    def generator(self, turn: gankit.Turn) -> Tensor:
        network = _with_styles(turn.generator)
        count = max(1, len(turn.real) // self.batch_shrink)
        labels = None if turn.labels is None else turn.labels[:count]
        styles = network.styles(turn.draw_latents(count), labels)
        if not styles.requires_grad:  # the mapping network is frozen
            styles = styles.detach().requires_grad_()
        lengths = path_lengths(network.synthesize(styles), styles)
        with torch.no_grad():  # not in ``after``, which lazy penalties do not trigger
            self.average.lerp_(turn.mean(lengths.mean()).to(self.average.dtype), self.decay)
            average = self.average.to(lengths.dtype, copy=True)
        return self.weight * (lengths - average).square().mean()


def _with_styles(generator: nn.Module) -> Any:
    if not (hasattr(generator, "styles") and hasattr(generator, "synthesize")):
        raise gankit.GankitError(
            "regularizer 'path_length' needs a generator with styles(z, labels) and synthesize(styles), such as "
            f"stylegan2; {type(generator).__name__} lacks them: remove path_length from the regularizers"
        )
    return generator


def path_lengths(images: Tensor, styles: Tensor) -> Tensor:
    """Path lengths [n] of images [n c h w] generated from styles [n l s]."""
    noise = torch.randn_like(images) / math.sqrt(images.shape[2] * images.shape[3])
    (gradient,) = torch.autograd.grad((images * noise).sum(), styles, create_graph=True)
    return gradient.square().sum(dim=2).mean(dim=1).sqrt()
