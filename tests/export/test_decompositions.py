"""Operations that ONNX lacks, as other operations."""

from __future__ import annotations

import torch

from gankit.export.decompositions import normal_quantile


def test_normal_quantile():
    tails = torch.logspace(-300, -1, 3000, dtype=torch.float64)
    probabilities = torch.cat([tails, torch.linspace(0.1, 0.9, 3000, dtype=torch.float64), 1 - tails[tails > 1e-12]])
    torch.testing.assert_close(normal_quantile(probabilities), torch.special.ndtri(probabilities), rtol=1e-6, atol=1e-7)
    limits = torch.tensor([0.0, 1.0, 0.5, -1.0, torch.nan])
    torch.testing.assert_close(normal_quantile(limits), torch.special.ndtri(limits), equal_nan=True)
