"""A run resumes only with the classes, data and plugin code of its checkpoint, unless changes are accepted."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

import gankit
from gankit.runs.changes import class_difference, find_changes


class Stored:
    """A dataset in a file of classes and a seed."""

    split = "train"
    spec = gankit.ImageSpec(16, 16, 3)
    classes: tuple[str, ...] | None = ()

    def __init__(self, *, path: str) -> None:
        self.path = path

    def prepare(self) -> None:
        about = json.loads(Path(self.path).read_text())
        self.classes = tuple(about["classes"])
        random = torch.Generator().manual_seed(about.get("seed", 0))
        shape = (about.get("count", 16), 3, 16, 16)
        self.images = torch.randint(0, 256, shape, dtype=torch.uint8, generator=random)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return self.images[index], index % len(self.classes)


@pytest.fixture
def store(tmp_path):
    def write(file="data.json", **about):
        (tmp_path / file).write_text(json.dumps({"classes": ["ant", "bee"], **about}))

    write()
    return write


@pytest.fixture
def run(tiny_runtime, tiny_recipe, add_components, tmp_path, store, monkeypatch):
    """Trains a run on the stored data. The file of the recipe and the runtime stay for further runs."""
    monkeypatch.chdir(tmp_path)
    add_components(tiny_runtime, datasets={"stored": Stored})

    def train(name="run", **sections):
        sections = {"conditional": True, "dataset": {"name": "stored", "path": "data.json"}, **sections}
        tiny_runtime.assemble(tiny_runtime.load_checked(tiny_recipe(tmp_path, **sections)), tmp_path / name).fit()
        return tmp_path / name

    return train


LONGER = ["train.steps=5"]


@pytest.mark.parametrize(
    ("classes", "described"),
    [
        (["bee", "zebra"], r"2 classes \(ant, bee\), and this run has 2 classes \(bee, zebra\)"),
        (["bee", "ant"], r"2 classes \(ant, bee\), and this run has 2 classes \(bee, ant\)"),
        (["ant", "bee", "cat"], r"2 classes \(ant, bee\), and this run has 3 classes \(ant, bee, cat\)"),
    ],
)
def test_other_classes_are_refused(run, store, tiny_runtime, classes, described, files):
    directory = run()
    before = files(directory)
    store(classes=classes)
    for accept in (False, True):
        with pytest.raises(gankit.RecipeError, match=rf"recipe\.yaml:\d+:\d+: dataset: .*{described}; restore"):
            tiny_runtime.resume(directory, LONGER, accept_changes=accept)
    assert files(directory) == before
    store()
    tiny_runtime.resume(directory, LONGER).fit()


def test_class_names_do_not_matter_to_an_unconditional_run(run, store, tiny_runtime):
    directory = run(conditional=False)
    store(classes=["x", "y"])
    tiny_runtime.resume(directory, LONGER).fit()


def test_becoming_unconditional_is_refused_at_the_override(run, tiny_runtime):
    with pytest.raises(
        gankit.RecipeError, match=r"command line: conditional=false: conditional: .*has none \(conditional: false\)"
    ):
        tiny_runtime.resume(run(), ["conditional=false"])


@pytest.mark.parametrize(
    ("about", "described"),
    [
        ({"count": 18}, "the data: 16 images, now 18"),
        ({"seed": 1}, "the data: still 16 images, but other names or content"),
    ],
)
def test_other_data_must_be_accepted(run, store, tiny_runtime, about, described, files, events):
    directory = run()
    before = files(directory)
    store(**about)
    with pytest.raises(gankit.CheckpointError, match=rf"step-00000003: .*{described}\. .*--accept-changes"):
        tiny_runtime.resume(directory, LONGER)
    assert files(directory) == before
    tiny_runtime.resume(directory, LONGER, accept_changes=True).fit()
    accepted = [(event["step"], event["changes"]) for event in events(directory, "changes_accepted")]
    assert accepted == [(3, [described])]
    tiny_runtime.resume(directory, ["train.steps=6"]).fit()  # the next checkpoint has the new fingerprint


def test_the_same_data_at_another_path_is_no_change(run, store, tiny_runtime):
    directory = run()
    store("moved.json")
    tiny_runtime.resume(directory, [*LONGER, "dataset.path=moved.json"]).fit()
    store("other.json", seed=1)
    with pytest.raises(gankit.CheckpointError, match="the data: still 16 images"):
        tiny_runtime.resume(directory, ["train.steps=6", "dataset.path=other.json"])


def test_images_of_a_folder_that_are_replaced_are_noticed(cli, data, recipe, tmp_path):
    made = recipe(dataset={"name": "image_folder", "path": str(data / "pictures")}, latent={"name": "normal", "dim": 8})
    (tmp_path / "recipe.yaml").write_text(made.to_yaml())
    words = ["callbacks=[checkpoint]", "train.steps=1"]
    assert cli("run", "recipe.yaml", *words, "--out", "run").code == 0
    (data / "pictures" / "3.png").replace(data / "pictures" / "4.png")
    said = cli("resume", "run", "train.steps=2")
    assert said.code == 2
    assert "the data: 12 images, now 11. Restore them, or continue with the change: --accept-changes" in said.err
    said = cli("resume", "run", "train.steps=2", "--accept-changes")
    assert (said.code, said.err) == (0, "note: accepted changes since the checkpoint: the data: 12 images, now 11\n")
    assert "accepted changes at step 1: the data" in cli("doctor", "run").out


def test_other_plugin_code_must_be_accepted(tiny_plugin_file, tiny_recipe, tmp_path):
    plugin = tmp_path / "mine.py"
    plugin.write_text(tiny_plugin_file.read_text())
    runtime = gankit.Runtime([plugin], discover=False)
    runtime.assemble(runtime.load_checked(tiny_recipe(tmp_path)), tmp_path / "run").fit()
    (tmp_path / "elsewhere").mkdir()
    moved = plugin.rename(tmp_path / "elsewhere" / "mine.py")
    gankit.Runtime([moved], discover=False).resume(tmp_path / "run", LONGER).fit()
    moved.write_text(moved.read_text() + "# edited\n")
    edited = gankit.Runtime([moved], discover=False)
    with pytest.raises(gankit.CheckpointError, match=r"the code of plugin 'mine' \(.*mine\.py\)\. .*--accept-changes"):
        edited.resume(tmp_path / "run", ["train.steps=6"])
    edited.resume(tmp_path / "run", ["train.steps=6"], accept_changes=True).fit()
    edited.resume(tmp_path / "run", ["train.steps=7"]).fit()


def test_versions_and_built_in_plugins_are_only_reported():
    built_in = {"gankit_dcgan": {"source": "gankit 0.1.0", "sha256": "1"}}
    before = {"versions": {"gankit": "0.1.0", "torch": "2.0"}, "plugins": built_in}
    assert find_changes(before, before).versions == []
    after = {
        "versions": {"gankit": "0.1.0", "torch": "2.1"},
        "plugins": {"gankit_dcgan": {"source": "gankit 0.1.0", "sha256": "2"}},
    }
    changes = find_changes(before, after)
    assert changes.content == []
    assert changes.versions == ["torch 2.1 (was 2.0)", "the code of gankit_dcgan"]


def test_a_manifest_without_entries_is_not_compared():
    now = {"versions": {"gankit": "2"}, "data": {"images": 3, "fingerprint": "x"}, "plugins": {}}
    for damaged in ({}, {"versions": 3, "data": None, "plugins": {"x": "y"}}):
        assert find_changes(damaged, now).content == find_changes(damaged, now).versions == []
    assert class_difference({}, ("a",)) is None


def test_long_lists_of_classes_are_shortened_around_the_first_difference():
    before = [f"class {number}" for number in range(1000)]
    after = [*before[:500], "other", *before[501:]]
    sentence = class_difference({"classes": before}, after)
    assert "..., class 493" in sentence
    assert "class 500, ...), and" in sentence
    assert "other, ...)" in sentence
    assert len(sentence) < 400


@pytest.mark.parametrize(
    ("first", "second", "described"),
    [
        ({"classes": ["ant", "cat"]}, {}, r"2 classes \(ant, cat\), and this run has 2 classes \(ant, bee\)"),
        ({"classes": ["a", "b", "c"]}, {}, r"3 classes \(a, b, c\), and this run has 2 classes \(ant, bee\)"),
        ({}, {"conditional": False}, r"2 classes \(ant, bee\), and this run has none \(conditional: false\)"),
    ],
)
def test_initialize_requires_the_same_classes(run, store, first, second, described):
    store(**first)
    run("first")
    store()
    with pytest.raises(gankit.RecipeError, match=rf"tiny\.yaml:\d+:\d+: initialize: .*{described}"):
        run("second", initialize="first", **second)
    store(**first, seed=3)
    run("third", initialize="first")
