"""Operations that ONNX and torch's ONNX exporter lack, as other operations."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.export import ExportedProgram

# Coefficients of Wichura's algorithm AS 241 (Applied Statistics 37, 1988), routine PPND7, lowest power first: numerator
# and denominator of a rational function for the center, the tails, and the far tails.
CENTER = (3.3871327179, 50.434271938, 159.29113202, 59.109374720), (1.0, 17.895169469, 78.757757664, 67.187563600)
TAIL = (1.4234372777, 2.7568153900, 1.3067284816, 0.17023821103), (1.0, 0.73700164250, 0.12021132975)
FAR_TAIL = (6.6579051150, 3.0812263860, 0.42868294337, 0.017337203997), (1.0, 0.24197894225, 0.012258202635)


def decompose(program: ExportedProgram) -> ExportedProgram:
    """The program with the operations that ONNX lacks replaced."""
    replaced = {torch.ops.aten.special_ndtri.default: normal_quantile}
    if not any(node.target in replaced for node in program.graph.nodes):
        return program
    decomposed: ExportedProgram = program.run_decompositions(replaced)
    return decomposed


def normal_quantile(probability: Tensor) -> Tensor:
    """The quantile function of the standard normal distribution (`torch.special.ndtri`), to about 7 digits."""
    distance = probability - 0.5
    center = distance * _ratio(CENTER, 0.180625 - distance.square())
    depth = (-torch.minimum(probability, 1 - probability).log()).sqrt()
    tail = torch.where(depth <= 5, _ratio(TAIL, depth - 1.6), _ratio(FAR_TAIL, depth - 5))
    tail = torch.where(depth.isinf(), depth, tail)  # of the probabilities 0 and 1
    return torch.where(distance.abs() <= 0.425, center, distance.sign() * tail)


def _ratio(coefficients: tuple[Sequence[float], Sequence[float]], x: Tensor) -> Tensor:
    numerator, denominator = (_polynomial(part, x) for part in coefficients)
    return numerator / denominator


def _polynomial(coefficients: Sequence[float], x: Tensor) -> Tensor:
    value = torch.zeros_like(x)
    for coefficient in reversed(coefficients):
        value = value * x + coefficient
    return value
