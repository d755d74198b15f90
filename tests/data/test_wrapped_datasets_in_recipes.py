"""A dataset that the recipe names inside another one: problems, overrides, inheritance and signatures."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

import gankit

TINY = {"name": "tiny", "count": 24, "side": 16, "channels": 3, "labelled": True}


class TestProblems:
    @pytest.mark.parametrize(
        ("dataset", "problems"),
        [
            (
                "{name: inverted, source: {name: tinny}, times: 0}",
                [
                    "5:42: dataset.source.name: no dataset is called 'tinny'; did you mean 'tiny'?",
                    "5:57: dataset.times: should be greater than 0; got 0",
                ],
            ),
            (
                "{name: inverted, source: {name: tiny, count: -1, sidee: 4}}",
                [
                    "5:55: dataset.source.count: should be greater than or equal to 0; got -1",
                    "5:59: dataset.source.sidee: unknown parameter; did you mean 'side'?",
                ],
            ),
            ("{name: inverted}", ["5:10: dataset.source: is missing; it is required"]),
            ("{name: inverted, source: {count: 3}}", ["5:35: dataset.source.name: is missing; it is required"]),
            (
                "{name: inverted, source: {name: tiny, count: true}}",
                ["5:55: dataset.source.count: should be a whole number; got true"],
            ),
            (
                "{name: inverted, source: [tiny]}",
                ["5:35: dataset.source: should be the name of a component, or a mapping with its 'name'; got ['tiny']"],
            ),
            (
                "{name: inverted, source: null}",
                ["5:35: dataset.source: should be the name of a component, or a mapping with its 'name'; got null"],
            ),
            (
                "{name: inverted, source: {name: inverted, source: {name: stored}}}",
                ["5:60: dataset.source.source.path: is missing; it is required"],
            ),
            (
                "{name: inverted, source: {name: stored, path: a.txt}}",
                ["5:35: dataset.source: 'a.txt' should be a JSON file"],
            ),
            (
                "{name: inverted, source: {name: inverted, source: nothing}}",
                ["5:60: dataset.source.source: int is not a dataset: it lacks `__len__` and `__getitem__`"],
            ),
            ("{name: joined, sources: tiny}", ["5:34: dataset.sources: should be a list; got 'tiny'"]),
            (
                "{name: joined, sources: [tiny, {name: tiny, side: 0}], more: tinny}",
                [
                    "5:60: dataset.sources.1.side: should be greater than 0; got 0",
                    "5:71: dataset.more.name: no dataset is called 'tinny'; did you mean 'tiny'?",
                ],
            ),
        ],
    )
    def test_they_are_found_at_their_places(self, runtime, tiny_recipe, tmp_path, dataset, problems):
        rest = yaml.safe_load(tiny_recipe(tmp_path).read_text())
        text = yaml.safe_dump({key: value for key, value in rest.items() if key not in ("dataset", "name")})
        Path("r.yaml").write_text(f"name: r\n\n\n\ndataset: {dataset}\n{text}")
        with pytest.raises(gankit.RecipeError) as error:
            runtime.load("r.yaml")
        assert [str(problem) for problem in error.value.problems] == [f"r.yaml:{problem}" for problem in problems]

    @pytest.mark.parametrize("path", ["gain", "source.gain"])
    def test_a_schedule_is_refused_in_every_dataset(self, checked, path):
        stored = {"name": "stored", "path": "data.json"}
        dataset = {"name": "inverted", "source": stored} if "." in path else stored
        assert checked(dataset, f"dataset.{path}=2")
        with pytest.raises(gankit.RecipeError, match=rf"dataset\.{path}: a schedule has no effect in a dataset"):
            checked(dataset, f"dataset.{path}={{start: 1, end: 2, over_images: 10}}")


class TestValuesFromElsewhere:
    def test_overrides(self, checked):
        dataset = {"name": "inverted", "source": "tiny"}
        assert checked(dataset, "dataset.source.count=24").recipe.dataset.params["source"] == TINY
        other = checked(dataset, "dataset.source={name: stored, path: a.json}").recipe.dataset.params["source"]
        assert other == {"name": "stored", "path": "a.json", "gain": 1.0}
        joined = {"name": "joined", "sources": ["tiny", {"name": "stored", "path": "a.json"}]}
        paths = checked(joined, "dataset.sources.stored.path=b.json").recipe.dataset.params["sources"]
        assert paths[1]["path"] == "b.json"
        with pytest.raises(gankit.RecipeError, match=r"^command line: dataset\.source\.count=x: dataset\.source\.count: "):
            checked(dataset, "dataset.source.count=x")

    def test_inheritance(self, runtime, tiny_recipe, tmp_path):
        source = {"name": "tiny", "count": 24, "labelled": False}
        tiny_recipe(tmp_path, "base.yaml", dataset={"name": "inverted", "source": source, "times": 3})
        for name, inner in (("same", "{name: tiny, side: 8}"), ("other", "{name: stored, path: a.json}")):
            Path(f"{name}.yaml").write_text(f"extends: base.yaml\ndataset: {{name: inverted, source: {inner}}}\n")
        params = runtime.load_checked("same.yaml").recipe.dataset.params
        assert params == {"source": {**TINY, "side": 8, "labelled": False}, "times": 3}
        params = runtime.load_checked("other.yaml").recipe.dataset.params
        assert params == {"source": {"name": "stored", "path": "a.json", "gain": 1.0}, "times": 3}

    def test_segments(self, runtime, checked):
        dataset = {"name": "inverted", "source": {"name": "tiny", "count": 24}}
        trainer = runtime.assemble(checked(dataset), "run")
        trainer.fit()
        runtime.resume("run", ["train.steps=4", "dataset.source.count=40"], accept_changes=True).fit()
        assert runtime.load("run/recipe.yaml").at(3).dataset.params["source"]["count"] == 40


class TestSignatures:
    def test_they_are_shown(self, cli, wrapping_plugin_file):
        out = cli("show", "datasets", "inverted", "--plugin", wrapping_plugin_file).out
        assert re.search(r"^ *source +dataset +required *$", out, re.MULTILINE)
        out = cli("show", "datasets", "joined", "--plugin", wrapping_plugin_file).out
        assert re.search(r"^ *sources +list of dataset +required *$", out, re.MULTILINE)
        assert re.search(r"^ *more +dataset or null +null *$", out, re.MULTILINE)

    def test_a_default_cannot_name_a_dataset(self):
        def wrapper(*, source: gankit.Dataset = "tiny"): ...

        message = "the default of 'source' should be a component that the recipe names; it is 'tiny'"
        with pytest.raises(gankit.RegistrationError, match=message):
            gankit.Registries().datasets.add("wrapper", wrapper)

    @pytest.mark.parametrize("annotation", [gankit.Dataset | Path, dict[str, gankit.Dataset]])
    def test_other_combinations_are_refused(self, annotation):
        def wrapper(*, source): ...

        wrapper.__annotations__["source"] = annotation
        with pytest.raises(gankit.RegistrationError, match="datasets: 'wrapper': unsupported annotation"):
            gankit.Registries().datasets.add("wrapper", wrapper)
