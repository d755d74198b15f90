"""``train.checkpoint_activations``: modules that the backward runs again. All results stay the same, bit by bit."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

import gankit
from gankit.device.activation_checkpointing import checkpoint_activations

ALL = {"generator": ["*"], "discriminator": ["*"]}
STYLEGAN2 = {"name": "stylegan2", "width": 8, "max_width": 8}
STYLEGAN2_D = {**STYLEGAN2, "group_size": 4}
R1 = {"name": "r1", "gamma": 1.0}
CASES = {
    "DCGAN with BatchNorm": ({}, ALL),
    "blocks in blocks": (
        {"generator": STYLEGAN2, "discriminator": STYLEGAN2_D},
        {"generator": ["synthesis.*", "synthesis.blocks.*"], "discriminator": ["blocks.*"]},
    ),
    "noise and path length": (
        {
            "generator": {**STYLEGAN2, "style_mixing": 0.5},
            "discriminator": STYLEGAN2_D,
            "regularizers": [{"name": "path_length", "interval": 2}],
        },
        {"generator": ["synthesis.first", "synthesis.blocks.*"]},
    ),
    "spectral norm": ({"discriminator": {"name": "resnet", "width": 8}}, ALL),
    "R1 in each turn, with R2": (
        {"discriminator": {"name": "dcgan", "width": 8, "norm": "layer"}, "regularizers": [R1, {"name": "r2"}]},
        ALL,
    ),
    "lazy R1 through spectral norm": (
        {"discriminator": {"name": "resnet", "width": 8}, "regularizers": [{**R1, "interval": 2}]},
        ALL,
    ),
    "WGAN-GP through noise of D": (
        {"discriminator": {"name": "noisy"}, "regularizers": ["gradient_penalty"], "loss": "wasserstein"},
        {"discriminator": ["blocks.*"]},
    ),
    "microbatches": ({"train": {"microbatch": 3}, "regularizers": [R1]}, ALL),
    "bf16": ({"train": {"precision": "bf16", "kernels": "torch"}, "regularizers": [R1]}, ALL),
}


class Block(nn.Module):
    """A linear layer with the older spectral norm, which computes the weight in a hook, BatchNorm and dropout."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.linear = nn.utils.spectral_norm(nn.Linear(inputs, 8))
        self.norm = nn.BatchNorm1d(8)
        self.calls = 0

    def forward(self, features):
        self.calls += 1
        return nn.functional.dropout(self.norm(self.linear(features)).tanh(), 0.3, self.training)


class Noisy(nn.Module):
    """Two blocks, and a layer with spectral norm whose hook is its own."""

    def __init__(self, image: gankit.ImageSpec) -> None:
        super().__init__()
        size = image.channels * image.height * image.width
        self.blocks = nn.ModuleList([Block(size), Block(8), nn.utils.spectral_norm(nn.Linear(8, 8))])
        self.out = nn.Linear(8, 1)

    def forward(self, images, labels=None):
        features = images.flatten(1)
        for block in self.blocks:
            features = block(features)
        return self.out(features).flatten()


class Plugin:
    @gankit.hookimpl
    def register(self, registries):
        registries.discriminators.add("noisy", Noisy)


@pytest.fixture
def trained(runtime, recipe):
    """``trained(**changes)``: a trainer after three steps."""
    runtime.load_plugin(Plugin())

    def train(**changes) -> gankit.Trainer:
        trainer = runtime.assemble(recipe(**{"ema": {"half_life_images": 40}, **changes}))
        trainer.last_scalars = [trainer.step() for _ in range(3)][-1]
        return trainer

    return train


def values(trainer):
    """All parameters, buffers and scalars."""
    networks = trainer.state.networks().items()
    tensors = {f"{n}.{key}": tensor for n, network in networks for key, tensor in network.state_dict().items()}
    return tensors | trainer.last_scalars


@pytest.mark.parametrize("case", CASES)
def test_the_same_weights_buffers_and_scalars(trained, case):
    changes, patterns = CASES[case]
    plain = trained(**changes)
    train = {**changes.get("train", {}), "checkpoint_activations": patterns}
    checkpointed = trained(**{**changes, "train": train})
    expected, found = values(plain), values(checkpointed)
    assert found.keys() == expected.keys()
    assert [name for name in expected if not torch.equal(expected[name], found[name])] == []


def test_the_outermost_modules_that_match_run_twice(trained):
    """A list of modules has no forward, so that its modules count. Without gradients, nothing runs again."""
    discriminator = {"name": "noisy"}
    plain = trained(discriminator=discriminator)
    patterns = {"discriminator": ["blocks.*", "blocks.0.norm"]}
    trainer = trained(discriminator=discriminator, train={"checkpoint_activations": patterns})
    one, other = plain.state.discriminator, trainer.state.discriminator
    pairs = zip(one.named_modules(), other.modules(), strict=True)
    assert [name for (name, a), b in pairs if type(a) is not type(b)] == ["blocks.0", "blocks.1", "blocks.2"]
    assert type(other.blocks[0]).__name__ == "Block"
    assert isinstance(other.blocks[0], Block)
    assert (one.blocks[0].calls, other.blocks[0].calls) == (9, 18)  # in three steps: twice for D, once for G
    with torch.no_grad():
        other(torch.zeros(2, 3, 16, 16))
    assert other.blocks[0].calls == 19


def test_a_copy_computes_with_its_own_weights():
    module = nn.Sequential(nn.Linear(3, 3))
    checkpoint_activations(module[0])
    twin = copy.deepcopy(module)
    with torch.no_grad():
        module[0].weight.zero_()
    twin(torch.ones(1, 3)).sum().backward()
    assert module[0].weight.grad is None
    assert twin[0].weight.grad.ne(0).all()


@pytest.mark.parametrize(
    ("train", "message"),
    [
        (
            {"checkpoint_activations": {"discriminator": ["feature"]}},
            r"train\.checkpoint_activations\.discriminator\.0: 'feature' matches no module of the discriminator; did you mean",
        ),
        (
            {"checkpoint_activations": {"generator": ["layers.0.weight"]}},
            r"train\.checkpoint_activations\.generator\.0: 'layers\.0\.weight' matches no module of the generator",
        ),
        ({"checkpoint_activations": ALL, "compile": True}, "checkpoint_activations needs compile: false"),
        ({"checkpoint_activations": {"critic": ["*"]}}, r"critic: unknown key"),
    ],
)
def test_refusals(runtime, recipe, train, message):
    with pytest.raises(gankit.RecipeError, match=message):
        runtime.check(recipe(train=train))


def test_a_list_of_modules_is_refused_before_the_run(runtime, recipe, tmp_path):
    runtime.load_plugin(Plugin())
    made = recipe(discriminator={"name": "noisy"}, train={"checkpoint_activations": {"discriminator": ["blocks"]}})
    with pytest.raises(gankit.RecipeError, match=r"'blocks' matches no module of the discriminator; did you mean 'blocks\.\*'"):
        runtime.assemble(made, tmp_path / "run")
    assert not (tmp_path / "run").exists()
