"""Which keys of a recipe a game uses: those of the built-in games have an effect, and others are refused."""

from __future__ import annotations

import pytest
import torch

import gankit

SGD = {"name": "sgd", "lr": 0.1}
SETTINGS = {
    "loss": {"loss": {"name": "hinge"}},
    "regularizers": {"regularizers": [{"name": "r1", "gamma": 10.0}]},
    "augmentations": {"augmentations": [{"name": "diffaugment"}]},
    "train.discriminator_steps": {"train": {"discriminator_steps": 2}},
    "train.fresh_fakes": {"train": {"fresh_fakes": True}},
    "train.joint_pass": {"train": {"joint_pass": True}},
    "train.microbatch": {"train": {"microbatch": 3}},
    "train.clip_gradient": {"train": {"clip_gradient": 1e-3}},
}


class OwnTurns(gankit.Game):
    """Uses no key."""

    honours = ()

    def step(self):
        real = self.next_batch().images
        loss = self.discriminator(real, None).mean()
        loss.backward()
        return {"loss": loss.detach()}


class Shared(gankit.Game):
    """Both players see the same fakes."""

    extra = 0

    def step(self):
        batch = self.next_batch()
        fakes = self.draw_fakes(batch.rows(torch.arange(len(batch.images) + self.extra) % len(batch.images)))
        scalars = self.update("discriminator", batch, fakes=fakes)
        return scalars | self.update("generator", batch, fakes=fakes)


class TooMany(Shared):
    extra = 1


class WholeBatch(Shared):
    whole_batch = True


class Misspelt(Shared):
    honours = ("regularizer",)


class OneString(Shared):
    honours = "regularizers"


GAMES = {
    "own_turns": OwnTurns,
    "shared": Shared,
    "too_many": TooMany,
    "whole_batch": WholeBatch,
    "misspelt": Misspelt,
    "one_string": OneString,
}


@pytest.fixture
def weights(assemble, add_components):
    """``weights(game, **changes)``: all weights after two steps."""
    add_components(assemble.runtime, games=GAMES)

    def train(game, **changes):
        optimizers = {"generator": SGD, "discriminator": SGD}
        given = {"game": {"name": game, **({"p": 0.3, "target": None} if game == "apa" else {})}}
        trainer = assemble(optimizers=optimizers, **changes | {"train": changes.get("train", {}) | given})
        for _ in range(2):
            trainer.step()
        networks = (trainer.state.generator, trainer.state.discriminator)
        return torch.cat([p.detach().flatten() for network in networks for p in network.parameters()])

    train.assemble = assemble
    return train


@pytest.mark.parametrize("game", ["adversarial", "apa", "shared"])
def test_every_key_that_a_game_declares_has_an_effect(weights, game):
    declared = Shared.honours if game == "shared" else gankit.GAME_KEYS[:-1]  # CUDA graphs compute the same
    plain = weights(game)
    assert torch.equal(plain, weights(game))
    for key in declared:
        changed = weights(game, **SETTINGS[key])
        if game == "shared" and key == "train.microbatch":
            torch.testing.assert_close(changed, plain)  # the same fakes: the gradients are summed in another order
        else:
            assert not torch.equal(changed, plain), key


@pytest.mark.parametrize(("game", "refused"), [("own_turns", gankit.GAME_KEYS), ("shared", (*gankit.GAME_KEYS[3:5], "train.cuda_graphs"))])
def test_every_other_key_is_refused_where_it_is_set(weights, tmp_path, game, refused):
    unused = {"loss": None} if "loss" in refused else {}
    text = weights.assemble.recipe(train={"game": {"name": game}}, **unused).to_yaml()
    path = tmp_path / "recipe.yaml"
    path.write_text(text)
    load = weights.assemble.runtime.load
    load(path)
    overrides = [
        "loss=hinge",
        "regularizers=[r1]",
        "augmentations=[diffaugment]",
        *("train.discriminator_steps=2", "train.fresh_fakes=true", "train.microbatch=4", "train.clip_gradient=1.0"),
        *("train.joint_pass=true", "train.cuda_graphs=true"),
    ]
    with pytest.raises(gankit.RecipeError) as caught:
        load(path, overrides)
    assert {problem.path for problem in caught.value.problems} == set(refused)
    for problem in caught.value.problems:
        assert problem.place.startswith(f"command line: {problem.path}=")
        assert f"has no effect, because the game '{game}' does not use it; remove it" in problem.message
    path.write_text(text.replace("fresh_fakes: false", "fresh_fakes: true"))
    with pytest.raises(gankit.RecipeError, match=r"recipe.yaml:\d+:\d+: train.fresh_fakes: has no effect"):
        load(path)


@pytest.mark.parametrize(("game", "given"), [("misspelt", "'regularizer'"), ("one_string", "'regularizers'")])
def test_a_wrong_declaration_is_refused(weights, game, given):
    with pytest.raises(gankit.RecipeError, match=rf"honours has {given}; it should be a tuple with any of loss, regularizers"):
        weights(game)


def test_a_game_of_whole_batches_refuses_microbatches_alone(weights):
    message = "train.microbatch: cannot be used, because the game 'whole_batch' needs the whole batch at once; remove it"
    with pytest.raises(gankit.RecipeError, match=message) as caught:
        weights("whole_batch", train={"microbatch": 3})
    assert len(caught.value.problems) == 1
    assert torch.equal(weights("whole_batch", train={"clip_gradient": 1e-3}), weights("shared", train={"clip_gradient": 1e-3}))


def test_microbatches_of_fakes_need_one_for_each_image(weights):
    with pytest.raises(gankit.GankitError, match="received 9 fakes for a batch of 8 images; train.microbatch splits"):
        weights("too_many", train={"microbatch": 3})
    weights("too_many")
