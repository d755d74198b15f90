"""What a game of one player, or one with its own samples, refuses: one sentence each, at the key."""

from __future__ import annotations

from pathlib import Path

import pytest

import gankit

PLUGINS = Path(__file__).parent / "plugins"
FLOW = PLUGINS / "flow_matching"


class Unknown(gankit.Game):
    players = ("generator", "critic")

    def step(self):
        return {}


class OnlyD(Unknown):
    players = ("discriminator",)


class Unannotated(gankit.Adversarial):
    def generate(self, generator, inputs, *, steps=3):
        return inputs.run(generator)


class Misspelt(gankit.Adversarial):
    def generates(self, generator, inputs):
        return inputs.run(generator)


class Wordless(gankit.Game):
    """Has no terms."""

    players = ("generator",)

    def step(self):
        return self.update("generator", self.next_batch())


GAMES = {"unknown": Unknown, "only_d": OnlyD, "unannotated": Unannotated, "misspelt": Misspelt, "wordless": Wordless}


class Games:
    @gankit.hookimpl
    def register(self, registries):
        for name, game in GAMES.items():
            registries.games.add(name, game)


@pytest.fixture
def runtime():
    return gankit.Runtime(plugins=[f"{FLOW}.py", PLUGINS / "pairs.py", Games()])


@pytest.fixture
def messages(runtime):
    """``messages(recipe, override)``: those of a check."""

    def check(name, *overrides):
        with pytest.raises(gankit.RecipeError) as caught:
            runtime.check(runtime.load(PLUGINS / f"{name}.yaml", overrides))
        return [f"{problem.path}: {problem.message}" for problem in caught.value.problems]

    return check


@pytest.mark.parametrize(
    ("override", "path"),
    [
        ("discriminator=resnet", "discriminator"),
        ("loss=bce", "loss"),
        ("optimizers.discriminator.lr=1e-3", "optimizers.discriminator"),
        ("augmentations=[diffaugment]", "augmentations"),
        ("train.discriminator_steps=2", "train.discriminator_steps"),
        ("train.fresh_fakes=true", "train.fresh_fakes"),
    ],
)
def test_a_game_of_one_player_refuses_what_belongs_to_a_discriminator(messages, override, path):
    expected = "has no effect, because the game 'flow_matching' has no discriminator; remove it or use another game"
    assert messages("flow_matching", override) == [f"{path}: {expected}"]


def test_what_acts_on_the_discriminator_alone(messages):
    [message] = messages("flow_matching", "regularizers=[r1]")
    assert message == "regularizers.0: R1 acts on the discriminator alone, which this game does not have"
    [message] = messages("flow_matching", "train.freeze={discriminator: [last.*]}")
    assert message.startswith("train.freeze.discriminator: has no effect, because the game 'flow_matching' has no")


def test_the_adversarial_game_needs_both(messages):
    assert messages("pairs", "discriminator=null") == ["discriminator: is missing; the game 'adversarial' requires it"]
    assert messages("pairs", "loss=null") == ["loss: is missing; the game 'adversarial' requires it"]


@pytest.mark.parametrize(
    ("game", "message"),
    [
        ("unknown", "train.game: Unknown.players is ('generator', 'critic'); it should be ('generator', 'discriminator'), or"),
        ("only_d", "train.game: OnlyD.players is ('discriminator',); it should be"),
        ("unannotated", "train.game: Unannotated.generate: parameter 'steps' needs a type annotation"),
        ("misspelt", "train.game: Misspelt has a method 'generates'; did you mean 'generate'?"),
    ],
)
def test_faults_of_games(messages, game, message):
    assert any(found.startswith(message) for found in messages("pairs", f"train.game={game}"))


def test_a_network_that_the_samples_of_a_game_do_not_fit(messages):
    [message] = messages("flow_matching", "generator=dcgan")
    assert message.startswith("generator: RuntimeError: ")
    assert message.endswith("; called by FlowMatching.generate")


def test_a_game_without_terms(runtime, tmp_path):
    recipe = runtime.load(PLUGINS / "flow_matching.yaml", ["train.game=wordless", "generator={name: fastgan, width: 4}"])
    with pytest.raises(gankit.GankitError, match="Wordless has one player and so no loss: define terms"):
        runtime.assemble(recipe, tmp_path / "run").step()


def test_the_saved_recipe_of_one_player_can_be_read_again(runtime, tmp_path):
    runtime.assemble(runtime.load_checked(PLUGINS / "flow_matching.yaml"), tmp_path / "run").fit()
    saved = gankit.Recipe.load(tmp_path / "run" / "recipe.yaml")
    assert (saved.discriminator, saved.loss, saved.optimizers.discriminator) == (None, None, None)
    runtime.check(saved)
