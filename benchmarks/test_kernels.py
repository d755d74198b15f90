"""gankit's convolutions and spectral norm against torch's: single layers and whole steps."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

from gankit.device.fast_convolutions import use_fast_convolutions
from gankit.device.fast_spectral_norm import use_fast_spectral_norm

BATCH = 64
LAYERS = {
    "D 3 to 64 at 64 px": (lambda: nn.Conv2d(3, 64, 4, 2, 1, bias=False), (3, 64)),
    "D 128 to 256 at 16 px": (lambda: nn.Conv2d(128, 256, 4, 2, 1, bias=False), (128, 16)),
    "D 256 to 512 at 8 px": (lambda: nn.Conv2d(256, 512, 4, 2, 1, bias=False), (256, 8)),
    "D 512 to 1 at 4 px": (lambda: nn.Conv2d(512, 1, 4, bias=False), (512, 4)),
    "G 100 to 512 at 1 px": (lambda: nn.ConvTranspose2d(100, 512, 4, bias=False), (100, 1)),
    "G 512 to 256 at 4 px": (lambda: nn.ConvTranspose2d(512, 256, 4, 2, 1, bias=False), (512, 4)),
    "G 256 to 128 at 8 px": (lambda: nn.ConvTranspose2d(256, 128, 4, 2, 1, bias=False), (256, 8)),
    "G 64 to 3 at 32 px": (lambda: nn.ConvTranspose2d(64, 3, 4, 2, 1, bias=False), (64, 32)),
    "3x3, 512 to 512 at 4 px": (lambda: nn.Conv2d(512, 512, 3, padding=1, bias=False), (512, 4)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_convolution(name, compare, device):
    if device.type != "cpu":
        pytest.skip("these convolutions are used on the CPU only")
    make, (channels, side) = LAYERS[name]
    own = make().bfloat16().to(memory_format=torch.channels_last)
    torchs = copy.deepcopy(own)
    use_fast_convolutions(own)
    assert type(own) is not type(torchs)
    images = torch.randn(BATCH, channels, side, side).bfloat16().to(memory_format=torch.channels_last).requires_grad_()
    gradient = torch.randn_like(torchs(images))

    def run(layer: nn.Module) -> None:
        torch.autograd.grad(layer(images), (images, layer.weight), gradient)

    compare(lambda: run(own), lambda: run(torchs), against="torch's own, forward and backward", images=BATCH)


@pytest.mark.parametrize("channels", [32, 128, 256])
def test_spectral_norm(channels, compare, device):
    if device.type != "cpu":
        pytest.skip("this spectral norm is used on the CPU only")
    torchs = spectral_norm(nn.Conv2d(channels, channels, 3)).to(memory_format=torch.channels_last)
    own = copy.deepcopy(torchs)
    use_fast_spectral_norm(own)
    gradient = torch.randn_like(torchs.weight)

    def run(layer: nn.Module) -> None:
        torch.autograd.grad(layer.weight, layer.parametrizations.weight.original, gradient)

    compare(lambda: run(own), lambda: run(torchs), against="torch's own, forward and backward", images=1)


@pytest.mark.parametrize("way", ["train.kernels=auto", "train.compile=true"])
def test_whole_step(way, assemble, compare):
    """Uses the default precision of the device. Compilation happens before the measurement."""
    settings = ["callbacks=[]", "dataset={name: noise, count: 4096, side: 32}"]
    own = assemble("dcgan_cifar10", *settings, way)
    torchs = assemble("dcgan_cifar10", *settings, "train.kernels=torch")
    own.step()
    compare(own.step, torchs.step, against="train.kernels=torch, not compiled", images=BATCH)
