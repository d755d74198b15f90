"""Search spaces in YAML: what is drawn from them, and every kind of mistake with its place."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import gankit
from gankit.recipe import yaml_with_lines
from gankit.recipe.overrides import parse_override
from gankit.search import parse_space
from gankit.search.space import Choice, Numbers, Option, Setting, examples, shortened


class First:
    """Draws the lowest number or first option, or the values that it is given, and notes the names."""

    def __init__(self, **chosen: Any) -> None:
        self.chosen, self.asked = chosen, {}

    def _answer(self, name: str, default: Any, *about: Any) -> Any:
        self.asked[name] = about
        return self.chosen.get(name, default)

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        return self._answer(name, low, low, high, log)

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1) -> int:
        return self._answer(name, low, low, high, step)

    def suggest_categorical(self, name: str, choices: list[Any]) -> Any:
        return self._answer(name, choices[0], *choices)


SPACE = """
optimizers.generator.lr, optimizers.discriminator.lr: {log: [1.0e-5, 1e-2]}
generator.width: {int: [8, 32], step: 8}
ema: {half_life_images: {uniform: [10, 20]}}
train.steps: 7
loss:
  choice:
    - bce
    - {name: hinge, margin: {uniform: [0, 2]}}
regularizers: {choice: [[], [{name: r1, gamma: {log: [0.1, 10]}}], [{name: r1, gamma: 3}]]}
"""


def test_distributions():
    trial = First()
    words = parse_space(SPACE, "space.yaml").draw(trial)
    assert words == [
        "optimizers.generator.lr=1e-05",
        "optimizers.discriminator.lr=1e-05",
        "generator.width=8",
        'ema={"half_life_images": 10}',
        "train.steps=7",
        "loss=bce",
        "regularizers=[]",
    ]
    twice = ('[{"name": "r1", "gamma": {"log": [0.1, 10]}}]', '[{"name": "r1", "gamma": 3}]')
    assert trial.asked == {
        "optimizers.generator.lr, optimizers.discriminator.lr": (1e-5, 1e-2, True),
        "generator.width": (8, 32, 8),
        "ema.half_life_images": (10, 20, False),
        "loss": ("bce", "hinge"),
        "regularizers": ("[]", *twice),
    }


def test_distributions_inside_an_option_exist_only_with_it():
    trial = First(loss="hinge", **{"loss[hinge].margin": 0.125})
    words = parse_space(SPACE, "space.yaml").draw(trial)
    assert 'loss={"name": "hinge", "margin": 0.125}' in words
    assert trial.asked["loss[hinge].margin"] == (0, 2, False)


def test_a_component_may_have_a_parameter_that_is_called_like_a_distribution():
    space = parse_space("loss: {choice: [{name: mine, int: [1, 2]}, bce]}", "space.yaml")
    assert space.settings[0].value.options[0] == Option("mine", {"name": "mine", "int": [1, 2]})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"^s\.yaml: is empty; a search space is a mapping"),
        ("[1]", r"^s\.yaml:1:1: is a list; a search space is a mapping"),
        ("image.size: 32", r"^s\.yaml:1:1: has no distribution: nothing to search"),
        ("a: {log: [0, 1]}", r"^s\.yaml:1:10: a\.log: a logarithmic scale has positive numbers only; got \[0, 1\]"),
        ("a: {uniform: [2, 1]}", r"^s\.yaml:1:14: a\.uniform: the lowest value should be below the highest one; got \[2, 1\]"),
        ("a: {uniform: [1, 1]}", r"the lowest value should be below"),
        ("a: {uniform: [0, .inf]}", r"should be two numbers, \[lowest, highest\]; got \[0, inf\]"),
        ("a: {uniform: [false, 1]}", r"should be two numbers, \[lowest, highest\]; got \[False, 1\]"),
        ("a: {int: [1, 2.5]}", r"should be two whole numbers, \[lowest, highest\]; got \[1, 2\.5\]"),
        ("a: {int: 3}", r"should be two whole numbers, \[lowest, highest\]; got 3"),
        ("a: {int: [8, 20], step: 8}", r"^s\.yaml:1:25: a\.step: should be a positive whole number that divides 20 - 8; got 8"),
        ("a: {int: [8, 20], step: 0}", r"a\.step: should be a positive whole number"),
        ("a: {int: [8, 24], stpe: 8}", r"^s\.yaml:1:19: a\.stpe: unknown key of a distribution; did you mean 'step'\?"),
        ("a: {log: [1, 2], step: 1}", r"a\.step: unknown key of a distribution"),
        ("a: {log: [1, 2], int: [1, 2]}", r"a\.int: a distribution is one of uniform, log, int, choice; got log and int"),
        ("a: {choice: bce}", r"^s\.yaml:1:13: a\.choice: should be a list of values; got 'bce'"),
        ("a: {choice: []}", r"should be a list of values; got \[\]"),
        ("a: {choice: [1, .nan]}", r"^s\.yaml:1:17: a\.choice\.1: should be a finite number; got nan"),
        ("a: {uniform: [-1.0e+308, 1.0e+308]}", r"a\.uniform: the difference of both values is too large"),
        ("a: {choice: [x, y, x]}", r"^s\.yaml:1:20: a\.choice\.2: given twice: 'x'"),
        ("a: {choice: [1, 2]}\na.b: {choice: [1, 2]}", r"^s\.yaml:2:1: a\.b: is a part of a, which is also set; put it into the values"),
        ("a, b: {choice: [1, 2]}\nb: 1", r"^s\.yaml:2:1: b: sets b, as does s\.yaml:1:1"),
        ("a..b: {choice: [1, 2]}", r"should be a recipe key, such as loader\.batch_size; got 'a\.\.b'"),
        ("a,: {choice: [1, 2]}", r"should be a recipe key, such as loader\.batch_size; got ''"),
        ("callbacks.0.every: {int: [1, 2]}", r"should be the same in all trials"),
        ("name: {choice: [a, b]}", r"belongs to the recipe"),
        ("a: {choice: [1, 2]}\na: 2", r"^s\.yaml:2:1: a: given twice, first at s\.yaml:1:1"),
    ],
)  # fmt: skip
def test_mistakes(text, message):
    with pytest.raises(gankit.RecipeError, match=message):
        parse_space(text, "s.yaml")


def test_all_mistakes_at_once_in_the_order_of_the_file():
    text = "a: {log: [0, 1]}\nb: {int: [2, 1]}\nc: {choice: [{d: {uniform: 3}}]}\nname: {choice: [1, 2]}"
    with pytest.raises(gankit.RecipeError) as caught:
        parse_space(text, "s.yaml")
    assert [problem.place for problem in caught.value.problems] == ["s.yaml:1:10", "s.yaml:2:10", "s.yaml:3:28", "s.yaml:4:1"]


words = st.text("abcxyz01.,:-[]{} ä\n", min_size=1, max_size=8)
scalars = st.none() | st.booleans() | st.integers(-(10**6), 10**6) | st.floats(allow_nan=False, allow_infinity=False) | words
keys = st.sampled_from(["uniform", "log", "int", "choice", "step", "name", "a", "a.b", "a, c"]) | words
plain = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3), max_leaves=12)


@given(st.dictionaries(keys, plain, max_size=4))
def test_any_data_is_a_space_or_a_located_error(data):
    problems, words = (), ()
    try:
        words = parse_space(yaml_with_lines.write(data), "s.yaml").draw(First())
    except gankit.RecipeError as error:
        problems = error.problems
    assert words or problems
    assert all(map(parse_override, words))
    assert all(re.fullmatch(r"s\.yaml(:\d+:\d+)?", problem.place) for problem in problems)


@st.composite
def distributions(draw):
    kind = draw(st.sampled_from(["uniform", "log", "int", "choice"]))
    if kind == "choice":
        return {kind: draw(st.lists(st.integers() | words.filter(str.isalpha), min_size=1, max_size=4, unique=True))}
    low, high = sorted(draw(st.tuples(*[st.integers(1, 10**6)] * 2).filter(lambda ends: ends[0] != ends[1])))
    return {kind: [low, high]}


@given(st.dictionaries(st.sampled_from(["b.c", "d", "e.0"]), distributions(), min_size=1), st.data())
def test_what_is_drawn_lies_in_the_space_and_survives_the_command_line(data, random):
    space = parse_space(yaml_with_lines.write(data), "s.yaml")

    class Any_(First):
        def suggest_float(self, name, low, high, *, log=False):
            return random.draw(st.floats(low, high))

        def suggest_int(self, name, low, high, *, step=1):
            return random.draw(st.integers(0, (high - low) // step)) * step + low

        def suggest_categorical(self, name, choices):
            return random.draw(st.sampled_from(choices))

    drawn = dict(map(parse_override, space.draw(Any_())))
    assert set(drawn) == set(data)
    for key, distribution in data.items():
        ((kind, given_values),) = distribution.items()
        if kind == "choice":
            assert any(drawn[key] == value and type(drawn[key]) is type(value) for value in given_values)
        else:
            assert given_values[0] <= drawn[key] <= given_values[1]


def test_examples_show_both_ends_and_every_option():
    value = {
        "name": "x",
        "lr": Numbers("log", 0.1, 1),
        "act": Choice((Option("a", "a"), Option("b", {"name": "b", "n": Numbers("int", 1, 3)}))),
    }
    found = [example.value for example in examples(Setting("key", ("key",), value).value, ("key",))]
    assert found == [
        {"name": "x", "lr": 0.1, "act": "a"},
        {"name": "x", "lr": 1, "act": "a"},
        {"name": "x", "lr": 0.1, "act": {"name": "b", "n": 1}},
        {"name": "x", "lr": 0.1, "act": {"name": "b", "n": 3}},
    ]


def test_overrides_for_people():
    assert shortened('a.b={"name": "r1", "gamma": 0.123456789}') == 'a.b={"name": "r1", "gamma": 0.1235}'
    assert shortened("loss=bce") == "loss=bce"
