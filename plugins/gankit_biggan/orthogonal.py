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
    """Filters of each layer of G are drawn to be orthogonal, of whatever length (arXiv 1809.11096, eq. 3).

    For each weight W with a filter a column, it adds beta times the squared Frobenius norm of the product of W's
    transpose with W, without its diagonal. Of a layer with spectral normalization or another parametrization, W is
    the weight that is trained. Embeddings and normalization are left out.

    Args:
        beta: weight; the paper's.
        interval: turns of G from one application to the next.
    """

    def __init__(self, *, beta: Annotated[gankit.Scheduled, Field(ge=0)] = 1e-4, interval: PositiveInt = 1) -> None:
        self.beta = beta
        self.interval = interval

    def generator(self, turn: gankit.Turn) -> Tensor:
        penalties = [off_diagonal(weight) for weight in filters(turn.generator)]
        return self.beta * torch.stack(penalties).sum() if penalties else turn.real.new_zeros(())


def filters(network: nn.Module) -> list[Tensor]:
    """The weights of all layers that have filters, [filters inputs] each."""
    matrices = []
    for layer in network.modules():
        if isinstance(layer, WITH_FILTERS):
            known = dict(layer.named_parameters())  # a parametrization keeps the trained weight elsewhere
            weight = known["weight"] if "weight" in known else known["parametrizations.weight.original"]
            matrices.append((weight.transpose(0, 1) if isinstance(layer, TRANSPOSED) else weight).flatten(1))
    return matrices


def off_diagonal(matrix: Tensor) -> Tensor:
    """The sum of squares of all products of one row [filters inputs] with another."""
    rows, columns = matrix.shape
    if rows <= columns:
        products = matrix @ matrix.t()
        return (products - torch.diag(products.diagonal())).square().sum()
    # as large a sum, of far fewer products; its difference is exact enough, for so many rows are far from orthogonal
    return (matrix.t() @ matrix).square().sum() - matrix.square().sum(dim=1).square().sum()
