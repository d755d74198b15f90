"""`Game.generate` of one's own: what it may ask for, and parts of G that it may call."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import gankit


class Autoencoder(nn.Module):
    def __init__(self, image, latent_dim):
        super().__init__()
        self.image = image
        self.encode = nn.Linear(image.channels * image.height * image.width, latent_dim)
        self.decode = nn.Linear(latent_dim, image.channels * image.height * image.width)

    def forward(self, image):
        return self.images(self.encode(image.flatten(1)))

    def images(self, code):
        return self.decode(code).view(-1, self.image.channels, self.image.height, self.image.width).tanh()


class Blind(Autoencoder):
    """Does not ask for the image by its name."""

    def forward(self, seen):
        return super().forward(seen)


class Reconstruct(gankit.Game):
    players = ("generator",)

    def step(self):
        return self.update("generator", self.next_batch(), self.error)

    def error(self, turn):
        return {"error": F.mse_loss(turn.run(turn.generator, turn.real), turn.real)}

    def generate(self, generator, inputs):
        return generator(inputs["image"])


class Decode(Reconstruct):
    """Samples from a part of G."""

    def generate(self, generator, inputs):
        return generator.images(inputs["z"])


class Values(Reconstruct):
    """Reads values, which tensors on the meta device do not have."""

    def generate(self, generator, inputs):
        return generator(inputs["image"] * inputs.full(2.0).max().item())


class Plugin:
    @gankit.hookimpl
    def register(self, registries):
        registries.generators.add("autoencoder", Autoencoder)
        registries.generators.add("blind", Blind)
        for name, game in (("reconstruct", Reconstruct), ("decode", Decode), ("values", Values)):
            registries.games.add(name, game)


@pytest.fixture
def runtime(runtime):
    runtime.load_plugin(Plugin())
    return runtime


@pytest.fixture
def make(runtime, recipe):
    def make(game, generator="autoencoder", **changes):
        without = {"discriminator": None, "loss": None, "optimizers": {"discriminator": None}}
        return recipe(
            generator={"name": generator}, train={"game": game}, latent={"name": "normal", "dim": 4}, **without, **changes
        )

    return make


def test_the_real_image_is_an_input_if_forward_asks_for_it(runtime, make, tmp_path):
    trainer = runtime.assemble(make("reconstruct"), tmp_path / "run")
    trainer.fit()
    generator = gankit.load_generator(tmp_path / "run", plugins=[Plugin()])
    images = generator.sample(4, seed=1)
    assert torch.equal(images, trainer.sample(4, seed=1))
    inputs = generator.sampling.draw(4, 1)
    with torch.no_grad():
        expected = generator.module(inputs.fields["image"])
    assert torch.equal(images, ((expected + 1) * 127.5).round().clamp(0, 255).byte())


def test_a_check_finds_an_input_that_is_missing(runtime, make):
    with pytest.raises(gankit.RecipeError, match="KeyError: samples have no input 'image'; known: labels, z; called by Re"):
        runtime.check(make("reconstruct", "blind"))


def test_samples_may_come_from_a_part_of_the_network(runtime, make, tmp_path):
    trainer = runtime.assemble(make("decode"), tmp_path / "run")
    trainer.fit()
    assert trainer.sample(3).shape == (3, 3, 16, 16)


def test_a_generation_that_the_meta_device_cannot_run(runtime, make, tmp_path):
    checked = runtime.check(make("values"))
    assert checked.not_tried[("generator",)].endswith("; called by Values.generate")
    runtime.assemble(checked, tmp_path / "run").step()


def test_there_is_nothing_to_interpolate_without_latents(runtime, recipe, tmp_path):
    made = recipe(generator={"name": "autoencoder"}, latent={"name": "normal", "dim": 4})
    runtime.assemble(made, tmp_path / "run").fit()
    generator = gankit.load_generator(tmp_path / "run", plugins=[Plugin()])
    with pytest.raises(ValueError, match="this generator takes no latents, so that there is nothing to interpolate"):
        generator.interpolate(2, 3)


def test_a_component_has_no_documentation_of_its_base_class(runtime):
    entry = runtime.registries.generators.get("autoencoder")
    assert (entry.documentation, entry.summary) == ("", "")
