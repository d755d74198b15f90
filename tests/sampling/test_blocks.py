"""Image i of a sample depends on the seed and i only, whatever is sampled with it."""

from __future__ import annotations

import pytest
import torch

import gankit
from gankit.sampling.sample_inputs import BLOCK
from gankit.sampling.samples import Sampling

IMAGE = gankit.ImageSpec(4, 4, 1, classes=3)


class Normal:
    """Draws all latents at once, so that a latent depends on how many are drawn."""

    def sample(self, n, labels, generator):
        return torch.randn(8, n, generator=generator).t() + labels[:, None]


class Plain(torch.nn.Module):
    """Pixels are made of the latent and the label."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.randn(8, 16, generator=torch.Generator().manual_seed(0)))

    def forward(self, z, labels):
        return (z @ self.weight).view(-1, 1, 4, 4) + labels[:, None, None, None]


class Noisy(Plain):
    """Adds random numbers of two layers, as StyleGAN2 does."""

    def forward(self, z, labels):
        noise = torch.randn(len(z), 1, 4, 1) * torch.rand(len(z), 1, 1, 4)
        return super().forward(z, labels) + noise


class Game(gankit.Game):
    def generate(self, generator, inputs):
        return inputs.run(generator) + inputs.normal(*inputs.image_shape) + inputs.uniform(1, 4, 4)


@pytest.mark.parametrize("game", [gankit.Game(), Game()], ids=["default", "own numbers"])
@pytest.mark.parametrize("network", [Plain(), Noisy()], ids=["plain", "noisy"])
def test_the_number_of_images_does_not_matter(network, game):
    sampling = Sampling(Normal(), IMAGE, [0.2, 0.3, 0.5], game=game)
    images = {count: sampling.generate(network, sampling.draw(count, 3), {}) for count in (1, 5, 64, 65, 150, 200)}
    for count, some in images.items():
        assert some.shape == (count, 1, 4, 4)
        assert torch.allclose(some, images[200][:count], atol=1e-5)
    flat = images[200].flatten(1)
    assert len(torch.unique(flat, dim=0)) == 200, "no image occurs twice"
    assert not torch.allclose(flat[:64], sampling.generate(network, sampling.draw(64, 4), {}).flatten(1), atol=0.1)


@pytest.mark.parametrize("network", [Plain(), Noisy()], ids=["plain", "noisy"])
def test_blocks_can_be_drawn_in_any_order(network):
    sampling = Sampling(Normal(), IMAGE, game=Game())
    labels = [i % 3 for i in range(150)]
    whole = sampling.generate(network, sampling.draw(150, 7, labels), {})
    for number in (2, 0, 1):
        block = sampling.draw_block(number, 150, 7, labels)
        assert block.labels.tolist() == labels[number * BLOCK : (number + 1) * BLOCK]
        expected = whole[number * BLOCK : (number + 1) * BLOCK]
        assert torch.allclose(sampling.generate(network, block, {}), expected, atol=1e-5)


def test_large_images_are_generated_a_few_at_a_time():
    sizes = []

    class Large(torch.nn.Module):
        def forward(self, z, labels):
            sizes.append(len(z))
            return torch.randn(len(z), 1, 1, 1).expand(-1, 1, 512, 512) + z[:, :1, None, None]

    sampling = Sampling(Normal(), gankit.ImageSpec(512, 512, 1, classes=3))
    images = sampling.generate(Large(), sampling.draw(6, 0), {})
    assert max(sizes) == 4
    assert torch.equal(images[:5], sampling.generate(Large(), sampling.draw(5, 0), {}))


def test_the_items_of_a_block_are_those_of_the_sample():
    class Copy(torch.nn.Module):
        def forward(self, source):
            return source

    source = torch.arange(10.0)[:, None, None, None].expand(-1, 1, 4, 4)
    latent, image = Normal(), gankit.ImageSpec(4, 4, 1, classes=3)
    sampling = Sampling(latent, image, items={"source": source}, specs={"source": image}, targets=source)
    images = sampling.generate(Copy(), sampling.draw(130, 1), {})
    assert torch.equal(images, sampling.items_of(130, 1)["image"])
    assert torch.equal(images[64:128], sampling.generate(Copy(), sampling.draw_block(1, 130, 1), {}))
