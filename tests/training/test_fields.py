"""Runs whose networks and losses ask for fields of the data."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
import torchvision

import gankit
from gankit.injection import argument_names, default_values
from gankit.testing import check_discriminator, check_generator, make_turn

PLUGIN = Path(__file__).parent.parent / "paired_plugin.py"
RECIPE = {
    "name": "pairs",
    "image": {"size": 8},
    "dataset": "pairs",
    "latent": {"name": "normal", "dim": 5},
    "loader": {"batch_size": 8, "flip": True},
    "generator": "enlarge",
    "discriminator": "compare",
    "regularizers": ["l1", {"name": "r1", "interval": 2}],
    "ema": {"half_life_images": 50},
    "train": {"steps": 4, "device": "cpu", "precision": "fp64"},
}


@pytest.fixture
def runtime():
    return gankit.Runtime(plugins=[PLUGIN])


@pytest.fixture
def assemble(runtime, tmp_path):
    """``assemble("run", **sections)``: the trainer of the recipe with sections replaced."""
    return lambda name="run", **sections: runtime.assemble(gankit.Recipe.parse(RECIPE | sections), tmp_path / name)


def weights(trainer):
    return {
        f"{player} {name}": value.clone()
        for player, network in trainer.state.networks().items()
        for name, value in network.state_dict().items()
    }


def require_equal(one, other, tolerance=0.0):
    assert one.keys() == other.keys()
    for name, value in one.items():
        torch.testing.assert_close(value, other[name], rtol=0, atol=tolerance, msg=name)


def test_networks_receive_what_they_ask_for(assemble):
    trainer = assemble()
    seen = {"generator": [], "discriminator": []}
    trainer.state.generator.register_forward_pre_hook(lambda _, args: seen["generator"].append(args))
    trainer.state.discriminator.register_forward_pre_hook(lambda _, args: seen["discriminator"].append(args))
    batch = trainer.setup.loader.at(0, 8)
    trainer.step()
    assert [tuple(value.shape) for value in seen["generator"][0]] == [(8, 3, 4, 4), (8, 2)]
    assert torch.equal(seen["generator"][0][0], batch["source"])
    assert torch.equal(seen["generator"][0][1], batch["place"])
    assert [tuple(value.shape) for value in seen["discriminator"][0]] == [(8, 3, 8, 8), (8, 3, 4, 4)]
    assert torch.equal(seen["discriminator"][0][1], batch["source"])


def test_a_generator_learns_from_its_source(assemble):
    trainer = assemble(train=RECIPE["train"] | {"steps": 150}, regularizers=["l1"], optimizers={"generator": {"lr": 0.02}})
    first = float(trainer.step()["l1"])
    trainer.fit()
    assert float(trainer.scalars["l1"]) < first / 3


@pytest.mark.parametrize("sections", [{}, {"loader": {"batch_size": 8, "cache": "none", "workers": 1}}])
def test_a_resumed_run_equals_an_uninterrupted_one(assemble, runtime, tmp_path, sections):
    whole = assemble("whole", **sections)
    whole.fit()
    assemble("cut", **sections, train=RECIPE["train"] | {"steps": 2}).fit()
    resumed = runtime.resume(tmp_path / "cut", ["train.steps=4"])
    resumed.fit()
    require_equal(weights(whole), weights(resumed))


def test_microbatches_get_their_rows(assemble):
    whole, parts = assemble("whole"), assemble("parts", train=RECIPE["train"] | {"microbatch": 3})
    for _ in range(4):
        whole.step()
        parts.step()
    require_equal(weights(whole), weights(parts), 1e-12)


def test_compiled_networks_receive_the_same(assemble, monkeypatch):
    monkeypatch.setattr(torch, "compile", lambda function, **options: function)
    eager, compiled = assemble("eager"), assemble("compiled", train=RECIPE["train"] | {"compile": True})
    for _ in range(3):
        eager.step()
        compiled.step()
    require_equal(weights(eager), weights(compiled), 1e-12)


class TestSamples:
    @pytest.fixture
    def run(self, assemble, tmp_path):
        trainer = assemble()
        trainer.fit()
        return trainer, tmp_path / "run"

    def test_they_come_from_real_items_and_need_no_dataset(self, run, runtime):
        trainer, directory = run
        generator = runtime.load_generator(directory)
        first = generator.sample(40, seed=3)
        assert torch.equal(first, runtime.load_generator(directory).sample(40, seed=3))
        assert torch.equal(first[:5], generator.sample(5, seed=3))
        assert not torch.equal(first, generator.sample(40, seed=4))
        assert torch.equal(first[:8], first[32:])  # all 32 items, and again from the start
        assert len(first[:32].flatten(1).unique(dim=0)) == 32
        assert generator.sample(2, gain=0.0).unique().tolist() == [128]
        assert trainer.sample(5, seed=3).shape == (5, 3, 8, 8)

    def test_held_out_items_are_preferred(self, assemble):
        trainer = assemble(dataset="held_out")
        assert trainer.setup.sampling.items["source"].unique().tolist() == [-1.0]
        assert trainer.setup.sampling.items["source"].shape == (5, 3, 4, 4)

    def test_a_checkpoint_without_its_run_needs_inputs(self, run, runtime, tmp_path):
        _, directory = run
        copied = tmp_path / "elsewhere" / "deep" / "step"
        shutil.copytree(next((directory / "checkpoints").iterdir()), copied)
        generator = runtime.load_generator(copied)
        with pytest.raises(gankit.CheckpointError, match=r"inputs.safetensors: is missing, and the generator needs the fields source, place in it; keep .* or give inputs"):
            generator.sample(3)
        images = generator.sample(inputs={"source": torch.zeros(3, 3, 4, 4), "place": torch.zeros(3, 2)})
        assert images.shape == (3, 3, 8, 8)

    @pytest.mark.parametrize("content", [b"", b"nothing", None])
    def test_damaged_inputs(self, run, runtime, content):
        from safetensors.torch import save_file

        _, directory = run
        if content is None:
            save_file({"source": torch.zeros(4, 3, 5, 5), "place": torch.zeros(4, 2)}, directory / "inputs.safetensors")
        else:
            (directory / "inputs.safetensors").write_bytes(content)
        with pytest.raises(gankit.CheckpointError, match="inputs.safetensors: "):
            runtime.load_generator(directory)


def test_labels_that_are_vectors(assemble, runtime, tmp_path):
    sections = {"generator": "from_vector", "discriminator": "flat", "regularizers": [], "conditional": True}
    trainer = assemble(dataset={"name": "pairs", "labels": "vectors"}, **sections)
    seen = []
    trainer.state.generator.register_forward_pre_hook(lambda _, args: seen.append(args[1]))
    trainer.fit()
    assert torch.equal(seen[0], trainer.setup.loader.at(0, 8).labels)
    generator = runtime.load_generator(tmp_path / "run")
    assert generator.sample(3).shape == (3, 3, 8, 8)
    assert generator.sampling.draw(3, 0).labels.shape == (3, 3)
    with pytest.raises(ValueError, match="takes no labels"):
        generator.sample(1, labels=[0])


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"generator": "broken"}, "generator: Broken.forward(z, sauce) asks for 'sauce'; did you mean 'source'?"),
        (
            {"dataset": {"name": "shapes", "size": 8}, "generator": {"name": "dcgan"}, "image": {"size": 16}},
            "its parameter 'source' received 'labels', by position: it is none of images, labels, image",
        ),
        ({"image": {"size": 9}}, "dataset: images of 9 x 9 pixels times the scale 0.5 of the field 'source' are 4.5 x 4.5"),
        ({"dataset": "vectors_of_nothing"}, "no dataset is called 'vectors_of_nothing'"),
        ({"loader": {"crop": "random", "cache": "memory", "batch_size": 4}}, "crop: random crops each image anew"),
    ],
)
def test_what_a_check_finds(runtime, sections, message):
    class Broken(torch.nn.Module):
        def __init__(self, data):
            super().__init__()

        def forward(self, z, sauce):
            return sauce

    class Plugin:
        @gankit.hookimpl
        def register(self, registries):
            registries.generators.add("broken", Broken)

    runtime.load_plugin(Plugin())
    with pytest.raises(gankit.RecipeError) as caught:
        runtime.check(gankit.Recipe.parse(RECIPE | sections))
    assert message in str(caught.value)


class OfField:
    """A regularizer of G that reads a field after everything that needs gradients, random numbers or several images."""

    def __init__(self, *, field: str) -> None:
        self.field = field

    def generator(self, turn):
        gradient = turn.gradient(turn.fake) + turn.normal(1)[..., None, None] + turn.uniform(3, 8, 8)
        judged = turn.discriminate(turn.generate(turn.draw_latents())).mean() + turn.fake_logits.sum()
        return gradient.square().mean() + judged + turn[self.field].mean()


class OfSource(gankit.Loss):
    def discriminator(self, turn):
        return turn.real_logits.mean() - turn.fake_logits.mean()

    def generator(self, turn):
        return (turn.fake_logits * turn["sorce"].mean()).mean()


class Replacing(gankit.Game):
    """Adds the field that the data lacks."""

    honours = ("loss", "regularizers", "train.microbatch")

    def step(self):
        batch = self.next_batch()
        batch = batch.replace(sorce=batch["source"])
        return self.update("discriminator", batch) | self.update("generator", batch)


class Terms:
    @gankit.hookimpl
    def register(self, registries):
        registries.regularizers.add("of_field", OfField)
        registries.losses.add("of_source", OfSource)
        registries.games.add("replacing", Replacing)


OF_SORCE = {"regularizers": [{"name": "of_field", "field": "place"}, {"name": "of_field", "field": "sorce"}]}


def test_a_check_finds_losses_and_regularizers_that_ask_for_an_unknown_field(assemble, runtime):
    runtime.load_plugin(Terms())
    with pytest.raises(gankit.RecipeError) as caught:
        runtime.check(gankit.Recipe.parse(RECIPE | OF_SORCE | {"loss": "of_source"}))
    loss, regularizer = sorted(map(str, caught.value.problems))
    assert "loss: OfSource.generator: the batch has no field 'sorce'; did you mean 'source'? (" in loss
    assert "regularizers.1: OfField.generator: the batch has no field 'sorce'; did you mean 'source'? (" in regularizer
    with pytest.raises(gankit.RecipeError, match="the batch has no field 'sorce'"):
        assemble(**OF_SORCE)


def test_a_game_may_add_the_field_that_a_regularizer_asks_for(assemble, runtime):
    runtime.load_plugin(Terms())
    trainer = assemble(**OF_SORCE, loss="of_source", train={"steps": 1, "device": "cpu", "game": "replacing"})
    assert "of_field" in " ".join(trainer.step())


@pytest.mark.parametrize("conditional", [False, True])
def test_a_dataset_of_torchvision_as_it_is(assemble, runtime, conditional):
    class Targets(torchvision.datasets.FakeData):
        targets = tuple(index % 3 for index in range(20))

        def __getitem__(self, index):
            return super().__getitem__(index)[0], self.targets[index]

    def fake_data(*, size: int = 20):
        return (Targets if conditional else torchvision.datasets.FakeData)(size, (3, 12, 10))

    class Plugin:
        @gankit.hookimpl
        def register(self, registries):
            registries.datasets.add("fake_data", fake_data)

    runtime.load_plugin(Plugin())
    sections = {"generator": {"name": "dcgan", "width": 4}, "discriminator": "flat", "image": {"size": 16}}
    trainer = assemble(dataset="fake_data", regularizers=[], conditional=conditional, **sections)
    trainer.fit()
    assert trainer.setup.classes == (("0", "1", "2") if conditional else None)
    assert trainer.setup.loader.at(0, 4).images.shape == (4, 3, 16, 16)


def test_the_tools_for_authors_know_fields(runtime):
    registries = runtime.registries
    spec = registries.datasets.get("pairs").factory().spec.at_size(8, 8)
    check_generator(registries.generators.get("enlarge").factory, spec)
    check_discriminator(registries.discriminators.get("compare").factory, spec)
    generator, discriminator = (
        registries.generators.get("enlarge").factory(spec).double(),
        registries.discriminators.get("compare").factory(spec.image).double(),
    )
    fields = {"source": torch.rand(2, 3, 4, 4).double(), "place": torch.rand(2, 2).double()}
    turn = make_turn("generator", generator, discriminator, torch.rand(2, 3, 8, 8).double(), fields=fields)
    assert torch.equal(turn.fake, generator(**fields))
    assert torch.equal(turn.real_logits, discriminator(turn.real, fields["source"]))
    assert turn["place"] is fields["place"]


NAMES = [
    (lambda z, labels=None: 0, ("z", "labels")),
    (lambda z: 0, ("z",)),
    (lambda labels, z: 0, ("labels", "z")),
    (lambda source, z: 0, ("source", "z")),
    (lambda noise, y=None: 0, ("z", "labels")),
    (lambda noise: 0, ("z",)),
    (lambda z, y: 0, ("z", "labels")),
    (lambda x, labels: 0, ("z", "labels")),
    (lambda x, y, more=1: 0, ("z", "labels")),
    (lambda *values: 0, ("z", "labels")),
    (lambda z, *, option=1: 0, ("z",)),
    (lambda z, source, extra: 0, None),
    (lambda x, z: 0, None),
    (lambda labels, x: 0, None),
    (lambda x, y, more: 0, None),
]


@pytest.mark.parametrize(("function", "names"), NAMES)
def test_which_values_a_function_receives(function, names):
    arguments = function, ("z", "labels", "source"), ("z", "labels"), "f"
    if names is None:
        with pytest.raises(ValueError, match=r"gankit passes z, labels, source by name, or \(z, labels\) by position"):
            argument_names(*arguments)
    else:
        assert argument_names(*arguments) == names


def test_a_mixture_is_refused_where_there_are_further_fields():
    known = ("z", "labels", "source")
    for function in (lambda z, y: 0, lambda z, sorce: 0, lambda x, labels: 0):
        with pytest.raises(ValueError, match="asks for"):
            argument_names(function, known, ("z", "labels"), "f", strict=True)
    for function in (lambda x, y: 0, lambda x: 0):
        assert argument_names(function, known, ("z", "labels"), "f", strict=True) == ("z", "labels")[: function.__code__.co_argcount]
    judged = argument_names(lambda x, y: 0, ("images", "labels", "source"), ("images", "labels"), "f", "images", strict=True)
    assert judged == ("images", "labels")


def test_defaults_of_positional_parameters():
    assert default_values(lambda z, labels=None, *, option=3: 0) == {"labels": None}
    assert default_values(max) == {}  # it has no signature
