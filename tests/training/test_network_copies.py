"""Copies of networks that Python cannot copy, or whose copies are of another class."""

from __future__ import annotations

import random
import threading

import numpy as np
import pytest
import torch
from torch import nn

import gankit


class Persistent(nn.Module):
    """Like a class that pickles its own source code: its copy is of another class, which does not run."""

    def __init__(self, image: gankit.ImageSpec, latent_dim: int) -> None:
        super().__init__()
        self.shape = image.channels, image.height, image.width
        self.linear = nn.Linear(latent_dim, 4 * image.height * image.width)
        self.conv, self.norm = nn.Conv2d(4, image.channels, 3, 1, 1), nn.BatchNorm2d(4)
        self.register_buffer("scale", torch.rand(1) + random.random() + np.random.rand(), persistent=False)

    def forward(self, z, labels=None):
        maps = self.norm(self.linear(z).view(-1, 4, *self.shape[1:]))
        return (self.scale * self.conv(maps)).tanh()

    def __deepcopy__(self, memo):
        class Reconstructed(nn.Module):
            pass

        return Reconstructed()


class Uncopyable(Persistent):
    def __init__(self, image: gankit.ImageSpec, latent_dim: int) -> None:
        super().__init__(image, latent_dim)
        self.lock = threading.Lock()

    __deepcopy__ = None


class Ordinary(Persistent):
    __deepcopy__ = None


class UncopyableCritic(nn.Module):
    def __init__(self, image: gankit.ImageSpec) -> None:
        super().__init__()
        self.out = nn.Linear(image.channels * image.height * image.width, 1)
        self.lock = threading.Lock()

    def forward(self, images, labels=None):
        return self.out(images.flatten(1))


@pytest.fixture
def train(tiny_runtime, tiny_recipe, add_components, tmp_path):
    """``train(G, **sections)``: the trainer of a finished run with an EMA."""
    generators = {"persistent": Persistent, "uncopyable": Uncopyable, "ordinary": Ordinary}
    add_components(tiny_runtime, generators=generators, discriminators={"uncopyable": UncopyableCritic})

    def train(generator, **sections):
        ema = {"half_life_images": 20, "ramp_up": None}
        recipe = tiny_recipe(tmp_path, generator={"name": generator}, ema=ema, **sections)
        trainer = tiny_runtime.assemble(tiny_runtime.load_checked(recipe), tmp_path / generator)
        trainer.fit()
        return trainer

    train.runtime = tiny_runtime
    return train


@pytest.mark.parametrize("name", ["persistent", "uncopyable"])
def test_the_average_is_that_of_a_network_that_can_be_copied(train, name):
    trainer, expected = train(name), train("ordinary")
    average, other = trainer.state.ema.module, expected.state.ema.module
    assert type(average) is type(trainer.state.generator)
    assert not average.training
    assert not any(parameter.requires_grad for parameter in average.parameters())
    for one, two in zip(
        [*average.parameters(), *average.buffers()], [*other.parameters(), *other.buffers()], strict=True
    ):
        assert torch.equal(one, two)
        assert one.stride() == two.stride()
    samples = trainer.sample(4)
    assert torch.equal(samples, expected.sample(4))
    assert torch.equal(train.runtime.resume(trainer.directory, ["train.steps=4"]).sample(4), samples)


def test_copies_and_samples_leave_random_generators_as_they_were(train):
    trainer = train("persistent")
    states = [random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()]
    copy = trainer.copy_generator(torch.device("cpu"))
    copy.update()
    train.runtime.load_generator(trainer.directory).sample(2)
    assert [random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()] == states


def test_a_discriminator_need_not_be_copyable(train):
    assert train("ordinary", discriminator={"name": "uncopyable"}).ending == "done"
