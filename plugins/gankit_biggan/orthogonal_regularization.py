"""Orthogonal regularization."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn

import gankit

TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
WITH_FILTERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, *TRANSPOSED)


class Orthogonal:
    """Orthogonal regularization of G without the diagonal (arXiv 1809.11096, eq. 3).

    Pushes the filters of each layer towards orthogonality and leaves their norms free. For each weight W with one
    filter per column, it adds beta times the squared Frobenius norm of the off-diagonal part of W^T W. For a layer with
    spectral norm or another parametrization, W is the trained parameter. Embeddings and normalization layers are not
    regularized.

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
    """The weights of all linear and convolutional layers as matrices [filters inputs]."""
    matrices = []
    for layer in network.modules():
        if isinstance(layer, WITH_FILTERS):
            parameters = dict(layer.named_parameters())
            weight = parameters.get("weight", parameters.get("parametrizations.weight.original"))
            assert weight is not None
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
