"""The structure of a recipe: defaults, invalid values, equality and YAML."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gankit import Recipe, RecipeError
from gankit.recipe.inheritance import parse


def messages(error: pytest.ExceptionInfo[RecipeError]) -> list[str]:
    assert str(error.value).splitlines() == [str(problem) for problem in error.value.problems]
    return [str(problem) for problem in error.value.problems]


def minimal(**sections: Any) -> dict[str, Any]:
    return {
        "name": "r",
        "image": {"size": 64},
        "dataset": "d",
        "generator": "g",
        "discriminator": "d",
        "loss": "l",
        "optimizers": {"generator": "o", "discriminator": "o"},
        "train": {"steps": 1},
    } | sections


class TestStructure:
    def test_defaults(self):
        recipe = Recipe.parse(minimal())
        assert recipe.seed == 0
        assert recipe.image.size == (64, 64)
        assert not recipe.conditional
        assert (recipe.latent.dim, recipe.loader.batch_size, recipe.loader.cache) == (100, 64, "auto")
        assert recipe.regularizers == recipe.augmentations == recipe.callbacks == ()
        assert recipe.train.model_dump() == {
            "epochs": None,
            "steps": 1,
            "images": None,
            "discriminator_steps": 1,
            "precision": "auto",
            "tf32": True,
            "device": "auto",
            "fresh_fakes": False,
            "joint_pass": False,
            "microbatch": None,
            "clip_gradient": None,
            "compile": False,
            "cuda_graphs": False,
            "kernels": "auto",
            "deterministic": False,
            "max_hours": None,
            "final_checkpoint": True,
            "game": {"name": "adversarial"},
            "freeze": None,
            "checkpoint_activations": None,
        }
        assert recipe.ema is None
        assert recipe.initialize is None

    @pytest.mark.parametrize(
        ("given", "size"), [(64, (64, 64)), ([32, 64], (32, 64)), (64.0, (64, 64)), ("64", (64, 64))]
    )
    def test_image_size(self, given, size):
        assert Recipe.parse(minimal(image={"size": given})).image.size == size

    def test_component_from_name_or_mapping(self):
        recipe = Recipe.parse(minimal(loss="bce", generator={"name": "g", "width": 3, "params": 1, "copy": 2}))
        assert (recipe.loss.name, recipe.loss.params) == ("bce", {})
        assert recipe.generator.params == {"width": 3, "params": 1, "copy": 2}
        assert recipe.generator.model_dump() == {"name": "g", "width": 3, "params": 1, "copy": 2}

    @pytest.mark.parametrize(
        ("sections", "message"),
        [
            ({"image": {"size": "x"}}, "image.size: should be a whole number; got 'x'"),
            ({"image": {"size": True}}, "image.size: should be a whole number; got true"),
            ({"image": {"size": 0}}, "image.size: should be greater than or equal to 1; got 0"),
            ({"image": {"size": 20_000}}, "image.size: should be less than or equal to 16384; got 20000"),
            ({"image": {"size": [64]}}, "image.size.1: is missing; it is required"),
            ({"image": {"size": [1, 2, 3]}}, "image.size: list should have at most 2 items, not 3; got [1, 2, 3]"),
            ({"image": {"size": [64, True]}}, "image.size.1: should be a whole number; got true"),
            ({"image": 64}, "image: should be a mapping; got 64"),
            ({"seed": True}, "seed: should be a whole number; got true"),
            ({"seed": -1}, "seed: should be greater than or equal to 0; got -1"),
            ({"seed": 2**63}, f"seed: should be less than {2**63}; got {2**63}"),
            ({"seed": 1.5}, "seed: should be a whole number; got 1.5"),
            ({"seed": None}, "seed: should be a whole number; got null"),
            ({"name": 3}, 'name: should be a string; got 3; put it in quotes to make it text: "3"'),
            ({"name": "../x"}, "name: should be up to 100 letters, digits, '.', '_' and '-', beginning with a letter or digit; got '../x'"),
            ({"name": "x\n"}, "name: should be up to 100 letters, digits, '.', '_' and '-', beginning with a letter or digit; got 'x\\n'"),
            ({"name": ""}, "name: should be up to 100 letters, digits, '.', '_' and '-', beginning with a letter or digit; got ''"),
            ({"conditional": "maybe"}, "conditional: should be true or false; got 'maybe'"),
            ({"conditional": 2}, "conditional: should be true or false; got 2"),
            ({"generator": 5}, "generator: should be the name of a component, or a mapping with its 'name'; got 5"),
            ({"latent": None}, "latent: should be the name of a component, or a mapping with its 'name'; got null"),
            ({"generator": ""}, "generator.name: should be a non-empty string; got ''"),
            ({"generator": {"width": 3}}, "generator.name: is missing; it is required"),
            ({"callbacks": "checkpoint"}, "callbacks: should be a list; got 'checkpoint'"),
            ({"callbacks": [None]}, "callbacks.0: should be the name of a component, or a mapping with its 'name'; got null"),
            ({"optimizers": "adam"}, "optimizers: should be a mapping; got 'adam'"),
            ({"optimizers": {"generatr": "o"}}, "optimizers.generatr: unknown key; did you mean 'generator'?"),
            ({"loader": {"cache": "disk"}}, "loader.cache: should be 'auto', 'device', 'memory' or 'none'; got 'disk'"),
            ({"loader": {"batch_size": 0}}, "loader.batch_size: should be greater than 0; got 0"),
            ({"loader": {"workers": 10_000}}, "loader.workers: should be less than or equal to 256; got 10000"),
            ({"loader": {"batchsize": 3}}, "loader.batchsize: unknown key; did you mean 'batch_size'?"),
            ({"train": {"steps": True}}, "train.steps: should be a whole number; got true"),
            ({"train": {"steps": 1, "device": "tpu"}}, "train.device: should be auto, cpu, mps, cuda or cuda:N; got 'tpu'"),
            ({"train": {"steps": 1, "clip_gradient": True}}, "train.clip_gradient: should be a number; got true"),
            ({"train": {"steps": 1, "clip_gradient": float("inf")}}, "train.clip_gradient: should be a finite number; got inf"),
            ({"train": {"images": 2**63}}, "train.images: should be less than 9223372036854775808; got 9223372036854775808"),
            ({"train": {}}, "train: give exactly one of epochs, steps, images; got none"),
            ({"train": {"steps": 1, "epochs": 2}}, "train.steps: give exactly one of epochs, steps, images; got epochs and steps"),
            ({"ema": {}}, "ema.half_life_images: is missing; it is required"),
            ({"ema": {"half_life_images": True}}, "ema.half_life_images: should be a number; got true"),
            ({"ema": {"half_life_images": -1}}, "ema.half_life_images: should be greater than or equal to 0; got -1"),
            ({"ema": {"half_life_images": {"start": 1, "end": 2}}}, "ema.half_life_images.over_images: is missing; it is required"),
            ({"ema": {"half_life_images": {"start": 1, "end": 2, "over_images": 3, "shap": 1}}}, "ema.half_life_images.shap: unknown key; did you mean 'shape'?"),
            ({"initialize": 3}, 'initialize: should be a path; got 3; put it in quotes to make it text: "3"'),
            ({"initialize": {}}, "initialize.from: is missing; it is required"),
            ({"initialize": {"from": "a", "form": "b"}}, "initialize.form: unknown key; did you mean 'from'?"),
            ({"initialize": {"from": "a", "networks": ["g"]}}, "initialize.networks.0: should be 'generator', 'discriminator' or 'generator_ema'; got 'g'"),
            ({"initialize": {"from": "a", "networks": "generator"}}, "initialize.networks: should be 'all'; got 'generator'"),
            ({"initialize": {"from": "a", "networks": None}}, "initialize.networks: should be a list; got null"),
            ({"initialize": {"from": "a", "skip": "x.*"}}, "initialize.skip: should be a list; got 'x.*'"),
            ({"initialize": {"from": "a", "skip": [""]}}, "initialize.skip.0: should be a non-empty string; got ''"),
            ({"initialize": {"from": "a", "copy": ["x"]}}, "initialize.copy: should be a mapping; got ['x']"),
            ({"train": {"steps": 1, "freeze": ["x"]}}, "train.freeze: should be a mapping; got ['x']"),
            ({"train": {"steps": 1, "freeze": {"generatr": []}}}, "train.freeze.generatr: unknown key; did you mean 'generator'?"),
            ({"train": {"steps": 1, "freeze": {"generator": "x.*"}}}, "train.freeze.generator: should be a list; got 'x.*'"),
            ({"tran": {"steps": 1}}, "tran: unknown key; did you mean 'train'?"),
            ({1: 2}, "1: keys should be strings; got 1"),
        ],
    )  # fmt: skip
    def test_invalid_values(self, sections, message):
        with pytest.raises(RecipeError) as error:
            Recipe.parse(minimal() | sections)
        assert messages(error) == [message]

    def test_missing_keys(self):
        with pytest.raises(RecipeError) as error:
            Recipe.parse({})
        names = ("name", "image", "dataset", "generator", "train")
        assert messages(error) == [f"{name}: is missing; it is required" for name in names]

    def test_booleans_are_not_numbers(self):
        with pytest.raises(RecipeError) as error:
            Recipe.parse(minimal(seed=True, loader={"batch_size": True, "flip": 3, "workers": False}))
        assert set(messages(error)) == {
            "seed: should be a whole number; got true",
            "loader.batch_size: should be a whole number; got true",
            "loader.flip: should be true or false; got 3",
            "loader.workers: should be a whole number; got false",
        }


words = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
params = st.dictionaries(
    words.filter(lambda word: word != "name"),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | words,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
        max_leaves=5,
    ),
    max_size=4,
)
components = st.builds(lambda name, params: {"name": name, **params}, words.filter(bool), params)
numbers = st.floats(1e-9, 1e9)
paths = words.filter(lambda word: "\0" not in word and not word.startswith("~"))  # not of an unknown home folder
patterns = st.lists(words.filter(bool), max_size=3)
recipes = st.fixed_dictionaries(
    {
        "name": st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,20}", fullmatch=True),
        "image": st.builds(
            lambda size: {"size": size}, st.integers(1, 16384) | st.tuples(*[st.integers(1, 16384)] * 2)
        ),
        "dataset": components,
        "generator": components,
        "discriminator": components,
        "loss": components,
        "optimizers": st.fixed_dictionaries({"generator": components, "discriminator": components}),
        "train": st.builds(
            lambda length, steps, freeze: {length: steps} | freeze,
            st.sampled_from(["epochs", "steps", "images"]),
            st.integers(1, 10**12),
            st.fixed_dictionaries(
                {},
                optional={
                    "freeze": st.none()
                    | st.fixed_dictionaries({}, optional={"generator": patterns, "discriminator": patterns})
                },
            ),
        ),
    },
    optional={
        "seed": st.integers(0, 2**63 - 1),
        "conditional": st.booleans(),
        "regularizers": st.lists(components, max_size=3),
        "callbacks": st.lists(components, max_size=3),
        "ema": st.none()
        | st.fixed_dictionaries(
            {
                "half_life_images": numbers
                | st.fixed_dictionaries({"start": numbers, "end": numbers, "over_images": st.integers(1, 10**9)}),
                "ramp_up": st.none() | numbers,
            }
        ),
        "initialize": st.none()
        | paths
        | st.fixed_dictionaries(
            {"from": paths},
            optional={
                "networks": st.just("all") | st.lists(st.sampled_from(["generator", "discriminator", "generator_ema"])),
                "skip": patterns,
                "copy": st.dictionaries(words, words, max_size=2),
            },
        ),
    },
)


class TestValueSemantics:
    def test_equality_ignores_the_file(self, tmp_path):
        one, other = tmp_path / "one.yaml", tmp_path / "other.yaml"
        one.write_text(yaml.safe_dump(minimal()))
        other.write_text("# another\n" + yaml.safe_dump(minimal(), sort_keys=False))
        assert Recipe.load(one) == Recipe.load(other) == Recipe.parse(minimal())
        assert hash(Recipe.load(one)) == hash(Recipe.load(other))
        assert Recipe.load(one) != Recipe.load(one, ["seed=1"])

    def test_copy_and_pickle(self):
        recipe = Recipe.parse(minimal())
        assert copy.deepcopy(recipe) == pickle.loads(pickle.dumps(recipe)) == recipe

    def test_recipes_are_immutable(self):
        with pytest.raises(ValueError, match="frozen"):
            Recipe.parse(minimal()).seed = 3  # type: ignore[misc]

    @given(recipes)
    @settings(max_examples=30, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large], deadline=None)
    def test_to_yaml_round_trip(self, data):
        recipe = Recipe.parse(data)
        document = parse(recipe.to_yaml(), "again.yaml")
        assert Recipe.from_document(document) == recipe
