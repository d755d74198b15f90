"""Components that gankit cannot call, or that return something else: who, what was given, and what is expected."""

from __future__ import annotations

import re

import pytest
import torch
from torch import nn

import gankit


class Network(nn.Module):
    """Of either player, by ``forward``."""

    def __init__(self, inputs, outputs, forward):
        super().__init__()
        self.linear = nn.Linear(inputs, outputs)
        self.forward = forward.__get__(self)


def generator(forward):
    return lambda image, latent_dim: Network(latent_dim, 768, forward)


def discriminator(forward):
    return lambda image: Network(768, 1, forward)


def augmentation(forward):
    return lambda image: Network(1, 1, forward).requires_grad_(False)


def latent(sample):
    return lambda dim: type("Mine", (), {"sample": sample})()


def other(**methods):
    return type("Mine", (), methods)


def game(**methods):
    return type("Mine", (gankit.Game,), methods)


def images(self, z):
    return self.linear(z).view(-1, 3, 16, 16)


def logits(self, x):
    return self.linear(x.flatten(1))


def mean(self, turn):
    return turn.fake_logits.mean() + (turn.real_logits.mean() if turn.player == "discriminator" else 0)


def raises(*args):
    raise KeyError("lr")


CALLS = [
    ("generators", generator(lambda self, z, y, extra: images(self, z)), "generator: Network.forward(z, y, extra) asks for 'y'"),
    ("generators", generator(lambda self, z, labels, sources: images(self, z)), "asks for 'sources'; known: image, labels, z; gankit passes z, labels, image by name, or (z, labels) by position; put other parameters after a '*'"),
    ("generators", generator(lambda self, label, z: images(self, z)), "asks for 'label'; did you mean 'labels'?"),
    ("discriminators", discriminator(lambda self, x, y, extra: logits(self, x)), "discriminator: Network.forward(x, y, extra) asks for 'y'"),
    ("discriminators", lambda image: nn.Module(), "discriminator: Module lacks `forward`"),
    ("augmentations", augmentation(lambda self: None), "augmentations.0: Network.forward() cannot be called as forward(images)"),
    ("losses", other(discriminator=lambda self, real, fake: 0, generator=mean), "loss: Mine.discriminator(real, fake) cannot be called as discriminator(turn)"),
    ("losses", other(discriminator=3, generator=mean), "Mine.discriminator is an int; expected a method discriminator(turn)"),
    ("losses", other(discriminator=mean, generator=mean, after=lambda self: 0), "Mine.after() cannot be called as after(turn)"),
    ("regularizers", other(discriminator=lambda self: 0), "regularizers.0: Mine.discriminator() cannot be called as discriminator(turn)"),
    ("regularizers", other(discriminator=mean, fits=lambda self, g: 0), "Mine.fits(g) cannot be called as fits(generator, output, image)"),
    ("regularizers", other(discriminator=mean, genrator=mean), "regularizers.0: Mine has a method 'genrator'; did you mean 'generator'?"),
    ("losses", other(discriminator=mean, generator=mean, afterr=mean), "loss: Mine has a method 'afterr'; did you mean 'after'?"),
    ("games", game(step=lambda self: {}, set_up=lambda self: None), "train.game: Mine has a method 'set_up'; did you mean 'setup'?"),
    ("latents", latent(lambda self, n: torch.zeros(n, 4)), "latent: Mine.sample(n) cannot be called as sample(n, labels, generator)"),
    ("games", other(step=lambda self, game, batches, state: {}), "train.game: Mine is not a gankit.Game: make it a subclass with step(self), which takes batches from self.next_batch() and updates a player by self.update(player, batch)"),
    ("games", game(step=lambda self, game: {}), "train.game: Mine.step(game) cannot be called as step(), as gankit calls it"),
    ("games", game(step=lambda self: {}, terms=lambda self: {}), "train.game: Mine.terms() cannot be called as terms(turn)"),
    ("callbacks", other(on_step_end=lambda self: 0), "callback 'mine': Mine.on_step_end() cannot be called as on_step_end(run)"),
    ("datasets", other(__len__=lambda self: 8, __getitem__=lambda self, index: None, prepare=lambda self, root: None), "dataset: Mine.prepare(root) cannot be called as prepare()"),
]  # fmt: skip

CHECKED_VALUES = [
    ("generators", generator(lambda self, z, y: None), "generator: returns None (is a `return` missing?) for two latents"),
    ("generators", generator(lambda self, z, y: (images(self, z), z)), "generator: returns a tuple for two latents"),
    ("discriminators", discriminator(lambda self, x, y: {"out": logits(self, x)}), "discriminator: returns a dict with the keys 'out' for two images; expected logits [2 ...], a list of logits, or a mapping with 'logits'"),
    ("discriminators", discriminator(lambda self, x, y: (logits(self, x), None)), "returns [2, 1], None (is a `return` missing?) for two images"),
    ("augmentations", augmentation(lambda self, x: (x, None)), "augmentations.0: returns a tuple for images [2, 3, 16, 16]"),
    ("latents", latent(lambda self, n, labels, generator: torch.randn(4, n)), "`sample` of the latent returns [4, 2]; expected a tensor [2 d]"),
    ("latents", latent(lambda self, n, labels, generator: torch.randn(n, 5)), "latent: `sample` returns [2, 5] for two latents; expected [2, 4], since latent.dim is 4"),
    ("latents", latent(lambda self, n, labels, generator: None), "`sample` of the latent returns None"),
    ("latents", latent(lambda self, n, labels, generator: torch.zeros(n, 4, device="meta")), "returns a tensor on meta; expected cpu, as its argument `generator`"),
    ("losses", other(discriminator=lambda self, turn: None, generator=mean), "loss: Mine.discriminator returns None (is a `return` missing?); expected a 0-d tensor"),
    ("losses", other(discriminator=lambda self, turn: 1.0, generator=mean), "loss: Mine.discriminator returns a float; expected"),
    ("losses", other(discriminator=mean, generator=lambda self, turn: turn.fake_logits), "loss: Mine.generator returns [2]; expected"),
    ("regularizers", other(generator=lambda self, turn: None), "regularizers.0: Mine.generator returns None"),
    ("regularizers", other(generator=lambda self, turn: turn.fake_logit.mean()), f"regularizers.0: Mine.generator: a turn has no attribute 'fake_logit'; did you mean 'fake_logits'? ({__file__}:"),
]  # fmt: skip

