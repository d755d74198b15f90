"""Networks, games and codecs of plugins: what becomes an input, what is fixed, and what is refused."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import ClassVar, Literal

import pytest
import torch
from safetensors import safe_open
from torch import nn

import gankit
from gankit.export import export
from gankit.export.export_generator import SUFFIXES


class Linear(nn.Module):
    """A linear layer; the networks below replace a part of it."""

    def __init__(self, image, latent_dim):
        super().__init__()
        self.shape = (image.channels, image.height, image.width)
        self.linear = nn.Linear(latent_dim, image.channels * image.height * image.width)

    def forward(self, z):
        return self.images(z)

    def images(self, z):
        return self.linear(z).unflatten(1, self.shape).tanh()


class Noisy(Linear):
    def forward(self, z, *, noise: Literal["random", "none"] = "random"):
        return self.images(z) + (torch.randn_like(z).mean() if noise == "random" else 0)


class Dropout(Linear):
    def __init__(self, image, latent_dim, *, always: bool = False):
        super().__init__(image, latent_dim)
        self.always, self.dropout = always, nn.Dropout(0.5)

    def forward(self, z):
        return self.images(nn.functional.dropout(z) if self.always else self.dropout(z))


class DeclaredNoisy(Noisy):
    deterministic_options: ClassVar = {"noise": "none"}


class Branching(Linear):
    def forward(self, z, *, gain: float = 1.0, shift: float = 0.0, layers: int = 1):
        return self.images(z) * (gain if gain > 0.5 else 0.5) + shift


class IgnoresLabels(Linear):
    def forward(self, z, labels):
        return self.images(z)


class OneBatchSize(Linear):
    def forward(self, z):
        return self.images(z) + torch.zeros(len(z), 1, 1, 1)


class Different(Linear):
    """Computes something else in a program."""

    def forward(self, z):
        return self.images(z) + (0.001 if torch.compiler.is_exporting() else 0)


class WithoutOnnx(Linear):
    """Uses an operation that torch's ONNX exporter lacks."""

    def forward(self, z):
        return self.images(torch.special.bessel_j1(z))


class Tied(Linear):
    def __init__(self, image, latent_dim):
        super().__init__(image, latent_dim)
        self.again = self.linear


class WithFrozen(Linear):
    def __init__(self, image, latent_dim):
        super().__init__(image, latent_dim)
        self.mixed = gankit.Frozen(nn.Linear(latent_dim, latent_dim))

    def forward(self, z):
        return self.images(self.mixed(z))


NETWORKS = {kind.__name__.lower(): kind for kind in (Noisy, Dropout, DeclaredNoisy, Branching, IgnoresLabels, OneBatchSize, Different, Tied, WithFrozen, WithoutOnnx)}  # fmt: skip


class Plugin:
    @gankit.hookimpl
    def register(self, registries):
        for name, network in NETWORKS.items():
            registries.generators.add(name, network)


@pytest.fixture
def exported(trained):
    """``exported("tied", "safetensors", **options)``: trains the network and exports it."""

    def run(network, format="torch-export", overrides=(), **options):
        plugins = (Plugin(),)
        if not Path("run").exists():
            trained("image.size=8", "dataset.size=8", f"generator={network}", *overrides, plugins=plugins)
        return export("run", f"g{SUFFIXES[format]}", format, options, runtime=gankit.Runtime(plugins=plugins))

    return run


def test_random_numbers_are_refused(exported):
    with pytest.raises(gankit.GankitError, match=r"Noisy draws random numbers while it generates images \(aten.*\), which an exported program cannot repeat$"):
        exported("noisy")
    assert not [*Path().glob("*g.pt2*")]


def test_dropout(exported):
    assert exported("dropout").difference == 0
    shutil.rmtree("run")
    with pytest.raises(gankit.GankitError, match=r"Dropout draws random numbers while it generates images \(aten.dropout.default\)"):
        exported("{name: dropout, always: true}")


def test_a_network_declares_how_to_avoid_them(exported):
    assert exported("declarednoisy").fixed == {"noise": "none"}
    with pytest.raises(gankit.GankitError, match="cannot repeat; set noise=none$"):
        exported("declarednoisy", noise="random")


