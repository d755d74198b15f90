"""The JSON Schema of recipes, compared with what gankit itself accepts."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import gankit
from gankit.assembly.recipe_schema import recipe_schema
from gankit.assembly.selection import LISTS, SLOTS, select_all
from gankit.recipe.inheritance import parse, read_document
from gankit.recipe.located_document import Document

jsonschema = pytest.importorskip("jsonschema")
ROOT = Path(__file__).parents[2]
RECIPES = sorted((ROOT / "recipes").glob("*.yaml"))
SCHEMA = ROOT / "recipes" / "schema.json"
BUILT_IN = sorted(path.name for path in (ROOT / "plugins").iterdir() if path.is_dir())


@pytest.fixture(scope="module")
def runtime():
    return gankit.Runtime(BUILT_IN, discover=False)


@pytest.fixture(scope="module")
def validator(runtime):
    schema = recipe_schema(runtime.registries)
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def accepted(runtime: gankit.Runtime, data: dict[str, Any]) -> bool:
    """Whether gankit accepts the keys and values of a recipe, apart from whether its components fit together."""
    document = Document({"name": "some", **copy.deepcopy(data)})
    recipe, problems = gankit.Recipe.attempt(document)
    data = document.data if recipe is None else recipe.model_dump()
    return not problems and not select_all(data, document, runtime.registries)[1]


def as_an_editor_reads(path: Path) -> Any:
    """By YAML 1.2, in which 10_000 is a string."""
    return yaml.load(path.read_text(), _Yaml12)


class _Yaml12(yaml.SafeLoader):
    yaml_implicit_resolvers: ClassVar[dict] = {}


for kind, pattern, first in (
    ("bool", "(true|false)$", "tf"),
    ("int", "[-+]?[0-9]+$", "-+0123456789"),
    ("float", r"[-+]?[0-9]+(\.[0-9]*)?([eE][-+]?[0-9]+)?$", "-+0123456789"),
    ("null", "null$", "n"),
):
    _Yaml12.add_implicit_resolver(f"tag:yaml.org,2002:{kind}", re.compile(pattern), first)


def test_the_shipped_schema_is_up_to_date(runtime):
    """If this fails, run: gankit schema --out recipes/schema.json"""
    assert json.loads(SCHEMA.read_text()) == recipe_schema(runtime.registries)


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_shipped_recipes(path, validator):
    """As they are, which for most is a change of another recipe, and merged with the recipes that they extend."""
    first = path.read_text().partition("\n")[0]
    assert first.startswith("# yaml-language-server: $schema=")
    assert (path.parent / first.partition("=")[2]).samefile(SCHEMA)
    for data in (as_an_editor_reads(path), parse(path.read_text(), path.name).data, read_document(path).data):
        validator.validate(data)
    validator.validate(yaml.safe_load(gankit.Recipe.load(path).to_yaml()))


def test_every_key_and_parameter_has_its_documentation(runtime):
    schema = recipe_schema(runtime.registries)
    definitions = schema["$defs"]
    assert schema["properties"]["loss"]["description"] == "the loss of both networks."
    assert definitions["Train"]["properties"]["steps"]["description"] == "training steps."
    assert definitions["optimizers.adam"]["properties"]["lr"]["description"] == "learning rate."
    for registry in runtime.registries:
        if registry.kind in {*SLOTS.values(), *LISTS}:
            for entry in registry:
                found = definitions[f"{registry.kind}.{entry.name}"]
                assert found["description"] == entry.documentation
                assert {*entry.schema.model_fields} <= {*found["properties"]}
    for name in ("Image", "Loader", "Optimizers", "Train", "EMA", "Initialize", "Segment", "Freeze"):
        assert all("description" in value for value in definitions[name]["properties"].values())


SMALL: dict[str, Any] = {
    "image": {"size": 32},
    "dataset": "shapes",
    "generator": "dcgan",
    "discriminator": "dcgan",
    "train": {"steps": 3},
}
NESTED = {"name": "derived", "source": "gray", "dataset": {"name": "shapes", "count": 10}}
SCHEDULE = {"start": 0.1, "end": 0.01, "over_images": 100}
VALID = [
    {"optimizers": {"generator": {"lr": SCHEDULE}}},
    {"optimizers": {"generator": {"name": "sgd", "lr": 0.1, "momentum": 0.5}, "discriminator": "rmsprop"}},
    {"dataset": NESTED},
    {"dataset": {"name": "shapes", "count": "10_000"}},
    {"image": {"size": [32, 48]}},
    {"initialize": "results/run"},
    {"initialize": {"from": "builtin:cifar10", "networks": ["generator"], "copy": {"generator": "generator_ema"}}},
    {"segments": [{"step": 5, "set": {"loader.flip": True, "optimizers.generator.lr": 0.1}}]},
    {"train": {"steps": None, "images": 100}},
    {"train": {"steps": 5, "device": "cuda:1", "game": {"name": "apa", "p": 0.5}}},
    {"latent": {"name": "uniform", "dim": 4}},
    {"loss": None},
    {"augmentations": [{"name": "kornia", "transforms": [{"name": "RandomErasing", "p": 0.5}]}]},
]
INVALID = [
    {"trian": {}},
    {"image": {"size": 0}},
    {"image": {"size": [32]}},
    {"image": {"size": "large"}},
    {"dataset": "image_folder"},
    {"dataset": {"name": "image_folder"}},
    {"dataset": {**NESTED, "dataset": {"name": "shapes", "cout": 10}}},
    {"dataset": {**NESTED, "dataset": "image_folder"}},
    {"dataset": {"count": 5}},
    {"generator": "dcgn"},
    {"generator": {"name": "dcgan", "widht": 8}},
    {"generator": {"name": "dcgan", "width": 0}},
    {"generator": {"name": "dcgan", "width": "wide"}},
    {"generator": {"width": 8}},
    {"generator": None},
    {"loss": ["bce"]},
    {"regularizers": ["r3"]},
    {"regularizers": [{"name": "r1", "gamma": -1}]},
    {"regularizers": [{"gamma": 1}]},
    {"optimizers": {"generator": {"momentum": 0.5}}},
    {"optimizers": {"generator": {"lr": {"start": 0.1}}}},
    {"optimizers": {"generator": {"lr": {**SCHEDULE, "end": -1}}}},
    {"optimizers": {"generator": {"betas": [0.5, 1.5]}}},
    {"optimizers": {"generator": {"betas": [0.5]}}},
    {"train": {}},
    {"train": {"steps": 5, "epochs": 5}},
    {"train": {"steps": 5, "device": "gpu"}},
    {"train": {"steps": True}},
    {"latent": {"dim": 5}},
    {"latent": {"name": "normal", "dim": 0}},
    {"ema": {}},
    {"initialize": {"skip": []}},
    {"segments": [{"step": 5}]},
    {"segments": [{"step": 5, "set": {"train.steps": 5}}]},
    {"codec": "some"},
    {"seed": -1},
    {"name": "a/b"},
]  # fmt: skip


@pytest.mark.parametrize("change", VALID, ids=json.dumps)
def test_valid_recipes(change, runtime, validator):
    assert accepted(runtime, SMALL | change)
    validator.validate(SMALL | change)


@pytest.mark.parametrize("change", INVALID, ids=json.dumps)
def test_faults(change, runtime, validator):
    assert not accepted(runtime, SMALL | change)
    assert not validator.is_valid(SMALL | change)


@pytest.mark.parametrize("key", ["image", "dataset", "generator", "discriminator", "train"])
def test_missing_keys(key, runtime, validator):
    data = {name: value for name, value in SMALL.items() if name != key}
    with pytest.raises(gankit.RecipeError):
        runtime.check(gankit.Recipe.parse({"name": "some", **data}))
    assert not validator.is_valid(data)


@pytest.mark.parametrize(
    "change",
    [
        {"generator": {"width": 8}},
        {"dataset": {"name": "derived", "dataset": {"count": 5}}},
        {"optimizers": {"generator": {"lr": {"end": 0.1}}}},
        {"initialize": {"skip": ["a"]}},
        {"ema": None},
        {"train": {"precision": "fp32"}},
    ],
)
def test_a_recipe_that_extends_another_may_leave_things_out(change, validator):
    validator.validate({"extends": "other.yaml", **change})
    assert not validator.is_valid(SMALL | {"dataset": {}} | change)


@pytest.mark.parametrize("change", [{"generator": {"widht": 8}}, {"callbacks": [{"every": 5}]}, {"loss": "bec"}])
def test_faults_in_a_recipe_that_extends_another(change, validator):
    assert not validator.is_valid({"extends": "other.yaml", **change})


def places(data: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    for key, value in data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ():
        yield (*path, key)
        yield from places(value, (*path, key))


VALUES = st.sampled_from(
    [
        *(-1, 0, 1, 2, 7, 1000, 2**70, 0.5, -0.5, 1.5, "", "some", "auto", "bce", "cifar10", None, [], [1, 2], {}),
        *({"name": "normal"}, {"start": 1, "end": 0, "over_images": 5}, {"start": 0}, {"a": 1}),
    ]
)
WHOLE = [read_document(path).data for path in RECIPES]


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(draw=st.data())
def test_it_agrees_with_gankit_on_changed_recipes(draw, runtime, validator):
    data = copy.deepcopy(draw.draw(st.sampled_from(WHOLE)))
    *path, last = draw.draw(st.sampled_from([*places(data)]))
    holder = data
    for key in path:
        holder = holder[key]
    change = draw.draw(st.sampled_from(["replace", "remove", "misspell"]))
    if change == "replace":
        holder[last] = draw.draw(VALUES)
    elif change == "misspell" and isinstance(last, str):
        holder[last + "s"] = holder.pop(last)
    else:
        del holder[last]
    by_schema, by_gankit = validator.is_valid(data), accepted(runtime, data)
    if by_gankit and not by_schema:
        # only the schema requires true or false where gankit also accepts 1, 0 and texts, and a discriminator
        faults = [*validator.iter_errors(data)]
        assert all(fault.validator == "required" or any_boolean(fault) for fault in faults), faults
    if by_schema and not by_gankit:
        assert is_beyond_a_schema(runtime, data)


def any_boolean(fault: Any) -> bool:
    """Whether true or false was expected, here or in one of the alternatives."""
    return (fault.validator, fault.validator_value) == ("type", "boolean") or any(map(any_boolean, fault.context))


def is_beyond_a_schema(runtime: gankit.Runtime, data: dict[str, Any]) -> bool:
    """Whether each problem is one of the relations that the schema does not express."""
    document = Document({"name": "some", **copy.deepcopy(data)})
    recipe, problems = gankit.Recipe.attempt(document)
    problems += select_all(document.data if recipe is None else recipe.model_dump(), document, runtime.registries)[1]
    known = ("has no effect in a dataset", "random crops each image", "pattern", "is a kornia", "in the order of their", "is also adapted")
    return all(any(words in problem.message for words in known) for problem in problems)