VALUES_OF_A_STEP = [
    ("losses", other(discriminator=lambda self, turn: mean(self, turn).detach(), generator=mean), "discriminator_loss has no gradient: it does not depend on the discriminator"),
    ("regularizers", other(discriminator=mean, after=lambda self, turn: [1]), "Mine.after returns a list; expected a mapping of names to 0-d tensors"),
    ("games", game(step=lambda self: None), "Mine.step returns None"),
    ("games", game(step=lambda self: {"loss": 1.0}), "Mine.step returns a float under 'loss'; expected a 0-d tensor"),
    ("games", game(step=lambda self: self.update("generator", self.next_batch(), lambda turn: None)), "the function for the terms of a turn returns None"),
    ("games", game(step=lambda self: self.update("generator", self.next_batch(), lambda turn: {"a": 1})), "the function for the terms of a turn returns an int under 'a'"),
    ("games", game(step=lambda self: self.update("generator", self.next_batch(), lambda turn: {"a": turn.real.mean()})), "a has no gradient: it does not depend on the generator"),
    ("games", game(step=lambda self: self.update("discriminator", self.next_batch(), lambda turn: {"a": turn.real.mean()})), "a does not depend on the parameters of the discriminator"),
]  # fmt: skip

OPTIMIZERS = [
    ("optimizers", lambda parameters: None, "returns None (is a `return` missing?), which is not a torch.optim.Optimizer"),
    ("optimizers", lambda parameters: raises(), f"KeyError: 'lr' ({__file__}:"),
]  # fmt: skip

RIGHT = [
    ("generators", generator(images)),
    ("generators", generator(lambda self, noise, y: images(self, noise))),
    ("generators", lambda data, latent_dim: Network(latent_dim, 3 * data.image.height * data.image.width, images)),
    ("discriminators", discriminator(logits)),
    ("discriminators", discriminator(lambda self, x, image: logits(self, x - image))),
    ("generators", generator(lambda self, z, labels=None: images(self, z))),
    ("discriminators", discriminator(lambda self, x, labels=None: {"logits": logits(self, x), "out": x})),
    ("augmentations", augmentation(lambda self, x: x * 2)),
    ("losses", other(discriminator=mean, generator=mean, after=lambda self, turn: {"one": torch.ones(())})),
    ("latents", latent(lambda self, n, labels, generator: torch.randn(n, 4, generator=generator))),
    ("regularizers", other(discriminator=lambda self, turn: turn.real_logits.mean().view(1))),  # without `interval`
    ("games", game(step=lambda self: {"pixels": self.next_batch().images.sum()})),
    ("callbacks", other(on_step_end=lambda self, run: None)),
    ("optimizers", lambda parameters: torch.optim.SGD(parameters, lr=0.1)),
]


@pytest.fixture
def check(tiny_runtime, tiny_recipe, add_components, tmp_path):
    """``check(kind, factory)``: the checked recipe with this component."""

    def check(kind, factory):
        add_components(tiny_runtime, **{kind: {"mine": factory}})
        singular = {"generators": "generator", "discriminators": "discriminator", "losses": "loss", "datasets": "dataset"}
        sections = {
            "latents": {"latent": {"name": "mine", "dim": 4}},
            "optimizers": {"optimizers": {"generator": "mine", "discriminator": "mine"}},
            "games": {"train": {"steps": 2, "device": "cpu", "precision": "fp32", "game": "mine"}},
        }.get(kind) or ({singular[kind]: "mine"} if kind in singular else {kind: ["mine"]})
        return tiny_runtime.load_checked(tiny_recipe(tmp_path, **sections))

    check.runtime = tiny_runtime
    return check


@pytest.mark.parametrize(("kind", "factory", "message"), CALLS + CHECKED_VALUES)
def test_what_a_check_finds(check, kind, factory, message):
    with pytest.raises(gankit.RecipeError, match=re.escape(message)) as caught:
        check(kind, factory)
    assert re.match(r".*tiny.yaml:\d+:\d+: ", str(caught.value))


@pytest.mark.parametrize(("kind", "factory", "message"), VALUES_OF_A_STEP)
def test_what_a_step_finds(check, tmp_path, kind, factory, message):
    trainer = check.runtime.assemble(check(kind, factory), tmp_path / "run")
    with pytest.raises(gankit.GankitError, match=re.escape(message)):
        trainer.step()


@pytest.mark.parametrize(("kind", "factory", "message"), OPTIMIZERS)
def test_what_assembling_finds(check, kind, factory, message):
    with pytest.raises(gankit.RecipeError, match=rf"optimizers.generator: {re.escape(message)}"):
        check.runtime.assemble(check(kind, factory))


@pytest.mark.parametrize(("kind", "factory"), RIGHT)
def test_right_components_train(check, tmp_path, kind, factory):
    trainer = check.runtime.assemble(check(kind, factory), tmp_path / "run")
    trainer.step()
    assert trainer.state.step == 1
