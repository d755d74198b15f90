"""Problems of a whole recipe: structure and components together, in the order of the file."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Annotated

import pytest
from pydantic import Field

from gankit import Recipe, RecipeError
from gankit.recipe.validation import validate
from gankit.registry import Registry

DCGAN = Path(__file__).parents[2] / "recipes" / "dcgan_cifar10.yaml"


def messages(error: pytest.ExceptionInfo[RecipeError]) -> list[str]:
    assert str(error.value).splitlines() == [str(problem) for problem in error.value.problems]
    return [str(problem) for problem in error.value.problems]


class TestAllProblems:
    def test_structure_and_components_in_file_order(self, tmp_path, monkeypatch, runtime):
        monkeypatch.chdir(tmp_path)
        Path("r.yaml").write_text(
            "name: r\n"
            "image: {size: 64, sise: 3}\n"
            "conditional: perhaps\n"
            "dataset: {name: cifar10, split: training}\n"
            "loader:\n"
            "  batch_size: -1\n"
            "  batch_size: 64\n"
            "generator: {name: dcgan, widht: 64}\n"
            "discriminator: {name: dcgam}\n"
            "loss: bce\n"
            "optimizers:\n"
            "  generator: {name: adam, lr: fast, betas: [0.5, true]}\n"
            "  discriminator: {name: adam, lr: {start: 1, over_images: 10, endd: 3}}\n"
            "train: {epochs: 25, steps: 3, precison: fp32}\n"
            "callbacks:\n"
            "  - {name: checkpoint, every: 0}\n"
            "  - loss_curve\n"
        )
        with pytest.raises(RecipeError) as error:
            runtime.load("r.yaml", ["loss.label_smoothing=2", "callbacks.7.x=1"])
        assert [line for line in messages(error) if not line.startswith("command line")] == [
            "r.yaml:2:19: image.sise: unknown key; did you mean 'size'?",
            "r.yaml:3:14: conditional: should be true or false; got 'perhaps'",
            "r.yaml:4:33: dataset.split: should be 'train' or 'test'; got 'training'",
            "r.yaml:6:15: loader.batch_size: should be greater than 0; got -1",
            "r.yaml:7:3: loader.batch_size: given twice, first at r.yaml:6:3",
            "r.yaml:8:26: generator.widht: unknown parameter; did you mean 'width'?",
            "r.yaml:9:23: discriminator.name: no discriminator is called 'dcgam'; did you mean 'dcgan'?",
            "r.yaml:12:31: optimizers.generator.lr: should be a number; got 'fast'",
            "r.yaml:12:50: optimizers.generator.betas.1: should be a number; got true",
            "r.yaml:13:35: optimizers.discriminator.lr.end: is missing; it is required",
            "r.yaml:13:63: optimizers.discriminator.lr.endd: unknown parameter; did you mean 'end'?",
            "r.yaml:14:21: train.steps: give exactly one of epochs, steps, images; got epochs and steps",
            "r.yaml:14:31: train.precison: unknown key; did you mean 'precision'?",
            "r.yaml:16:31: callbacks.0.every: should be greater than 0; got 0",
            "r.yaml:17:5: callbacks.1.name: no callback is called 'loss_curve'; did you mean 'loss_curves'?",
        ]
        assert [line for line in messages(error) if line.startswith("command line")] == [
            "command line: callbacks.7.x=1: callbacks: no unique item '7'; items: 0 (checkpoint), 1 (loss_curve)",
            "command line: loss.label_smoothing=2: loss.label_smoothing: should be less than 0.5; got 2",
        ]

    def test_places_in_extended_files(self, tmp_path, monkeypatch, runtime):
        monkeypatch.chdir(tmp_path)
        Path("base.yaml").write_text(DCGAN.read_text().replace("width: 64", "width: 0", 1))
        Path("child.yaml").write_text("extends: base.yaml\ndiscriminator:\n  depth: 3\n")
        with pytest.raises(RecipeError) as error:
            runtime.load("child.yaml")
        assert messages(error) == [
            "base.yaml:10:33: generator.width: should be greater than 0; got 0",
            "child.yaml:3:3: discriminator.depth: unknown parameter; did you mean 'width'?",
        ]

    def test_unknown_component(self, runtime):
        with pytest.raises(RecipeError, match="no loss is called 'qqq'; known: bce, hinge, lsgan"):
            runtime.load(DCGAN, ["loss=qqq"])
        with pytest.raises(RecipeError, match="no augmentation is called 'x'; known: none"):
            runtime.load(DCGAN, ["augmentations=[x]"])


class TestDryRun:
    """Problems that appear when components are built, without data."""

    def test_unsupported_image_size_is_reported_for_both_networks(self, runtime):
        with pytest.raises(RecipeError) as error:
            runtime.load(DCGAN, ["image.size=50"])
        assert [problem.path for problem in error.value.problems] == ["generator", "discriminator"]
        assert [problem.place.rpartition("/")[2] for problem in error.value.problems] == [
            "dcgan_cifar10.yaml:10:12",
            "dcgan_cifar10.yaml:11:16",
        ]
        assert "cannot make images of 50x50" in str(error.value)

    @pytest.mark.parametrize(
        ("word", "message"),
        [
            ("generator.width=1000000000", "Storage size calculation overflowed"),
            ("generator.width=1000000", "parameters; the limit is 100,000,000,000"),
            ("latent.dim=1000000000000", "parameters; the limit is 100,000,000,000"),
            ("image.size=16384", "parameters; the limit is 100,000,000,000"),
        ],
    )
    def test_networks_with_too_many_parameters(self, runtime, word, message):
        with pytest.raises(RecipeError, match=message):
            runtime.load(DCGAN, [word])

    def test_checking_does_not_draw_random_numbers(self, runtime):
        import torch

        before = torch.get_rng_state()
        runtime.load(DCGAN)
        assert torch.equal(before, torch.get_rng_state())


def test_default_of_a_plugin_may_be_true_for_a_number():
    registry = Registry("losses")

    def loss(*, weight: float = True, bias: float = False): ...

    registry.add("loss", loss)
    schema = registry.get("loss").schema
    assert validate(schema, {})[0] == schema()
    assert [str(problem) for problem in validate(schema, {"bias": True})[1]] == ["bias: should be a number; got true"]


def test_a_wrong_item_is_not_reported_as_a_short_list_too():
    registry = Registry("losses")

    def loss(*, names: Annotated[tuple[str, ...], Field(min_length=1)]): ...

    registry.add("loss", loss)
    schema = registry.get("loss").schema
    assert [str(problem) for problem in validate(schema, {"names": [1]})[1]] == ['names.0: should be a string; got 1; put it in quotes to make it text: "1"']
    assert len(validate(schema, {"names": []})[1]) == 1


def test_an_error_survives_pickling():
    """As when another process raises it."""
    with pytest.raises(RecipeError) as error:
        Recipe.parse({"name": "x", "tran": {}})
    copy = pickle.loads(pickle.dumps(error.value))
    assert (str(copy), copy.problems) == (str(error.value), error.value.problems)
