"""Networks that do not work in the fastest memory layout or precision: what they train with, and what a trial leaves."""

from __future__ import annotations

import json
import random

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

import gankit


class Critic(nn.Module):
    """A convolution and a linear layer; works in every way."""

    def __init__(self, image: gankit.ImageSpec) -> None:
        super().__init__()
        self.conv = nn.Conv2d(image.channels, 4, 3, 2, 1)
        self.out = nn.Linear(4 * image.height * image.width // 4, 1)

    def forward(self, images, labels=None):
        return self.out(self.flatten(self.conv(images)))

    def flatten(self, maps):
        return maps.flatten(1)


class Viewing(Critic):
    def flatten(self, maps):
        return maps.view(maps.size(0), -1)


class FullPrecision(Critic):
    def flatten(self, maps):
        assert maps.dtype == torch.float32
        return maps.flatten(1)


class ViewingInFullPrecision(Viewing):
    def flatten(self, maps):
        assert maps.dtype == torch.float32
        return super().flatten(maps)


class InItsBackward(Critic):
    """Fails in the backward only."""

    class Flatten(torch.autograd.Function):
        @staticmethod
        def forward(ctx, maps):
            ctx.shape = maps.shape
            return maps.flatten(1)

        @staticmethod
        def backward(ctx, gradient):
            assert gradient.dtype == torch.float32
            return gradient.view(ctx.shape)

    def flatten(self, maps):
        return self.Flatten.apply(maps)


class Declared(Viewing):
    memory_format = "contiguous"
    precision = "fp32"


class Misspelt(Critic):
    memory_format = "nchw"


class Broken(Critic):
    def flatten(self, maps):
        raise KeyError


class ViewingGenerator(nn.Module):
    def __init__(self, image: gankit.ImageSpec, latent_dim: int) -> None:
        super().__init__()
        self.linear = nn.Linear(latent_dim, 4 * image.height * image.width)
        self.conv = nn.Conv2d(4, image.channels, 3, 1, 1)
        self.shape = image.height, image.width

    def forward(self, z, labels=None):
        images = self.conv(self.linear(z).view(-1, 4, *self.shape)).tanh()
        images.view(len(z), -1)
        return images


class Remembering(Viewing):
    """Has every kind of state that a forward changes, and remembers how it was built."""

    def __init__(self, image: gankit.ImageSpec) -> None:
        super().__init__(image)
        self.norm, self.out = nn.BatchNorm2d(4), spectral_norm(self.out)
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64))
        self.calls = 0
        self.initial = {name: tensor.clone() for name, tensor in self.state_dict().items()}

    def forward(self, images, labels=None):
        self.calls += 1
        self.seen += len(images)
        noise = torch.rand(1) + random.random() + np.random.rand()
        return super().forward(images) + noise

    def flatten(self, maps):
        return super().flatten(self.norm(maps))


CLASSES = {
    "critic": Critic,
    "viewing": Viewing,
    "full_precision": FullPrecision,
    "viewing_in_full_precision": ViewingInFullPrecision,
    "in_its_backward": InItsBackward,
    "declared": Declared,
    "misspelt": Misspelt,
    "broken": Broken,
    "remembering": Remembering,
}
CONTIGUOUS, FP32 = {"memory_format": "contiguous"}, {"precision": "fp32"}


@pytest.fixture
def assemble(tiny_runtime, tiny_recipe, add_components, tmp_path):
    """``assemble(D, precision, **sections)``: a trainer of the tiny recipe in ``run``."""
    add_components(tiny_runtime, generators={"viewing": ViewingGenerator}, discriminators=CLASSES)

    def make(discriminator, precision="bf16", **sections):
        train = {"steps": 2, "device": "cpu", "precision": precision}
        recipe = tiny_recipe(tmp_path, discriminator={"name": discriminator}, train=train, **sections)
        return tiny_runtime.assemble(tiny_runtime.load_checked(recipe), tmp_path / "run")

    make.runtime = tiny_runtime
    return make


def is_channels_last(network):
    return network.conv.weight.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize(
    ("name", "precision", "mode"),
    [
        ("critic", "bf16", {}),
        ("viewing", "bf16", CONTIGUOUS),
        ("viewing", "fp32", CONTIGUOUS),
        ("viewing", "fp64", CONTIGUOUS),
        ("full_precision", "bf16", FP32),
        ("full_precision", "fp32", {}),
        ("viewing_in_full_precision", "bf16", CONTIGUOUS | FP32),
        ("in_its_backward", "bf16", FP32),
    ],
)
def test_the_first_way_that_works_is_used_reported_and_recorded(assemble, tmp_path, name, precision, mode, events):
    trainer = assemble(name, precision)
    trainer.fit()
    assert trainer.ending == "done"
    modes = {"discriminator": mode} if mode else None
    assert json.loads((tmp_path / "run/run.json").read_text()).get("compute") == modes
    assert json.loads((trainer.checkpoint / "manifest.json").read_text()).get("compute") == modes
    assert is_channels_last(trainer.state.discriminator) == ("memory_format" not in mode)
    reported = [{key: event[key] for key in ("network", *mode)} for event in events(tmp_path / "run", "slower_network")]
    assert reported == ([{"network": "discriminator", **mode}] if mode else [])