def test_numbers_that_the_network_branches_on_are_fixed(exported):
    done = exported("branching")
    assert (dict(done.shapes), done.fixed) == (
        {"z": ("n", 16), "images": ("n", 3, 8, 8)},
        {"gain": 1.0, "shift": 0.0, "layers": 1},
    )


def test_an_option_that_is_given_is_fixed_and_others_remain_inputs(exported):
    done = exported("branching", gain=0.8)
    assert done.fixed == {"gain": 0.8, "layers": 1}
    assert done.shapes["shift"] == ()
    images = [torch.export.load("g.pt2").module()(z=torch.ones(2, 16), shift=torch.tensor(s)) for s in (0.0, 0.25)]
    torch.testing.assert_close(images[1] - images[0], torch.full_like(images[0], 0.25))


@pytest.mark.parametrize(
    ("network", "options", "message"),
    [
        ("branching", {"gain": "input"}, "cannot be exported with gain as an input"),
        ("branching", {"layers": "input"}, "option 'layers' cannot be an input of the program, because it does not take"),
        ("branching", {"gian": 1.0}, "sampling option 'gian': unknown key; did you mean 'gain'?"),
        ("branching", {"gain": "high"}, "sampling option 'gain': should be a number; got 'high'"),
        ("onebatchsize", {}, "the computation of images cannot be exported"),
        ("different", {}, r"g.pt2: not written: its images differ from those of gankit by up to 0.001, more than the tolerance of 0.0001"),
    ],
)  # fmt: skip
def test_what_is_refused(exported, network, options, message):
    with pytest.raises(gankit.GankitError, match=message):
        exported(network, **options)
    assert not [*Path().glob("*g.pt2*")]


def test_an_input_without_effect(exported):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    done = exported("ignoreslabels", "onnx", overrides=("conditional=true",))
    assert [*done.shapes] == ["z", "labels", "images"]


def test_an_operation_that_onnx_lacks(exported):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    with pytest.raises(gankit.GankitError, match="torch's exporter cannot write this program: .*bessel_j1.*; use torch-export$"):
        exported("withoutonnx", "onnx")
    assert not [*Path().glob("*g.onnx*")]


def test_tied_weights(exported):
    assert exported("tied", "safetensors").difference == 0
    with safe_open("g.safetensors", framework="pt") as file:
        assert {*file.keys()} == {"linear.weight", "linear.bias"}
        assert file.metadata()["tied:again.weight"] == "linear.weight"


def test_an_included_model(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert export("builtin:cifar10", "g.safetensors", "safetensors").difference == 0


def test_frozen_networks_are_part_of_a_program(exported):
    assert exported("withfrozen").difference == 0
    with pytest.raises(gankit.GankitError, match="needs its codec or frozen networks as well; use torch-export or onnx"):
        export("run", "g.safetensors", "safetensors", runtime=gankit.Runtime(plugins=[Plugin()]))


OWN_GAMES = Path(__file__).parents[1] / "own_games" / "plugins"


@pytest.fixture
def own_run(tmp_path, monkeypatch):
    """``own_run(name) -> runtime``: the recipe and the plugin of tests/own_games/plugins, after one step."""

    def train(name):
        monkeypatch.chdir(tmp_path)
        runtime = gankit.Runtime(plugins=[str(OWN_GAMES / f"{name}.py")])
        small = ["train.steps=1", "train.precision=fp32", "callbacks=[checkpoint]"]
        runtime.assemble(runtime.load_checked(OWN_GAMES / f"{name}.yaml", small), "run").fit()
        return runtime

    return train


def test_a_game_with_its_own_generate(own_run):
    """The numbers that it draws are inputs."""
    done = export("run", "g.pt2", "torch-export", {"steps": 3}, runtime=own_run("flow_matching"))
    assert done.fixed == {"steps": 3}
    assert [*done.shapes] == ["normal_1", "images"]
    assert done.shapes["normal_1"] == done.shapes["images"]


def test_a_codec_decodes(own_run):
    done = export("run", "g.pt2", "torch-export", runtime=own_run("latent_space"))
    image = gankit.load_generator("run", plugins=[str(OWN_GAMES / "latent_space.py")]).image
    assert done.shapes["images"] == ("n", image.channels, image.height, image.width)


def test_vectors(own_run):
    done = export("run", "g.pt2", "torch-export", {"brightness": "input"}, runtime=own_run("attributes"))
    assert [*done.shapes] == ["z", "look", "brightness", "images"]
