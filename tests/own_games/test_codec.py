"""Runs with a codec: the networks see standardized encodings, and everyone else images."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import gankit

PLUGIN = Path(__file__).parent / "plugins" / "latent_space.py"
RECIPE = PLUGIN.with_suffix(".yaml")


class Halved:
    """A codec without weights: the mean of 2 x 2 pixels, enlarged."""

    def __init__(self, image, *, offset: float = 0.0):
        self.offset = offset

    def encode(self, images):
        return F.avg_pool2d(images, 2) + self.offset

    def decode(self, encodings):
        return F.interpolate(encodings - self.offset, scale_factor=2)


class Trained(Halved, nn.Module):
    """The same with a weight, which is random."""

    def __init__(self, image, *, offset: float = 0.0):
        nn.Module.__init__(self)
        self.offset = nn.Parameter(torch.tensor(offset) + torch.rand(()))
        self.dropout = nn.Dropout(0.5)

    def encode(self, images):
        return self.dropout(super().encode(images))


class Small(Halved):
    def decode(self, encodings):
        return encodings


class Flat(Halved):
    def encode(self, images):
        return images.flatten(1)


class OneWay:
    def __init__(self, image):
        pass

    def encode(self, images):
        return images


class Fixed(nn.Module):
    def __init__(self, image, latent_dim):
        super().__init__()
        self.linear = nn.Linear(latent_dim, 3 * 16 * 16)

    def forward(self, z):
        return self.linear(z).view(-1, 3, 16, 16)


CODECS = {"halved": Halved, "trained": Trained, "small": Small, "flat": Flat, "one_way": OneWay}


class Plugin:
    @gankit.hookimpl
    def register(self, registries):
        for name, codec in CODECS.items():
            registries.codecs.add(name, codec)
        registries.generators.add("fixed", Fixed)


@pytest.fixture
def runtime():
    return gankit.Runtime(plugins=[PLUGIN, Plugin()])


@pytest.fixture
def assemble(runtime, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def make(*overrides, name="run"):
        return runtime.assemble(runtime.load_checked(RECIPE, overrides), tmp_path / name)

    return make


def test_encodings_are_standardized(assemble):
    images = assemble("loader.flip=false").setup.loader.at(0, 64).images
    assert images.shape == (64, 12, 8, 8)
    means, deviations = images.mean((0, 2, 3)), images.std((0, 2, 3), correction=0)
    torch.testing.assert_close(means, torch.zeros_like(means), rtol=0, atol=1e-5)
    torch.testing.assert_close(deviations, torch.ones_like(deviations), rtol=0, atol=1e-5)


def test_kept_encodings_are_those_of_the_images_as_they_are_drawn(assemble):
    kept, anew = (assemble(f"loader.cache={cache}", name=cache).setup.loader for cache in ("memory", "none"))
    mirrored = kept.order.at(0, 40).flips
    assert mirrored.any()
    assert not mirrored.all()
    torch.testing.assert_close(kept.at(0, 40).images, anew.at(0, 40).images, rtol=0, atol=1e-5)


def test_images_are_decoded_before_anyone_sees_them(assemble):
    trainer = assemble("augmentations=[]")
    assert trainer.image == gankit.ImageSpec(16, 16, 3)
    real = trainer.real(4)
    assert real.shape == (4, 3, 16, 16)
    floats = real.float() / 127.5 - 1
    torch.testing.assert_close(trainer.augment(floats), floats, rtol=0, atol=1e-5)  # encoded and decoded without loss
    assert trainer.generate(3).shape == (3, 3, 16, 16)


def test_augmentations_act_on_encodings(assemble):
    trainer = assemble("augmentations=[{name: diffaugment, policy: [cutout]}]")
    seen = []
    trainer.context.augmentations[0].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].shape))
    trainer.step()
    assert {tuple(shape) for shape in seen} == {(8, 12, 8, 8)}


def test_a_codec_is_not_trained_and_has_its_weights_in_the_run_directory(assemble, tmp_path):
    trainer = assemble("codec=trained")
    offset = trainer.setup.sampling.codec.codec.offset.clone()
    trainer.fit()
    codec = trainer.setup.sampling.codec.codec
    assert torch.equal(codec.offset, offset)
    assert not codec.training
    generator = gankit.load_generator(tmp_path / "run", plugins=[PLUGIN, Plugin()])
    assert (generator.sample(4).int() - trainer.sample(4).int()).abs().max() <= 1


def test_a_run_continues_with_the_same_codec_only(assemble, runtime, tmp_path):
    assemble("codec=trained").fit()
    resumed = runtime.resume(tmp_path / "run", ["train.steps=6"])
    resumed.fit()
    for override in ("codec.offset=2.0", "codec=patches"):
        with pytest.raises(gankit.GankitError, match="another frozen network 'codec'|codec: does not fit"):
            runtime.resume(tmp_path / "run", ["train.steps=8", override])


@pytest.mark.parametrize(
    ("codec", "message"),
    [
        ("one_way", "codec: OneWay is not a codec: it lacks `decode`"),
        ("flat", "codec: Flat.encode returns [2, 768] for 2 images; expected floats [2 k y x]"),
        ("small", "codec: Small.decode returns [2, 3, 8, 8] for two encodings; expected [2, 3, 16, 16]"),
        ("patchs", "codec.name: no codec is called 'patchs'; did you mean 'patches'?"),
        ("{name: patches, sed: 1}", "codec.sed: unknown parameter; did you mean 'seed'?"),
    ],
)
def test_a_codec_that_does_not_fit_is_refused(runtime, codec, message):
    with pytest.raises(gankit.RecipeError) as caught:
        runtime.check(runtime.load(RECIPE, [f"codec={codec}"]))
    assert message in str(caught.value)


def test_networks_that_do_not_fit_the_encodings_are_refused(runtime):
    with pytest.raises(gankit.RecipeError, match=r"generator: returns \[2, 3, 16, 16\] .* are \[2, 12, 8, 8\]"):
        runtime.check(runtime.load(RECIPE, ["generator=fixed"]))
