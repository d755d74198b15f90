"""`gankit.testing.check_game` and `check_codec`: the plugins pass, and each fault has its message."""

from __future__ import annotations

import importlib.util
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import gankit
from gankit.testing import check_codec, check_game

PLUGINS = Path(__file__).parent / "plugins"
IMAGE = gankit.ImageSpec(16, 16, 3)
MICROBATCHES = (
    "microbatches lead to other weights of the generator than the whole batch: draw numbers by turn.normal or "
    "turn.uniform, and compare no images with each other (or set whole_batch)"
)
SMALL = gankit.ImageSpec(8, 8, 3)


def plugin(name):
    spec = importlib.util.spec_from_file_location(name, PLUGINS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Generator(nn.Module):
    def __init__(self, image, latent_dim):
        super().__init__()
        self.shape = (image.channels, image.height, image.width)
        self.linear = nn.Linear(latent_dim, image.channels * image.height * image.width)

    def forward(self, z):
        return self.linear(z).view(-1, *self.shape).tanh()


class Discriminator(nn.Module):
    def __init__(self, image):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(image.channels, 4, 4, 2, 1), nn.SiLU(), nn.Conv2d(4, 1, 4, 2, 1))

    def forward(self, images):
        return self.layers(images)


class ManyBatches(gankit.Adversarial):
    def step(self):
        for _ in range(6):
            scalars = self.update("discriminator", self.next_batch())
        return scalars | self.update("generator", self.next_batch())


def test_the_plugins_pass():
    check_game(ManyBatches, IMAGE, Generator, Discriminator)
    check_game(gankit.Adversarial, IMAGE, Generator, Discriminator)
    check_game(gankit.Adversarial, gankit.ImageSpec(8, 8, 1, classes=3), Generator, Discriminator, latent_dim=3)
    flow, cycle, vq, dmd = map(plugin, ("flow_matching", "unpaired", "codebook", "distillation"))
    check_game(flow.FlowMatching, SMALL, partial(flow.Velocity, width=4))
    check_game(cycle.Cycle, cycle.TwoDomains.spec, cycle.Translators, cycle.Judges)
    check_game(vq.AdaptiveWeight, SMALL, vq.Autoencoder, Discriminator, microbatches=False)
    check_game(dmd.Distillation, SMALL, Generator, dmd.JudgeAndScores)
    check_codec(plugin("latent_space").Patches, IMAGE, seed=1)


class OnlyD(gankit.Game):
    def step(self):
        return self.update("discriminator", self.next_batch())


class Infinite(gankit.Adversarial):
    def step(self):
        return {**super().step(), "distance": torch.tensor(float("inf"))}


class Silent(gankit.Adversarial):
    def step(self):
        super().step()
        return {}


class Compared(gankit.Adversarial):
    """Compares images with each other."""

    def terms(self, turn):
        logits = turn.fake_logits
        return {**super().terms(turn), "spread": 100 * (logits - logits.mean()).square().mean().sqrt()}


class Global(gankit.Adversarial):
    """Draws numbers that depend on the microbatches."""

    def terms(self, turn):
        noise = torch.randn_like(turn.real)
        return {**super().terms(turn), "noise": (turn.fake_logits * noise.mean()).mean()}


class Noisy(gankit.Adversarial):
    calls = 0

    def generate(self, generator, inputs):
        self.calls += 1
        return inputs.run(generator) + self.calls


class Half(gankit.Adversarial):
    def generate(self, generator, inputs):
        return F.avg_pool2d(inputs.run(generator), 2)


@pytest.mark.parametrize(
    ("game", "message"),
    [
        (OnlyD, "step() does not train the generator"),
        (Infinite, "distance is inf in step 0"),
        (Silent, "step() returns no scalars"),
        (Compared, MICROBATCHES),
        (Global, MICROBATCHES),
        (Noisy, "generate() returns other images for the same inputs"),
        (Half, "generate() returns images [6, 3, 8, 8]; expected [6, 3, 16, 16]"),
    ],
)
def test_faults_of_games(game, message):
    with pytest.raises(AssertionError) as caught:
        check_game(game, IMAGE, Generator, Discriminator)
    assert str(caught.value) == message


@pytest.mark.parametrize("wrong", [Generator, gankit.Adversarial(), None])
def test_what_is_no_game(wrong):
    with pytest.raises(TypeError, match="is not a class of games"):
        check_game(wrong, IMAGE, Generator, Discriminator)
    with pytest.raises(TypeError, match="Adversarial has a discriminator: pass its class"):
        check_game(gankit.Adversarial, IMAGE, Generator)


class Codec:
    def __init__(self, image):
        pass

    def encode(self, images):
        return F.avg_pool2d(images, 2)

    def decode(self, encodings):
        return F.interpolate(encodings, scale_factor=2)


class Sampled(Codec):
    def encode(self, images):
        return super().encode(images) + torch.randn(1)


class OfBatch(Codec):
    def decode(self, encodings):
        return super().decode(encodings - encodings.mean())


class Enlarging(Codec):
    def decode(self, encodings):
        return F.interpolate(encodings, scale_factor=3)


class Infinity(Codec):
    def encode(self, images):
        return super().encode(images) / 0


@pytest.mark.parametrize(
    ("codec", "message"),
    [
        (Sampled, "encode returns another result in a second call"),
        (OfBatch, "decode treats an image differently when it is alone"),
        (Enlarging, "decode returns [4, 3, 24, 24]; expected [4, 3, 16, 16]"),
        (Infinity, "encode returns NaN or infinity"),
        (lambda image: nn.Identity(), "'Identity' object has no attribute 'encode'"),
    ],
)
def test_faults_of_codecs(codec, message):
    check_codec(Codec, IMAGE)
    with pytest.raises(AssertionError) as caught:
        check_codec(codec, IMAGE)
    assert str(caught.value) == message
