"""Spectral norm (arXiv 1802.05957) with fewer passes over the weight than torch's.

`use_fast_spectral_norm` replaces it in a network in place. Parameters and state dicts stay the same.

torch copies weights in channels_last layout for each product with a vector, computes a product that the power iteration
already has, and lets autograd compose the derivative of a dozen operations.

Shapes: ``o`` rows of a weight, which are its output channels, and ``i`` values in each of them: the input channels
times the kernel's pixels.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import _SpectralNorm

from .patch_convolutions import weight_matrix


def use_fast_spectral_norm(network: nn.Module) -> None:
    """Replace torch's spectral norm of linear layers and two-dimensional convolutions (not transposed ones)."""
    for norm in network.modules():
        if type(norm) is _SpectralNorm and norm.dim == 0:
            norm.__class__ = FastSpectralNorm


class FastSpectralNorm(_SpectralNorm):
    """`torch.nn.utils.parametrizations.spectral_norm` for weights [o i] and [o c k l] with ``dim`` 0."""

    def forward(self, weight: Tensor) -> Tensor:
        """The weight divided by an estimate of its largest singular value."""
        if weight.dim() not in (2, 4):
            return super().forward(weight)
        with torch.no_grad():
            matrix = _matrix(weight)
            u, v = self._u.clone(), _matrix(self._v.view_as(weight[:1])).flatten().clone()
            if self.training:
                for _ in range(self.n_power_iterations):
                    u = F.normalize(torch.mv(matrix, v), dim=0, eps=self.eps)
                    product = torch.mv(matrix.t(), u)
                    v = F.normalize(product, dim=0, eps=self.eps)
                sigma = torch.linalg.vector_norm(product)  # u^T W v
                self._u.copy_(u)
                self._v.view_as(weight[:1]).copy_(_as_weight(v, weight[:1]))
            else:
                sigma = torch.dot(u, torch.mv(matrix, v))
        normalized: Tensor = _Division.apply(weight, u, v, sigma)
        return normalized


class _Division(torch.autograd.Function):
    """A weight divided by ``sigma = u^T W v``, of which ``u`` [o] and ``v`` [i] are constants."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, u: Tensor, v: Tensor, sigma: Tensor) -> Tensor:
        normalized = weight / sigma
        ctx.save_for_backward(weight, u, v, sigma, normalized)
        return normalized

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        weight, u, v, sigma, normalized = ctx.saved_tensors
        if torch.is_grad_enabled():  # for second derivatives
            sigma = torch.dot(u, torch.mv(_matrix(weight), v))
        rows = _matrix(gradient)
        along = torch.dot(rows.flatten(), _matrix(normalized).flatten())
        return _as_weight(torch.addr(rows, u * -along, v) / sigma, weight), None, None, None


def _matrix(weight: Tensor) -> Tensor:
    """[o c k l] as [o k*l*c], which is a view if channels_last; [o i] as it is."""
    return weight if weight.dim() == 2 else weight_matrix(weight)


def _as_weight(matrix: Tensor, weight: Tensor) -> Tensor:
    """The inverse of `_matrix`, for a matrix of the size of ``weight``."""
    if weight.dim() == 2:
        return matrix.view_as(weight)
    rows, channels, height, width = weight.shape
    return matrix.view(rows, height, width, channels).permute(0, 3, 1, 2)
