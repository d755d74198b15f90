"""``KEY=VALUE`` overrides from the command line."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from gankit.errors import RecipeError
from gankit.recipe.inheritance import read_document
from gankit.recipe.overrides import read_options

RECIPE = """\
loss: bce
train: {epochs: 25, device: cpu}
ema: null
optimizers:
  generator: {name: adam, betas: [0.5, 0.9]}
callbacks:
  - {name: samples, every: 100}
  - checkpoint
"""


@pytest.fixture
def override(write: Callable[..., Any]) -> Callable[..., dict[str, Any]]:
    """``override(*words) -> data``: the recipe above with valid overrides."""

    def read(*words: str) -> dict[str, Any]:
        document = read_document(write("f.yaml", RECIPE), words)
        assert not document.problems
        return document.data

    return read


@pytest.fixture
def problems_of(write: Callable[..., Any]) -> Callable[..., list[str]]:
    """``problems_of(*words) -> messages``: the problems of overrides."""

    def read(*words: str) -> list[str]:
        return [str(problem) for problem in read_document(write("f.yaml", RECIPE), words).problems]

    return read


@pytest.mark.parametrize(
    ("word", "path", "value"),
    [
        ("train.device=cuda", ("train", "device"), "cuda"),
        ("seed=0x10", ("seed",), 16),
        ("new.deep.key=2e-4", ("new", "deep", "key"), 2e-4),
        ("seed=", ("seed",), None),
        ("name=a=b", ("name",), "a=b"),
        ("image={size: [32, 64]}", ("image", "size"), [32, 64]),
        ("ema.half_life=3", ("ema", "half_life"), 3),
        ("loss.label_smoothing=0.1", ("loss",), {"name": "bce", "label_smoothing": 0.1}),
        ("loss=hinge", ("loss",), "hinge"),
        ("optimizers.generator.betas.1=0.99", ("optimizers", "generator", "betas"), [0.5, 0.99]),
        ("callbacks.0.every=7", ("callbacks", 0), {"name": "samples", "every": 7}),
        ("callbacks.samples.every=7", ("callbacks", 0), {"name": "samples", "every": 7}),
        ("callbacks.checkpoint.keep=1", ("callbacks", 1), {"name": "checkpoint", "keep": 1}),
        ("callbacks.1=other", ("callbacks", 1), "other"),
        ("callbacks.0.name=other", ("callbacks", 0), {"name": "other"}),  # another component replaces the old one
        ("callbacks=[]", ("callbacks",), []),
    ],
)
def test_values(override, word, path, value):
    found = override(word)
    for part in path:
        found = found[part]
    assert found == value


def test_last_override_wins(override):
    assert override("seed=1", "seed=2")["seed"] == 2


@pytest.mark.parametrize("word", ["train.steps=3", "train={steps: 3}"])
def test_length_replaces_that_of_the_file(override, word):
    assert override(word)["train"] == {"device": "cpu", "steps": 3}


def test_null_is_not_a_length(override):
    assert override("train.epochs=null", "train.steps=3")["train"] == {"device": "cpu", "steps": 3}
    assert override("train.steps=3", "train.epochs=null")["train"]["steps"] == 3


@pytest.mark.parametrize("words", [("train.epochs=1", "train.steps=2"), ("train.epochs=1", "train={steps: 2}")])
def test_two_lengths(problems_of, words):
    assert problems_of(*words) == ["command line: train: give one length, not train.epochs and train.steps"]


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("seed", "command line: seed: an override is KEY=VALUE, such as train.epochs=1"),
        ("=3", "command line: =3: an override is KEY=VALUE, such as train.epochs=1"),
        ("a..b=3", "command line: a..b=3: an override is KEY=VALUE, such as train.epochs=1"),
        ("--epochs=3", None),
        ("a=[1", "command line: a=[1: invalid YAML: expected ',' or ']', but got '<stream end>'"),
        ("a={b: 1, b: 2}", "command line: a={b: 1, b: 2}: given twice"),
        ("a=!!python/name:os.system", "command line: a=!!python/name:os.system: the tag"),
        ("a=*b", "command line: a=*b: invalid YAML: found undefined alias 'b'"),
        ("extends=other.yaml", "command line: extends=other.yaml: extends: is supported in recipe files only"),
        (
            "callbacks.2.every=1",
            "command line: callbacks.2.every=1: callbacks: no unique item '2'; items: 0 (samples), 1 (checkpoint)",
        ),
        (
            "callbacks.sample.every=1",
            "command line: callbacks.sample.every=1: callbacks: no unique item 'sample'",
        ),
        ("callbacks.-1.every=1", "command line: callbacks.-1.every=1: callbacks: no unique item '-1'"),
        ("callbacks.²=1", "command line: callbacks.²=1: callbacks: no unique item '²'"),
    ],
)
def test_invalid_overrides(problems_of, word, message):
    problems = problems_of(word)
    assert problems == [] if message is None else (len(problems) == 1 and problems[0].startswith(message))


def test_every_invalid_override_is_reported(problems_of):
    assert len(problems_of("seed", "a=[", "callbacks.9=1", "train.epochs=1", "train.steps=1")) == 4


def test_ambiguous_item(write):
    path = write("g.yaml", "callbacks: [{name: a, x: 1}, {name: a, x: 2}]\n")
    (problem,) = read_document(path, ["callbacks.a.x=3"]).problems
    assert "no unique item 'a'; items: 0 (a), 1 (a)" in str(problem)
    assert read_document(path, ["callbacks.1.x=3"]).data["callbacks"][1] == {"name": "a", "x": 3}


def test_places(write):
    document = read_document(write("f.yaml", RECIPE), ["loss.smoothing=1", "callbacks.0.every=7", "image.size=3"])
    assert document.place(("loss", "smoothing"), of_key=True) == "command line: loss.smoothing=1"
    assert document.place(("loss", "name")) == "f.yaml:1:7"
    assert document.place(("callbacks", 0, "every")) == "command line: callbacks.0.every=7"
    assert document.place(("callbacks", 0, "name")) == "f.yaml:7:12"
    assert document.place(("image", "size")) == "command line: image.size=3"


def test_long_override_is_truncated_in_its_place(write):
    (problem,) = read_document(write("f.yaml", RECIPE), ["a=[" + "x" * 500]).problems
    assert len(problem.place) < 120


def test_read_options():
    assert read_options(["truncation=0.7", "labels=[1, 2]"]) == {"truncation": 0.7, "labels": [1, 2]}
    with pytest.raises(RecipeError, match="command line: truncation: an option is NAME=VALUE"):
        read_options(["truncation"])
