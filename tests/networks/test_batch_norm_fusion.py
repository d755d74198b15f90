"""BatchNorm fused into the convolution before it."""

import pytest
import torch
from torch import nn

import gankit

IMAGES = torch.linspace(-2, 2, 3 * 8 * 8).sin().view(1, 3, 8, 8)


class Block(nn.Module):
    """Convolution, BatchNorm, activation; the norm may be called first although it is registered second."""

    def __init__(self, norm_first=False, several=False):
        super().__init__()
        self.convolution, self.norm, self.act = nn.Conv2d(3, 3, 3, padding=1, bias=False), nn.BatchNorm2d(3), nn.ReLU()
        self.norm.running_mean.copy_(torch.tensor([0.5, -1, 2]))
        self.norm.running_var.copy_(torch.tensor([0.5, 1, 4]))
        nn.init.uniform_(self.norm.weight)
        nn.init.uniform_(self.norm.bias)
        self.norm_first, self.several = norm_first, several

    def forward(self, images):
        normalized = self.convolution(self.norm(images)) if self.norm_first else self.norm(self.convolution(images))
        images = self.act(normalized)
        return [images, images.mean()] if self.several else images


@pytest.mark.parametrize("several", [False, True])
def test_outputs_stay_and_norms_go(several):
    network = nn.Sequential(Block(), Block(several=several)).eval()
    fused = gankit.without_batch_norms(network, IMAGES)
    images = torch.rand(4, 3, 8, 8)
    with torch.no_grad():
        torch.testing.assert_close(fused(images), network(images))
    assert sum(isinstance(part, nn.BatchNorm2d) for part in network.modules()) == 2
    assert not any(isinstance(part, nn.BatchNorm2d) for part in fused.modules())


def test_a_network_whose_outputs_would_change_is_kept():
    network = Block(norm_first=True).eval()
    assert gankit.without_batch_norms(network, IMAGES) is network


def test_timms_activations_stay():
    timm = pytest.importorskip("timm")
    network = timm.create_model("tf_efficientnet_lite0", features_only=True).eval()
    for part in network.modules():
        if isinstance(part, nn.BatchNorm2d):
            nn.init.normal_(part.running_mean, std=0.1)
    fused = gankit.without_batch_norms(network, torch.rand(1, 3, 64, 64))
    assert not any(isinstance(part, nn.BatchNorm2d) for part in fused.modules())
    images = torch.rand(2, 3, 96, 64) * 2 - 1
    with torch.no_grad():
        for one, other in zip(network(images), fused(images), strict=True):
            torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)
