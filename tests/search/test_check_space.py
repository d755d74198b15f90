"""Spaces that do not fit the recipe or the schemas of components are refused before the first trial."""

from __future__ import annotations

import pytest

import gankit
from gankit.search import parse_space
from gankit.search.check_space import check_space


@pytest.fixture
def check(tiny_runtime, tiny_recipe, tmp_path):
    """``check(text)``: the messages, without the file name; none if the space is valid."""

    def problems(text: str) -> list[str]:
        recipe = tiny_runtime.load(tiny_recipe(tmp_path))
        try:
            check_space(parse_space(text, "s.yaml"), recipe.document, tiny_runtime.registries)
        except gankit.RecipeError as error:
            return [str(problem).removeprefix("s.yaml:") for problem in error.problems]
        return []

    return problems


def test_a_valid_space(check):
    assert check("""
optimizers.generator.lr, optimizers.discriminator.lr: {log: [1e-4, 1e-1]}
discriminator.width: {int: [1, 8]}
generator: {choice: [{name: tiny, gain: {uniform: [0.5, 2]}}, three_channels]}
train.steps: {int: [1, 4]}
seed: 7
""") == []  # fmt: skip


@pytest.mark.parametrize(
    ("text", "messages"),
    [
        ("generator.wdith: {int: [1, 8]}", ["1:18: generator.wdith: unknown parameter; known: gain"]),
        ("genrator.width: {int: [1, 8]}", ["1:17: genrator: unknown key; did you mean 'generator'?"]),
        ("discriminator.width: {int: [0, 8]}", ["1:22: discriminator.width: should be greater than 0; got 0"]),
        ("discriminator.width: {uniform: [1, 8.5]}", ["1:22: discriminator.width: should be a whole number; got 8.5"]),
        ("train.precision: {choice: [fp32, fp23]}", ["1:34: train.precision: should be 'auto', 'fp64', 'fp32', 'bf16' or 'fp16'; got 'fp23'"]),
        ("loss: {choice: [tiny, hinge]}", ["1:23: loss.name: no loss is called 'hinge'"]),
        ("generator: {choice: [tiny, {name: tiny, gian: 2}]}", ["1:28: generator.gian: unknown parameter; did you mean 'gain'?"]),
        ("generator: {choice: [tiny, {name: tiny, gian: {uniform: [1, 2]}}]}", ["1:28: generator.gian: unknown parameter; did you mean 'gain'?"]),
        ("generator: {choice: [{name: tiny, gian: 2}, {name: tiny, gian: 3}]}", ["1:22: generator.gian:", "1:45: generator.gian:"]),
        ("regularizers.0.gamma: {uniform: [0, 1]}", ["1:23: regularizers: should be a list; got {'0': {'gamma': 0}}"]),
        ("dataset.nme: 3\nlatent.dim: {choice: [0, 4]}", ["1:14: dataset.nme: unknown parameter", "2:23: latent.dim: should be greater than 0; got 0"]),
    ],
)  # fmt: skip
def test_mistakes(check, text, messages):
    found = check(text)
    assert len(found) == len(messages)
    for message, start in zip(found, messages, strict=True):
        assert message.startswith(start)
