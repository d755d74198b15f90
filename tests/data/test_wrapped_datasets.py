"""Runs on a dataset that wraps another one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import yaml

import gankit

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
