"""Datasets of pairs in recipes: `gankit check`, runs, samples for held-out sources, and resuming."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch
import yaml
from torch import Tensor, nn

import gankit

SHAPES = {"name": "shapes", "count": 24, "size": 16}


class Translate(nn.Module):
    """A generator from the source, whatever its size."""

    def __init__(self, data: gankit.DataSpec) -> None:
        super().__init__()
        self.scale = data.image.height // data["source"].height
        self.layer = nn.Conv2d(data["source"].channels, data.image.channels, 3, padding=1)

    def forward(self, source: Tensor) -> Tensor:
        return self.layer(nn.functional.interpolate(source, scale_factor=float(self.scale))).tanh()


@pytest.fixture
def write(tiny_recipe, tmp_path, monkeypatch, fill, png):
    """``write(dataset, **sections)``: a recipe with this dataset, next to some folders."""
    monkeypatch.chdir(tmp_path)
    fill(Path("a"), {f"{i}.png": png(i, 16, 16) for i in range(12)})
    fill(Path("b"), {f"{i}.png": png(i, 8, 8) for i in range(12)})
    return lambda dataset, **sections: tiny_recipe(tmp_path, dataset=dataset, **sections)


NESTED = [
    {"name": "derived", "source": "gray", "dataset": {"name": "image_folder", "path": "a"}},
    {"name": "derived", "source": "downscale", "dataset": {"name": "subset", "dataset": SHAPES, "fraction": 0.5}},
    {"name": "derived", "source": "noise", "dataset": SHAPES, "held_out": SHAPES | {"split": "test"}},
    {
        "name": "unpaired",
        "image": {"name": "subset", "dataset": SHAPES | {"count": 60}, "classes": ["circle"]},
        "source": {"name": "subset", "dataset": SHAPES | {"count": 60}, "classes": ["square"]},
    },
    {"name": "paired_folder", "image": "a", "source": "b", "scale": 0.5, "test_fraction": 0.2},
    {"name": "unpaired_folders", "image": "a", "source": "b", "held_out_image": "b", "held_out_source": "a"},
    {"name": "subset", "count": 9, "dataset": {"name": "paired_folder", "image": "a", "source": "b", "scale": 0.5}},
]


@pytest.mark.parametrize("dataset", NESTED, ids=lambda dataset: f"{dataset['name']} {dataset.get('source', '')!s:.20}")
def test_networks_receive_the_source(cli, tiny_runtime, tiny_plugin_file, add_components, write, dataset):
    path = write(dataset)
    said = cli("check", path, "--plugin", tiny_plugin_file)
    assert said.code == 0, said.err
    add_components(tiny_runtime, generators={"translate": Translate})
    tiny_runtime.load_plugin("gankit_datasets")
    write(dataset, generator={"name": "translate"}, latent={"name": "tiny"}, callbacks=[])
    trainer = tiny_runtime.assemble(tiny_runtime.load_checked(path), "run")
    trainer.fit()
    assert trainer.ending == "done"
    assert tiny_runtime.load_generator("run").sample(3).shape == (3, 3, 16, 16)


def test_samples_are_generated_for_held_out_sources(tiny_runtime, add_components, write):
    add_components(tiny_runtime, generators={"translate": Translate})
    tiny_runtime.load_plugin("gankit_datasets")
    path = write(NESTED[2], generator={"name": "translate"}, callbacks=[])
    trainer = tiny_runtime.assemble(tiny_runtime.load_checked(path), "run")
    held_out = trainer.setup.loader.dataset.held_out()
    expected = torch.stack([held_out[i]["source"] for i in range(24)]).float().div(127.5).sub(1)
    assert torch.equal(trainer.setup.sampling.items["source"], expected)


def test_problems_are_found_at_their_places(cli, tiny_plugin_file, write):
    dataset = {
        "name": "unpaired",
        "image": {"name": "subset", "dataset": SHAPES, "classes": ["circles"]},
        "source": {"name": "derived", "dataset": SHAPES, "source": "grey"},
    }
    said = cli("check", write(dataset), "--plugin", tiny_plugin_file)
    assert said.code == 2
    assert re.search(r"dataset\.source\.source: should be 'gray', .*; got 'grey'", said.err)
    dataset["source"]["source"] = "gray"
    said = cli("check", write(dataset), "--plugin", tiny_plugin_file)
    assert said.code == 2
    assert re.search(r"dataset\.image: classes: the dataset has no class 'circles'; did you mean 'circle'\?", " ".join(said.err.split()))


@pytest.mark.parametrize(
    ("dataset", "key", "value"),
    [
        (NESTED[2], "noise_sigma", 3.0),
        ({"name": "subset", "dataset": SHAPES, "count": 20}, "seed", 1),
        ({"name": "unpaired", "image": SHAPES, "source": SHAPES}, "source", SHAPES | {"seed": 1}),
        (NESTED[4], "source_channels", 1),
    ],
    ids=lambda value: str(value)[:20],
)
def test_a_run_is_resumed_with_the_same_data_only(tiny_runtime, write, dataset, key, value):
    tiny_runtime.load_plugin("gankit_datasets")
    path = write(dataset)
    tiny_runtime.assemble(tiny_runtime.load_checked(path), "run").fit()
    tiny_runtime.resume("run", ["train.steps=4"]).fit()
    change = f"dataset.{key}={json.dumps(value)}"
    with pytest.raises(gankit.GankitError, match="data"):
        tiny_runtime.resume("run", ["train.steps=5", change])
    tiny_runtime.resume("run", ["train.steps=5", change], accept_changes=True).fit()
    recipe = yaml.safe_load(Path("run/recipe.yaml").read_text())
    assert key in json.dumps(recipe["segments"][-1])
