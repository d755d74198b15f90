"""Recipes: structure, components, all problems at once with their places, and what no recipe can break."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import gankit
from gankit import Recipe, RecipeError
from gankit.recipe.inheritance import parse

DCGAN = Path(__file__).parent.parent / "recipes" / "dcgan_cifar10.yaml"
PLUGINS = ["gankit_dcgan", "gankit_cifar10", "gankit_losses", "gankit_optimizers", "gankit_callbacks"]


@pytest.fixture(scope="module")
def runtime() -> gankit.Runtime:
    return gankit.Runtime(plugins=PLUGINS, discover=False)


def lines(error: pytest.ExceptionInfo[RecipeError]) -> list[str]:
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
    def test_the_defaults(self):
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
            "microbatch": None,
            "clip_gradient": None,
            "compile": False,
            "kernels": "auto",
            "deterministic": False,
            "max_hours": None,
            "game": {"name": "adversarial"},
        }
        assert recipe.ema is None
        assert recipe.initialize is None

    @pytest.mark.parametrize(
        ("given", "size"), [(64, (64, 64)), ([32, 64], (32, 64)), (64.0, (64, 64)), ("64", (64, 64))]
    )
    def test_image_size(self, given, size):
        assert Recipe.parse(minimal(image={"size": given})).image.size == size

    def test_a_component_is_a_name_or_a_mapping(self):
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
            ({"name": 3}, "name: should be a string; got 3"),
            ({"name": "../x"}, "name: should be up to 100 letters, digits, '.', '_' and '-'; got '../x'"),
            ({"name": "x\n"}, "name: should be up to 100 letters, digits, '.', '_' and '-'; got 'x\\n'"),
            ({"name": ""}, "name: should be up to 100 letters, digits, '.', '_' and '-'; got ''"),
            ({"conditional": "maybe"}, "conditional: should be true or false; got 'maybe'"),
            ({"conditional": 2}, "conditional: should be true or false; got 2"),
            ({"generator": 5}, "generator: should be the name of a component, or a mapping with its 'name'; got 5"),
            ({"latent": None}, "latent: should be the name of a component, or a mapping with its 'name'; got null"),
            ({"generator": ""}, "generator.name: should be a non-empty string; got ''"),
            ({"generator": {"width": 3}}, "generator.name: is missing; it is required"),
            ({"callbacks": "checkpoint"}, "callbacks: should be a list; got 'checkpoint'"),
            ({"callbacks": [None]}, "callbacks.0: should be the name of a component, or a mapping with its 'name'; got null"),
            ({"optimizers": "adam"}, "optimizers: should be a mapping; got 'adam'"),
            ({"optimizers": {"generator": "o"}}, "optimizers.discriminator: is missing; it is required"),
            ({"loader": {"cache": "disk"}}, "loader.cache: should be 'auto', 'device', 'memory' or 'none'; got 'disk'"),
            ({"loader": {"batch_size": 0}}, "loader.batch_size: should be greater than 0; got 0"),
            ({"loader": {"workers": 10_000}}, "loader.workers: should be less than or equal to 256; got 10000"),
            ({"loader": {"batchsize": 3}}, "loader.batchsize: unknown key; did you mean 'batch_size'?"),
            ({"train": {"steps": True}}, "train.steps: should be a whole number; got true"),
            ({"train": {"steps": 1, "device": "tpu"}}, "train.device: should be auto, cpu, mps, cuda or cuda:N; got 'tpu'"),
            ({"train": {"steps": 1, "clip_gradient": True}}, "train.clip_gradient: should be a number; got true"),
            ({"train": {"steps": 1, "clip_gradient": float("inf")}}, "train.clip_gradient: should be a finite number; got inf"),
            ({"train": {}}, "train: give exactly one of epochs, steps, images; got none"),
            ({"train": {"steps": 1, "epochs": 2}}, "train.steps: give exactly one of epochs, steps, images; got epochs and steps"),
            ({"ema": {}}, "ema.half_life_images: is missing; it is required"),
            ({"ema": {"half_life_images": True}}, "ema.half_life_images: should be a number; got true"),
            ({"ema": {"half_life_images": -1}}, "ema.half_life_images: should be greater than or equal to 0; got -1"),
            ({"ema": {"half_life_images": {"start": 1, "end": 2}}}, "ema.half_life_images.over_images: is missing; it is required"),
            ({"ema": {"half_life_images": {"start": 1, "end": 2, "over_images": 3, "shap": 1}}}, "ema.half_life_images.shap: unknown key; did you mean 'shape'?"),
            ({"initialize": 3}, "initialize: should be a path; got 3"),
            ({"tran": {"steps": 1}}, "tran: unknown key; did you mean 'train'?"),
            ({1: 2}, "1: keys should be strings; got 1"),
        ],
    )  # fmt: skip
    def test_faults(self, sections, message):
        with pytest.raises(RecipeError) as error:
            Recipe.parse(minimal() | sections)
        assert lines(error) == [message]

    def test_what_is_missing(self):
        with pytest.raises(RecipeError) as error:
            Recipe.parse({})
        names = ("name", "image", "dataset", "generator", "discriminator", "loss", "optimizers", "train")
        assert lines(error) == [f"{name}: is missing; it is required" for name in names]

    def test_true_is_no_number_anywhere_and_told_with_the_other_faults(self):
        with pytest.raises(RecipeError) as error:
            Recipe.parse(minimal(seed=True, loader={"batch_size": True, "flip": 3, "workers": False}))
        assert set(lines(error)) == {
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
        "train": st.one_of(
            *(st.builds(lambda n, k=key: {k: n}, st.integers(1, 10**12)) for key in ("epochs", "steps", "images"))
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
        "initialize": st.none() | words.filter(lambda word: "\0" not in word),
    },
)


class TestIdentity:
    def test_recipes_are_equal_that_say_the_same_wherever_they_stand(self, tmp_path):
        one, other = tmp_path / "one.yaml", tmp_path / "other.yaml"
        one.write_text(yaml.safe_dump(minimal()))
        other.write_text("# another\n" + yaml.safe_dump(minimal(), sort_keys=False))
        assert Recipe.load(one) == Recipe.load(other) == Recipe.parse(minimal())
        assert hash(Recipe.load(one)) == hash(Recipe.load(other))
        assert Recipe.load(one) != Recipe.load(one, ["seed=1"])

    def test_recipes_can_be_copied_and_pickled(self):
        recipe = Recipe.parse(minimal())
        assert copy.deepcopy(recipe) == pickle.loads(pickle.dumps(recipe)) == recipe

    def test_a_recipe_cannot_be_changed(self):
        with pytest.raises(ValueError, match="frozen"):
            Recipe.parse(minimal()).seed = 3  # type: ignore[misc]

    @given(recipes)
    @settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large], deadline=None)
    def test_to_yaml_loads_to_an_equal_recipe(self, data):
        recipe = Recipe.parse(data)
        document = parse(recipe.to_yaml(), "again.yaml")
        assert Recipe.from_document(document) == recipe


class TestAllProblemsAtOnce:
    def test_structure_and_components_in_the_order_of_the_file(self, tmp_path, monkeypatch, runtime):
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
        assert [line for line in lines(error) if not line.startswith("command line")] == [
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
        assert [line for line in lines(error) if line.startswith("command line")] == [
            "command line: callbacks.7.x=1: callbacks: no unique item '7'; items: "
            "0 (checkpoint), 1 (loss_curve)",
            "command line: loss.label_smoothing=2: loss.label_smoothing: should be less than 0.5; got 2",
        ]

    def test_places_through_extends(self, tmp_path, monkeypatch, runtime):
        monkeypatch.chdir(tmp_path)
        Path("base.yaml").write_text(DCGAN.read_text().replace("width: 64", "width: 0", 1))
        Path("child.yaml").write_text("extends: base.yaml\ndiscriminator:\n  depth: 3\n")
        with pytest.raises(RecipeError) as error:
            runtime.load("child.yaml")
        assert lines(error) == [
            "base.yaml:9:33: generator.width: should be greater than 0; got 0",
            "child.yaml:3:3: discriminator.depth: unknown parameter; did you mean 'width'?",
        ]

    def test_an_unknown_component_tells_what_there_is(self, runtime):
        with pytest.raises(RecipeError, match="no loss is called 'qqq'; known: bce, hinge, lsgan"):
            runtime.load(DCGAN, ["loss=qqq"])
        with pytest.raises(RecipeError, match="no augmentation is called 'x'; there are none"):
            runtime.load(DCGAN, ["augmentations=[x]"])


class TestFittingTogether:
    """What shows only when components are built, still without data."""

    def test_an_impossible_size_is_told_at_both_networks(self, runtime):
        with pytest.raises(RecipeError) as error:
            runtime.load(DCGAN, ["image.size=50"])
        assert [problem.path for problem in error.value.problems] == ["generator", "discriminator"]
        assert [problem.place.rpartition("/")[2] for problem in error.value.problems] == [
            "dcgan_cifar10.yaml:9:12",
            "dcgan_cifar10.yaml:10:16",
        ]
        assert "cannot make images of 50x50" in str(error.value)

    @pytest.mark.parametrize(
        ("word", "message"),
        [
            ("generator.width=1000000000", "too large|parameters, more than"),
            ("generator.width=1000000", "parameters, more than the 100,000,000,000"),
            ("latent.dim=1000000000000", "parameters, more than the 100,000,000,000"),
            ("image.size=16384", "parameters, more than the 100,000,000,000"),
        ],
    )
    def test_absurd_sizes_are_refused_at_once(self, runtime, word, message):
        with pytest.raises(RecipeError, match=message):
            runtime.load(DCGAN, [word])

    def test_checking_draws_no_random_numbers(self, runtime):
        import torch

        before = torch.get_rng_state()
        runtime.load(DCGAN)
        assert torch.equal(before, torch.get_rng_state())


STRANGE = [
    None, True, False, 0, -1, 1, 3, 10**9, 10**30, 1.5, 1e308, -1e-9, float("inf"), float("nan"), "", "x", "dcgan", "64",
    "2e-4", [], [1], [1, 2, 3], {}, {"name": "dcgan"}, {"name": "x", "y": [1]}, {"start": 0, "end": 1, "over_images": 9},
    {"start": 1}, [[]], [{}], [{"name": 3}], "a\nb", "é\x1b[31m", "x" * 500,
]  # fmt: skip


def paths_of(data: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    return [found for key, value in items for found in [(*path, key), *paths_of(value, (*path, key))]]


@st.composite
def mutated(draw: st.DrawFn) -> dict[str, Any]:
    """The recipe with a few of its keys and values deleted, renamed or replaced."""
    data = yaml.safe_load(DCGAN.read_text())
    for _ in range(draw(st.integers(1, 4))):
        paths = paths_of(data)
        if not paths:
            break
        *around, key = draw(st.sampled_from(paths))
        holder = data
        for part in around:
            holder = holder[part]
        change = draw(st.sampled_from(["delete", "rename", "replace", "replace", "add"]))
        if change == "delete":
            del holder[key]
        elif change == "rename" and isinstance(holder, dict):
            holder[draw(st.sampled_from([f"{key}x", str(key)[1:] or "q", "name", "extends", "<<"]))] = holder.pop(key)
        elif change == "add" and isinstance(holder, dict):
            word = draw(st.sampled_from(["name", "steps", "extends", "initialize", "ema", "width", "é"]))
            holder[word] = copy.deepcopy(draw(st.sampled_from(STRANGE)))
        else:
            holder[key] = copy.deepcopy(draw(st.sampled_from(STRANGE)))
    return data


def attempt(path: Path, load: Any) -> None:
    """A recipe, or problems that each have a place; nothing else."""
    try:
        recipe, problems = load(path), ()
    except RecipeError as error:
        recipe, problems = None, error.problems
    assert problems or isinstance(recipe, Recipe)
    assert all(problem.place and problem.message and len(str(problem)) < 2000 for problem in problems)


@given(mutated())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_recipe_raises_anything_else(tmp_path_factory, runtime, data):
    path = tmp_path_factory.mktemp("fuzz") / "r.yaml"
    path.write_text(yaml.safe_dump(data, sort_keys=False, allow_unicode=False))
    attempt(path, runtime.load)


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_no_text_raises_anything_else(tmp_path_factory, data):
    text = DCGAN.read_text()
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(text)))
        end = data.draw(st.integers(start, min(len(text), start + 30)))
        text = text[:start] + data.draw(st.text("{}[]:,-?&*!|>'\"%@` \n\t#<=~0a", max_size=5)) + text[end:]
    path = tmp_path_factory.mktemp("fuzz") / "r.yaml"
    path.write_text(text)
    attempt(path, Recipe.load)


@given(
    st.lists(
        st.from_regex(
            r"[a-z]{0,3}(train|loss|callbacks|image|optimizers)?(\.[a-z0-9]{0,9}){0,3}=?.{0,10}", fullmatch=True
        ),
        max_size=3,
    )
)
@settings(max_examples=150, deadline=None)
def test_no_override_raises_anything_else(words):
    attempt(DCGAN, lambda path: Recipe.load(path, words))
