"""Orthogonal regularization."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn

import gankit

TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
WITH_FILTERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, *TRANSPOSED)
PARAMETRIZED = "parametrizations.weight.original"
TRAINED_WEIGHTS = ("weight", PARAMETRIZED, f"{PARAMETRIZED}1", "weight_orig", "weight_v")  # ...1 is of weight norm


class Orthogonal:
    """Orthogonal regularization of G without the diagonal (arXiv 1809.11096, eq. 3).

    Pushes the filters of each layer towards orthogonality and leaves their norms free. For each weight W with one
    filter per column, it adds beta times the squared Frobenius norm of the off-diagonal part of W^T W. For a layer with
    spectral norm or another parametrization, W is the trained parameter. Embeddings and normalization layers are not
    regularized, and neither are linear layers of other classes, such as those of StyleGAN2. Do not use it for networks
    that scale their weights in each forward pass, such as StyleGAN2 and R3GAN: their trained parameters are large, and
    the penalty would outweigh the loss.

    Args:
        beta: weight of the penalty.
        interval: apply the penalty every ``interval`` turns of G.
    """

    def __init__(self, *, beta: Annotated[gankit.Scheduled, Field(ge=0)] = 1e-4, interval: PositiveInt = 1) -> None:
        self.beta, self.interval = beta, interval

    def generator(self, turn: gankit.Turn) -> Tensor:
        penalties = [off_diagonal(weight) for weight in filters(turn.generator)]
        return self.beta * torch.stack(penalties).sum() if penalties else turn.real.new_zeros(())


def filters(network: nn.Module) -> list[Tensor]:
    """The weights of all linear and convolutional layers as matrices [filters inputs].

    Raises:
        gankit.GankitError: a layer has no trained weight.
    """
    matrices = []
    for path, layer in network.named_modules():
        if isinstance(layer, WITH_FILTERS):
            parameters = dict(layer.named_parameters())
            weight = next((parameters[name] for name in TRAINED_WEIGHTS if name in parameters), None)
            if weight is None:
                found = ", ".join(parameters) or "no parameters"
                raise gankit.GankitError(
                    f"regularizer 'orthogonal' finds no trained weight in layer {path!r}, a {type(layer).__name__}, "
                    f"but {found}; remove the regularizer"
                )
            matrices.append((weight.transpose(0, 1) if isinstance(layer, TRANSPOSED) else weight).flatten(1))
    return matrices


def off_diagonal(matrix: Tensor) -> Tensor:
    """Sum of the squared dot products of all ordered pairs of different rows of [filters inputs]."""
    rows, columns = matrix.shape
    if rows <= columns:
        products = matrix @ matrix.t()
        return (products - torch.diag(products.diagonal())).square().sum()
    # The same sum from the smaller Gram matrix. Cancellation is harmless: more rows than columns are never orthogonal.
    return (matrix.t() @ matrix).square().sum() - matrix.square().sum(dim=1).square().sum()
