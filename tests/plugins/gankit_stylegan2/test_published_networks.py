"""Parameter counts and shapes of the published StyleGAN2 networks."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import nn

import gankit
from gankit.assembly.dry_run import meta_device
from gankit_stylegan2.discriminator import StyleGAN2Discriminator
from gankit_stylegan2.generator import StyleGAN2Generator


def parameter_count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def expected_generator(channels: list[int], mapping: int, classes: int = 0, d: int = 512) -> int:
    """Parameter count of a skip generator with these channels per size and styles of 512."""
    first = (512 + d) * 512 + 512 + (classes + 1) * 512 if classes else d * 512 + 512
    count = first + (mapping - 1) * (512 * 512 + 512) + channels[0] * 16

    def layer(inputs: int, outputs: int) -> int:
        return 9 * inputs * outputs + outputs + 1 + 513 * inputs  # weight, bias, noise; style

    count += layer(channels[0], channels[0]) + sum(layer(a, b) + layer(b, b) for a, b in pairwise(channels))
    return count + sum(3 * c + 3 + 513 * c for c in channels)


def expected_discriminator(channels: list[int], residual: bool, classes: int = 0) -> int:
    count, last = 4 * channels[-1], channels[0]
    for below, here in pairwise(channels):
        count += 9 * here * here + here + 9 * here * below + below + residual * here * below
    count += 9 * (last + 1) * last + last + 16 * last * last + last
    outputs = last if classes else 1
    mapping = (classes + 1) * last + 8 * (last + 1) * last if classes else 0
    return count + (last + 1) * outputs + mapping


def test_parameter_counts_of_the_published_networks() -> None:
    with meta_device():
        for classes, of_generator, of_discriminator in ((0, 19_947_539, 20_720_641), (10, 20_215_315, 23_089_664)):
            image = gankit.ImageSpec(32, 32, 3, classes)
            assert parameter_count(StyleGAN2Generator(image, 512)) == of_generator
            assert parameter_count(StyleGAN2Discriminator(image)) == of_discriminator
            assert of_generator == expected_generator([512] * 4, 2, classes)
            assert of_discriminator == expected_discriminator([512] * 4, False, classes)
        image = gankit.ImageSpec(1024, 1024, 3)
        discriminator = StyleGAN2Discriminator(image, width=32, architecture="residual", group_size=4)
        # from logs of the official implementation at 1024 px: G with two mapping layers, and D
        assert parameter_count(StyleGAN2Generator(image, 512, width=32)) == 28_794_124
        assert parameter_count(discriminator) == 29_012_513
        assert parameter_count(StyleGAN2Generator(image, 512, width=32, mapping_layers=8)) == 30_370_060
        channels = [512] * 5 + [256, 128, 64, 32]
        assert expected_generator(channels, 8) == 30_370_060
        assert expected_discriminator(channels, True) == 29_012_513


def test_shapes_of_the_published_networks() -> None:
    with meta_device():
        image = gankit.ImageSpec(1024, 1024, 3)
        generator = StyleGAN2Generator(image, 512, width=32, mapping_layers=8)
        assert generator.synthesis.layers == 18
        assert generator(torch.empty(2, 512)).shape == (2, 3, 1024, 1024)
        discriminator = StyleGAN2Discriminator(image, width=32, architecture="residual")
        assert discriminator(torch.empty(2, 3, 1024, 1024)).shape == (2,)
        assert StyleGAN2Generator(gankit.ImageSpec(32, 32, 3), 512).synthesis.layers == 8