def test_a_generator_trains_resumes_and_samples(assemble, tmp_path, events):
    trainer = assemble("critic", generator={"name": "viewing"}, ema={"half_life_images": 10})
    trainer.fit()
    assert [event["network"] for event in events(tmp_path / "run", "slower_network")] == ["generator"]
    samples = trainer.sample(4, seed=1)
    assert torch.equal(assemble.runtime.load_generator(tmp_path / "run").sample(4, seed=1), samples)
    resumed = assemble.runtime.resume(tmp_path / "run", ["train.steps=4"])
    assert torch.equal(resumed.sample(4, seed=1), samples)
    resumed.fit()
    assert (resumed.state.step, len(events(tmp_path / "run", "slower_network"))) == (4, 1)


def test_a_resumed_run_computes_as_before_where_the_fast_way_works_again(assemble, tmp_path, monkeypatch):
    assemble("viewing").fit()
    monkeypatch.setattr(Viewing, "flatten", Critic.flatten)
    resumed = assemble.runtime.resume(tmp_path / "run", ["train.steps=3"])
    assert not is_channels_last(resumed.state.discriminator)
    resumed.fit()
    manifest = json.loads((resumed.checkpoint / "manifest.json").read_text())
    assert manifest["compute"] == {"discriminator": CONTIGUOUS}


def test_a_damaged_record_is_refused(assemble, tmp_path):
    assemble("viewing").fit()
    manifest = next((tmp_path / "run/checkpoints").iterdir()) / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"contiguous"', '"upside down"'))
    with pytest.raises(gankit.CheckpointError, match="its entry 'compute': .*upside down.* is not a way to compute"):
        assemble.runtime.resume(tmp_path / "run")


def test_a_class_declares_what_it_needs(assemble, tmp_path, events):
    trainer = assemble("declared")
    trainer.fit()
    assert not is_channels_last(trainer.state.discriminator)
    assert json.loads((tmp_path / "run/run.json").read_text())["compute"] == {"discriminator": CONTIGUOUS | FP32}
    assert not events(tmp_path / "run", "slower_network")


def test_a_declaration_with_another_value_is_refused(assemble):
    with pytest.raises(gankit.RecipeError, match=r"Misspelt declares memory_format = 'nchw'; the only value is 'contig"):
        assemble("misspelt")


def test_the_command_line_prints_a_warning(with_discriminator, tmp_path):
    source = """
        class D(nn.Module):
            def __init__(self, image: gankit.ImageSpec) -> None:
                super().__init__()
                self.conv = nn.Conv2d(3, 1, 4, 4)
            def forward(self, images, labels=None):
                return self.conv(images).sum(1) + images.view(len(images), -1)[:, :1, None]
    """
    said = with_discriminator("run", source, "--out", tmp_path / "run")
    assert said.code == 0, said.err
    assert "warning: the discriminator trains with memory format contiguous" in said.err
    assert f"({tmp_path / 'plugin.py'}:9: return self.conv(images)" in said.err


def test_a_network_that_works_in_no_way_is_refused_with_its_line(assemble, tiny_recipe, tmp_path, monkeypatch):
    with pytest.raises(gankit.RecipeError, match=r"discriminator: KeyError"):
        assemble("broken")  # found by the check
    monkeypatch.setattr(Broken, "flatten", lambda self, maps: float(maps.detach().sum()) / 0)  # the check reads no values
    expected = r"discriminator: fails on two inputs: ZeroDivisionError: .* \(.*test_compute_modes.py:\d+: .* / 0\)"
    with pytest.raises(gankit.RecipeError, match=expected):
        assemble("broken")
    assert not (tmp_path / "run").exists()


def test_a_trial_leaves_everything_as_it_was(assemble):
    states = [random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()]
    discriminator = assemble("remembering").state.discriminator
    assert [random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()] == states
    assert discriminator.calls == 0
    assert discriminator.training
    assert not is_channels_last(discriminator)  # so there was a trial, which failed at first
    for name, tensor in discriminator.state_dict().items():
        assert torch.equal(tensor, discriminator.initial[name]), name
    assert all(parameter.grad is None for parameter in discriminator.parameters())
