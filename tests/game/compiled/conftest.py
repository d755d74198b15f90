"""Trainers whose networks are compiled, and the comparison of their steps with eager ones."""

from __future__ import annotations

import os
import shutil

import pytest
import torch
from torch import nn

import gankit


class Critic(nn.Module):
    """A discriminator with one peculiarity; all but the last can be compiled in one piece."""

    def __init__(self, image: gankit.ImageSpec, *, peculiarity: str) -> None:
        super().__init__()
        self.narrow = peculiarity == "narrow spectral norm"
        size = image.channels * (1 if self.narrow else image.height * image.width)
        hidden = nn.Linear(size, 6)
        self.peculiarity = peculiarity
        hidden.bias = None if peculiarity == "batch norm" else hidden.bias  # which BatchNorm leaves without a gradient
        spectral = peculiarity.endswith("spectral norm")
        self.hidden = nn.utils.parametrizations.spectral_norm(hidden) if spectral else hidden
        colors = nn.Conv2d(image.channels, image.channels, 1)
        spectral = peculiarity == "spectral norm of a convolution"
        self.colors = nn.utils.parametrizations.spectral_norm(colors) if spectral else nn.Identity()
        self.norm = nn.BatchNorm1d(6) if peculiarity == "batch norm" else nn.Identity()
        self.out = nn.Linear(6, 2 if peculiarity == "features" else 1)
        self.register_buffer("mean", torch.zeros(6))

    def forward(self, images, labels=None):
        images = self.colors(images)
        pixels = images.mean(dim=(2, 3)) if self.narrow else images.flatten(1)
        hidden = self.norm(self.hidden(pixels)).tanh()
        if self.peculiarity == "assignment":
            self.mean = 0.9 * self.mean + 0.1 * hidden.detach().mean(0)
            hidden = hidden + self.mean
        if self.peculiarity == "dropout":
            hidden = nn.functional.dropout(hidden, 0.5)
        if self.peculiarity == "break" and float(hidden.detach().sum()) > 1e9:
            hidden = hidden * 2
        logits = self.out(hidden)
        return {"logits": list(logits.unbind(1)), "features": hidden} if self.peculiarity == "features" else logits


class Fading(nn.Module):
    """A generator with a number that changes each step."""

    def __init__(self, image: gankit.ImageSpec, latent_dim: int, *, gain: gankit.Scheduled = 1.0) -> None:
        super().__init__()
        self.image, self.gain = image, gain
        self.linear = nn.Linear(latent_dim, image.channels * image.height * image.width)

    def forward(self, z, labels=None):
        return (self.gain * self.linear(z)).view(-1, self.image.channels, self.image.height, self.image.width).tanh()


class Strict(nn.Module):
    """A discriminator that refuses what it is given."""

    def __init__(self, image: gankit.ImageSpec) -> None:
        super().__init__()
        self.out = nn.Linear(image.channels * image.height * image.width, 1)

    def forward(self, images, labels=None):
        if len(images) == 8:
            raise ValueError("give me more images")
        return self.out(images.flatten(1))


class Viewing(nn.Module):
    """A discriminator that cannot flatten feature maps in channels_last."""

    def __init__(self, image: gankit.ImageSpec) -> None:
        super().__init__()
        self.conv, self.out = nn.Conv2d(image.channels, 4, 4, 4), nn.Linear(image.height * image.width // 4, 1)

    def forward(self, images, labels=None):
        maps = self.conv(images)
        return self.out(maps.view(len(maps), -1))


class LogitsFirst:
    """A penalty that looks at the logits, and only then takes the gradient."""

    def __init__(self, *, interval: int = 1) -> None:
        self.interval = interval

    def discriminator(self, turn):
        return turn.real_logits.square().mean() + turn.gradient(turn.real).square().sum()


class OfFakes:
    """A term of the generator's that the gradient with respect to its images enters."""

    def __init__(self, *, interval: int = 1) -> None:
        self.interval = interval

    def generator(self, turn):
        return turn.gradient(turn.fake).square().sum()


class ByHand:
    """A penalty that does not use `turn.gradient`."""

    def __init__(self, *, interval: int = 1) -> None:
        self.interval = interval

    def discriminator(self, turn):
        return torch.autograd.grad(turn.real_logits.sum(), turn.real, create_graph=True)[0].square().sum()


PARTS = {
    "generators": {"fading": Fading},
    "discriminators": {"critic": Critic, "strict": Strict, "viewing": Viewing},
    "regularizers": {"logits_first": LogitsFirst, "of_fakes": OfFakes, "by_hand": ByHand},
}


@pytest.fixture
def needs_compiler():
    if shutil.which(os.environ.get("CXX", "g++")) is None:
        pytest.skip("torch.compile needs a C++ compiler: there is no g++")


@pytest.fixture
def traced_by():
    """`torch.compile`, but by a backend that writes no C++."""
    compile = torch.compile
    return lambda backend: lambda function, fullgraph, options: compile(function, fullgraph=fullgraph, backend=backend)


@pytest.fixture(params=["traced", pytest.param("compiled", marks=pytest.mark.slow)])
def backend(request, monkeypatch, traced_by):
    """All of torch.compile, or all but writing C++, which takes most of the time and has the least to do with us."""
    if request.param == "traced":
        monkeypatch.setattr(torch, "compile", traced_by("aot_eager"))
    else:
        request.getfixturevalue("needs_compiler")


@pytest.fixture
def assemble(runtime, recipe, add_components):
    add_components(runtime, **PARTS)

    def make(compile=True, run_dir=None, **changes):
        train = {"compile": compile, **changes.pop("train", {})}
        return runtime.assemble(recipe(**changes, train=train), run_dir)

    return make


def _difference(one, other):
    """The largest of the tensors' differences, each relative to its norm."""
    pairs = [(a.detach().double(), b.detach().double()) for a, b in zip(one, other, strict=True)]
    return max(float((a - b).norm() / b.norm().clamp_min(1e-6)) for a, b in pairs)


def gradients(trainer):
    """Those that there are; without one, an optimizer leaves a weight alone."""
    named = [(side, *pair) for side, network in trainer.state.networks().items() for pair in network.named_parameters()]
    return {(side, name): p.grad for side, name, p in named if p.grad is not None}


def _assert_same_gradients(one, other, tolerance=1e-5):
    one, other = gradients(one), gradients(other)
    assert one.keys() == other.keys()
    assert _difference(one.values(), other.values()) < tolerance


def _tensors(trainer):
    return [tensor for network in trainer.state.networks().values() for tensor in network.state_dict().values()]


def _assert_same_steps(assemble, steps=3, **changes):
    compiled, eager = assemble(True, **changes), assemble(False, **changes)
    for step in range(steps):
        scalars = compiled.step(), eager.step()
        if step == 0:
            _assert_same_gradients(compiled, eager)
    assert scalars[0].keys() == scalars[1].keys()
    for name, value in scalars[1].items():
        assert float(scalars[0][name]) == pytest.approx(float(value), rel=1e-5, abs=1e-5), name
    assert _difference(_tensors(compiled), _tensors(eager)) < 1e-5
    assert not any("torch._dynamo" in type(network).__module__ for network in compiled.state.networks().values())
    return compiled


@pytest.fixture
def difference():
    return _difference


@pytest.fixture
def tensors():
    return _tensors


@pytest.fixture
def assert_same_gradients():
    return _assert_same_gradients


@pytest.fixture
def assert_same_steps():
    return _assert_same_steps
