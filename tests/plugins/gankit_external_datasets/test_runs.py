"""Runs on external datasets: exact resume on the command line, other data, and sentences for wrong recipes."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file

from gankit_external_datasets import row_groups


@pytest.fixture
def sources(write_parquet, write_tar, encoded, tmp_path):
    """A dataset of each kind, with the same 12 images where they are files."""
    write_parquet({"label": [index % 2 for index in range(12)]}, "table/train.parquet")
    shard = [(f"{index}.{suffix}", data) for index in range(12) for suffix, data in (("png", encoded[index]), ("cls", b"%d" % (index % 2)))]
    write_tar("shards/0.tar", shard[:12])
    write_tar("shards/1.tar", shard[12:])
    return {
        "parquet": {"name": "parquet", "path": str(tmp_path / "table")},
        "huggingface": {"name": "huggingface", "path": str(tmp_path / "table")},
        "streamed": {"name": "huggingface", "path": str(tmp_path / "table"), "streaming": True},
        "webdataset": {"name": "webdataset", "path": str(tmp_path / "shards/{0..1}.tar")},
        "torchvision": {"name": "torchvision", "set": "FakeData", "params": {"size": 12, "image_size": [3, 9, 8], "num_classes": 2}},
    }


def require(name):
    for library in {"huggingface": ["datasets"], "streamed": ["datasets"], "webdataset": ["webdataset"], "parquet": ["pyarrow"]}.get(name, []):
        pytest.importorskip(library)


@pytest.mark.parametrize("name", ["parquet", "huggingface", "streamed", "webdataset", "torchvision"])
def test_a_resumed_run_equals_an_uninterrupted_one(name, sources, cli, tiny_recipe, tiny_plugin_file, tmp_path, monkeypatch):
    require(name)
    if name == "streamed":
        monkeypatch.setattr(row_groups, "KEPT_BYTES", 2_000)  # so that the order depends on the row groups
    monkeypatch.chdir(tmp_path)
    loader = {"batch_size": 5, "cache": "none", "workers": 0}
    recipe = tiny_recipe(tmp_path, dataset=sources[name], conditional=True, loader=loader, train={"steps": 6, "device": "cpu", "precision": "fp32"})
    plugin = ["--plugin", tiny_plugin_file]
    whole = cli("run", recipe, "--out", "whole", *plugin)
    assert whole.code == 0, whole.err
    assert "data: 12 images, " in whole.out
    assert cli("run", recipe, "--out", "parts", *plugin, "train.steps=2").code == 0
    resumed = cli("resume", "parts", *plugin, "train.steps=6")
    assert resumed.code == 0, resumed.err
    weights = [next((tmp_path / run / "checkpoints/step-00000006").glob("*.safetensors")) for run in ("whole", "parts")]
    one, two = map(load_file, weights)
    assert one.keys() == two.keys()
    assert all(torch.equal(one[key], two[key]) for key in one)


def test_other_data_is_not_resumed(sources, write_parquet, cli, tiny_recipe, tiny_plugin_file, tmp_path, monkeypatch):
    require("parquet")
    monkeypatch.chdir(tmp_path)
    recipe = tiny_recipe(tmp_path, dataset=sources["parquet"])
    assert cli("run", recipe, "--out", "run", "--plugin", tiny_plugin_file).code == 0
    write_parquet({"label": [1 - index % 2 for index in range(12)]}, "table/train.parquet")
    said = cli("resume", "run", "--plugin", tiny_plugin_file, "train.steps=5")
    assert said.code != 0
    assert "data" in said.err


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        ({"name": "torchvision", "set": "MINST"}, "set: torchvision.datasets has no class of images 'MINST'; did you mean 'MNIST'?"),
        ({"name": "parquet", "path": "no/such.parquet"}, "no/such.parquet does not exist; set `path` to a parquet file"),
        ({"name": "webdataset", "path": "no/{0..3}.tar"}, "no/0.tar does not exist; set `path` to the shards"),
        ({"name": "huggingface", "path": "x", "streaming": True, "split": "a[:1]"}, "streaming reads whole splits"),
        ({"name": "parquet", "path": "x", "lable": "y"}, "did you mean 'label'?"),
    ],
)  # fmt: skip
def test_wrong_recipes_are_one_sentence(dataset, message, cli, tiny_recipe, tiny_plugin_file, tmp_path, monkeypatch):
    require(dataset["name"])
    monkeypatch.chdir(tmp_path)
    said = cli("run", tiny_recipe(tmp_path, dataset=dataset), "--plugin", tiny_plugin_file)
    assert said.code != 0
    assert message in " ".join(said.err.split())
    assert "Traceback" not in said.err
    assert not (tmp_path / "results").exists()
