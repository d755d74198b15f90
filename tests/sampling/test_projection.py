"""Projection recovers images that the generator can make."""

from __future__ import annotations

import math

import pytest
import torch

import gankit
from gankit.sampling.projection import Projector
from gankit.sampling.samples import Sampling
from gankit.sampling.trained_generator import TrainedGenerator
from gankit_stylegan2.generator import StyleGAN2Generator


class Normal:
    def sample(self, n, labels, generator):
        return torch.randn(n, 8, generator=generator)


@pytest.fixture
def generator():
    torch.manual_seed(0)
    image = gankit.ImageSpec(16, 16, 3, classes=2)
    network = StyleGAN2Generator(image, 8, width=8, max_width=16, style_dim=8)
    for name, parameter in network.named_parameters():
        if name.endswith("strength"):
            parameter.data.fill_(0.3)
    return TrainedGenerator(network.eval(), Sampling(Normal(), image), ("a", "b"), "x", False)


def psnr(image, target):
    return 10 * math.log10(255**2 / (image.float() - target.float()).square().mean().item())


@pytest.mark.parametrize(("space", "least"), [("w+", 30), ("w", 30), ("z", 30)])
def test_own_images_are_recovered(generator, space, least):
    target = generator.sample(3, seed=5, labels=[1, 1, 1], noise="const")[2]
    projector = Projector(generator, space, None, steps=100)
    found = projector(target, label=1)
    assert found.psnr == pytest.approx(psnr(found.image, target))
    assert found.psnr > least
    assert psnr(found.course[0], target) < found.psnr - 8
    assert torch.equal(found.course[-1], found.image)
    assert torch.equal(generator.images(found.inputs, noise="const")[0], found.image)
    assert found.distance is None
    layers = generator.with_styles(generator.draw(1)).styles.shape[1]
    if space == "z":
        assert found.inputs.z.shape == (1, 8)
    else:
        styles = found.inputs.styles
        assert styles.shape == (1, layers, 8)
        assert torch.equal(styles[:, :1].expand_as(styles), styles) == (space == "w")


def test_the_class_is_that_of_the_most_similar_samples(generator):
    target = generator.sample(1, seed=9, labels=[1], noise="const")[0]
    assert Projector(generator, "z", None, steps=1)(target).inputs.labels.tolist() in ([0], [1])
    assert Projector(generator, "z", None, steps=1)(target, label=0).inputs.labels.tolist() == [0]


def test_the_perceptual_distance_is_part_of_the_loss(generator):
    """With no weight on pixels, only the distance is reduced."""
    target = generator.sample(1, seed=3, labels=[0], noise="const")[0]

    def red(one, other):
        return (one[:, 0] - other[:, 0]).square().mean(dim=(1, 2))

    found = Projector(generator, "w+", red, pixel_weight=0.0, steps=100)(target, label=0)
    difference = (found.image.float() - target.float()).square().mean(dim=(1, 2)).sqrt()
    assert difference[0] < 0.3 * difference[1:].min()
    assert found.distance == pytest.approx((2 * difference[0].item() / 255) ** 2, rel=1e-3)


def test_what_cannot_be_projected(generator):
    with pytest.raises(ValueError, match="draws random numbers for each image in addition to its latents"):
        Projector(generator, "z", None, options={"noise": "random"})

    class Linear(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = torch.nn.Linear(8, 768)

        def forward(self, z, labels):
            return self.linear(z).view(-1, 3, 16, 16)

    generator.module = Linear()
    with pytest.raises(ValueError, match="Linear has no styles"):
        Projector(generator, "w", None)


def test_a_search_that_is_stopped_returns_what_it_has_found(generator):
    target = generator.sample(1, seed=5, labels=[1], noise="const")[0]
    reported = []
    found = Projector(generator, "z", None, steps=100)(
        target, 1, lambda _, done, total: reported.append(done), lambda: len(reported) >= 7
    )
    assert reported == [0, 1, 2, 3, 4, 5, 6, 100]
    assert torch.equal(generator.images(found.inputs, noise="const")[0], found.image)
    assert not torch.equal(found.image, found.course[0])
