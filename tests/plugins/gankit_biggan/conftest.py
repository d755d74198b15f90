import pytest
import torch
from torch import nn


@pytest.fixture
def randomized():
    """A function that switches a network to fp64 and eval mode and perturbs all parameters and running statistics."""
    return randomize


def randomize(network: nn.Module, seed: int = 0) -> nn.Module:
    """Switch a network to fp64 and eval mode, and perturb every parameter and running statistic."""
    random = torch.Generator().manual_seed(seed)
    network.double()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=random, dtype=torch.float64), alpha=0.1)
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean += torch.randn(module.running_mean.shape, generator=random)
                module.running_var += torch.rand(module.running_var.shape, generator=random)
    return network.eval()
