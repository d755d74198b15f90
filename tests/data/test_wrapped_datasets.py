"""A dataset that wraps others, which the recipe names inside it."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import pytest
import torch
import yaml
from pydantic import Field, PositiveInt

import gankit


class Inverted:
    """The images of another dataset as negatives, each ``times`` times."""

    def __init__(self, *, source: gankit.Dataset, times: PositiveInt = 1) -> None:
        self.source, self.times = source, times
        self.spec, self.classes = gankit.spec_of(source), gankit.classes_of(source)

    def prepare(self) -> None:
        gankit.prepare_dataset(self.source)

    def fingerprint(self) -> str:
        return f"{self.times} x {gankit.data_fingerprint(self.source)}"

    def __len__(self) -> int:
        return self.times * len(self.source)

    def __getitem__(self, index: int):
        image, label = self.source[index % len(self.source)]
        return 255 - image, label


class Joined:
    """The images of several datasets, and of one more if it is given."""

    classes = None

    def __init__(
        self,
        *,
        sources: Annotated[Sequence[gankit.Dataset], Field(min_length=2)],
        more: gankit.Dataset | None = None,
        pair: tuple[gankit.Dataset, ...] = (),
    ) -> None:
        self.parts = [*sources, *([] if more is None else [more]), *pair]
        self.spec = gankit.spec_of(sources[0])

    def prepare(self) -> None:
        for part in self.parts:
            gankit.prepare_dataset(part)

    def __len__(self) -> int:
        return sum(map(len, self.parts))

    def __getitem__(self, index: int):
        for part in self.parts:
            if index < len(part):
                return part[index]
            index -= len(part)
        raise IndexError(index)


class Stored:
    """Noise from the seed in a file."""

    spec, classes = gankit.ImageSpec(16, 16, 3), None

    def __init__(self, *, path: Path, gain: gankit.Scheduled = 1.0) -> None:
        if path.suffix != ".json":
            raise ValueError(f"'{path}' should be a JSON file")
        self.path = path

    def prepare(self) -> None:
        random = torch.Generator().manual_seed(json.loads(self.path.read_text()))
        self.images = torch.randint(0, 256, (16, 3, 16, 16), dtype=torch.uint8, generator=random)

    def __len__(self) -> int:
        return 16

    def __getitem__(self, index: int):
        return self.images[index], None


def nothing(*, size: int = 3) -> int:
    """It is registered as a dataset, but is none."""
    return size


@pytest.fixture
def runtime(tiny_runtime, add_components, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    datasets = {"inverted": Inverted, "joined": Joined, "stored": Stored, "nothing": nothing}
    add_components(tiny_runtime, datasets=datasets)
    return tiny_runtime


@pytest.fixture
def checked(runtime, tiny_recipe, tmp_path):
    """``checked(dataset, *overrides)``: the tiny recipe with this dataset."""
    return lambda dataset, *overrides: runtime.load_checked(tiny_recipe(tmp_path, dataset=dataset), overrides)


TINY = {"name": "tiny", "count": 24, "side": 16, "channels": 3, "labelled": True}


class TestARun:
    def test_it_trains_on_the_items_of_the_wrapper(self, runtime, checked):
        dataset = {"name": "inverted", "source": {"name": "tiny", "count": 24}}
        trainer = runtime.assemble(checked(dataset, "conditional=true"), "run")
        trainer.fit()
        assert (trainer.ending, trainer.state.step) == ("done", 3)
        plain = runtime.assemble(checked(dict(dataset["source"]), "conditional=true"))
        mine, theirs = (next(made.setup.loader.stream(0)) for made in (trainer, plain))
        torch.testing.assert_close(mine.images, -theirs.images)
        assert torch.equal(mine.labels, theirs.labels)
        assert not torch.equal(mine.images, theirs.images)

    def test_the_saved_recipe_has_every_parameter_and_loads_to_an_equal_one(self, runtime, checked):
        trainer = runtime.assemble(checked({"name": "inverted", "source": "tiny"}), "run")
        trainer.fit()
        saved = yaml.safe_load(Path("run/recipe.yaml").read_text())
        assert saved["dataset"] == {"name": "inverted", "source": {**TINY, "count": 32}, "times": 1}
        again = runtime.load_checked("run/recipe.yaml")
        assert again.recipe == trainer.setup.recipe
        assert again["dataset"] == trainer.setup.checked["dataset"]
        assert again["dataset"] != checked({"name": "inverted", "source": {"name": "tiny", "count": 31}})["dataset"]

    def test_datasets_in_datasets_and_in_lists(self, runtime, checked):
        twice = {"name": "inverted", "times": 2, "source": {"name": "inverted", "source": {"name": "tiny", "count": 24}}}
        trainer = runtime.assemble(checked({"name": "joined", "sources": [twice, "tiny"], "pair": ["tiny"]}))
        dataset = trainer.setup.loader.dataset
        assert [len(part) for part in dataset.parts] == [48, 32, 32]
        inner = dataset.parts[0].source.source
        assert all(torch.equal(dataset[index][0], inner[index % 24][0]) for index in (0, 5, 30))
        more = checked({"name": "joined", "sources": ["tiny", "tiny"], "more": {"name": "tiny", "count": 7}})
        assert len(more.build("dataset")) == 71
        assert len(checked({"name": "joined", "sources": ["tiny", "tiny"], "more": None}).build("dataset")) == 64

    def test_it_resumes_only_with_the_data_of_the_inner_dataset(self, runtime, checked):
        Path("data.json").write_text("1")
        dataset = {"name": "inverted", "source": {"name": "stored", "path": "data.json"}}
        runtime.assemble(checked(dataset), "run").fit()
        runtime.resume("run", ["train.steps=4"]).fit()
        Path("data.json").write_text("2")
        with pytest.raises(gankit.CheckpointError, match="the data: still 16 images, but other names or content"):
            runtime.resume("run", ["train.steps=5"])
        runtime.resume("run", ["train.steps=5"], accept_changes=True).fit()

    def test_the_plugin_of_the_inner_dataset_belongs_to_the_run(self, tiny_plugin_file, tiny_recipe, tmp_path):
        tiny = tiny_plugin_file.read_text()
        source = tmp_path / "noise.py"
        source.write_text(tiny.split("@gankit.hookimpl")[0] + REGISTER.format(name="noise", factory="TinyDataset"))
        (tmp_path / "unused.py").write_text(source.read_text().replace('"noise"', '"unused"'))
        (tmp_path / "wrapper.py").write_text(WRAPPER + REGISTER.format(name="wrapper", factory="Wrapper"))
        recipe = tiny_recipe(tmp_path, dataset={"name": "wrapper", "source": "noise"})

        def loaded():
            files = [tiny_plugin_file, *(tmp_path / f"{name}.py" for name in ("noise", "unused", "wrapper"))]
            return gankit.Runtime(files, discover=False)

        runtime = loaded()
        runtime.assemble(runtime.load_checked(recipe), tmp_path / "run").fit()
        recorded = json.loads((tmp_path / "run" / "run.json").read_text())["plugins"]
        assert set(recorded) == {"tiny_plugin", "noise", "wrapper"}
        assert recorded["noise"] == {"source": str(source), "sha256": runtime.plugins[1].sha256()}
        source.write_text(source.read_text() + "# edited\n")
        with pytest.raises(gankit.CheckpointError, match=r"the code of plugin 'noise' \(.*noise\.py\)"):
            loaded().resume(tmp_path / "run", ["train.steps=5"])


WRAPPER = """
import gankit

class Wrapper:
    def __init__(self, *, source: gankit.Dataset) -> None:
        self.source, self.spec, self.classes = source, source.spec, source.classes
    def prepare(self):
        self.source.prepare()
    def __len__(self):
        return len(self.source)
    def __getitem__(self, index):
        return self.source[index]
"""
REGISTER = """
@gankit.hookimpl
def register(registries):
    registries.datasets.add("{name}", {factory})
"""


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
    def test_they_are_shown(self, cli, tmp_path):
        text = Path(__file__).read_text().partition("def nothing(")[0]
        (tmp_path / "mine.py").write_text(
            f'{text}\n@gankit.hookimpl\ndef register(registries):\n    registries.datasets.add("inverted", Inverted)\n'
            '    registries.datasets.add("joined", Joined)\n'
        )
        out = cli("show", "datasets", "inverted", "--plugin", tmp_path / "mine.py").out
        assert re.search(r"^ *source +dataset +required *$", out, re.MULTILINE)
        out = cli("show", "datasets", "joined", "--plugin", tmp_path / "mine.py").out
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
