"""Parameter counts of BigGAN's networks against published numbers and formulas."""

from itertools import pairwise

import pytest
from torch import nn

import gankit
from gankit.assembly.dry_run import meta_device
from gankit_biggan.networks import BigGANDiscriminator, BigGANGenerator

CIFAR = gankit.ImageSpec(32, 32, 3, classes=10)


def parameter_count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def conv(inputs: int, outputs: int, kernel: int = 3, bias: bool = True) -> int:
    return inputs * outputs * kernel**2 + bias * outputs


def attention(channels: int) -> int:
    inner, outer = channels // 8, channels // 2
    return 2 * channels * inner + 2 * channels * outer + 1


def generator_formula(widths: list[int], attended: int, classes: int, chunk: int, embedding: int = 128) -> int:
    condition = chunk + embedding
    blocks = sum(
        conv(a, b) + conv(b, b) + conv(a, b, 1) + 2 * condition * (a + b)  # a gain and a bias for each of two norms
        for a, b in pairwise(widths)
    )
    first = (chunk + 1) * widths[0] * 16
    last = 2 * widths[-1] + conv(widths[-1], 3)
    return classes * embedding + first + blocks + attention(attended) + last


def discriminator_formula(widths: list[int], halvings: int, attended: int, classes: int) -> int:
    blocks = sum(
        conv(a, b) + conv(b, b) + (conv(a, b, 1) if a != b or index < halvings else 0)
        for index, (a, b) in enumerate(pairwise([3, *widths]))
    )
    return blocks + attention(attended) + widths[-1] + 1 + classes * widths[-1]


def test_parameter_counts_for_cifar10() -> None:
    # layout of the public CIFAR-10 configuration (StudioGAN): G 384 channels wide, D 192, attention at 16 px
    assert parameter_count(BigGANGenerator(CIFAR, 80)) == 9_416_196 == generator_formula([384] * 4, 384, 10, 20)
    assert parameter_count(BigGANDiscriminator(CIFAR)) == 2_415_170 == discriminator_formula([192] * 4, 2, 192, 10)
    # that of the author's PyTorch code: D of 256 channels without attention
    wide = BigGANDiscriminator(CIFAR, width=64, multipliers=(4, 4, 4, 4), attention=())
    assert parameter_count(wide) == 4_207_361 == discriminator_formula([256] * 4, 2, 256, 10) - attention(256)


@pytest.mark.parametrize(
    ("size", "latent_dim", "generator", "discriminator"),
    [
        # asserted by google/compare_gan's resnet_biggan_test.py
        (128, 120, 70_433_988, 87_982_370),
        # in the head of its resnet_biggan.py; its D lacks the shortcut's convolution where a block only halves
        pytest.param(256, 140, 82_097_604, 98_635_298 + conv(768, 768, 1), marks=pytest.mark.slow),
    ],
)
def test_parameter_counts_for_imagenet(size: int, latent_dim: int, generator: int, discriminator: int) -> None:
    with meta_device():
        image = gankit.ImageSpec(size, size, 3, classes=1000)
        # left out for the time it takes; it adds no parameters
        assert parameter_count(BigGANGenerator(image, latent_dim, spectral_norm=False)) == generator
        assert parameter_count(BigGANDiscriminator(image, attention=(64,))) == discriminator
