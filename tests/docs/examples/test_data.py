"""The datasets, sections of recipes and codec in docs/data.md."""

from __future__ import annotations

import re
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

import gankit
from gankit.evaluation import evaluate
from gankit.testing import check_codec, check_dataset

ROOT = Path(__file__).parents[3]


def test_a_paired_dataset_with_its_networks(checkout, block, cli):
    """The documented plugin and recipe train on a folder of pictures, and samples are colorized ones."""
    source = block("docs/data.md", "class Colorize")
    (checkout / "my_pairs.py").write_text(source)
    recipe = block("docs/data.md", "colorize", "yaml")
    (checkout / "colorize.yaml").write_text(recipe)
    pictures = checkout / "data/pictures"
    pictures.mkdir(parents=True)
    pixels = np.random.default_rng(0).integers(0, 256, (12, 3, 4, 3), dtype=np.uint8)
    for number, picture in enumerate(pixels):
        Image.fromarray(picture).resize((40, 30)).save(pictures / f"{number}.png")
    scores = block("docs/plugins.md", "class MeanAbsoluteError")
    (checkout / "my_pair_scores.py").write_text(scores)
    runtime = gankit.Runtime(plugins=["my_pairs.py", "my_pair_scores.py"])
    small = ["image.size=16", "train.steps=3", "loader.batch_size=4", "callbacks=[checkpoint]", "generator.width=4"]
    trainer = runtime.assemble(runtime.load_checked("colorize.yaml", small), "results/colorize")
    trainer.fit()
    assert trainer.ending == "done"
    assert runtime.load_generator("results/colorize").sample(3).shape == (3, 3, 16, 16)
    check_dataset(runtime.registries.datasets.get("gray").factory(path=pictures))
    said = cli("plugins", "check", "my_pairs.py", f"datasets.gray.path={pictures}")
    assert said.code == 0, said.out
    assert said.out.endswith("my_pairs: 4 of 4 components without faults\n")
    request = gankit.Request(metrics=["psnr", "mae"], features="effnet_lite0", device="cpu")
    scores = evaluate("results/colorize", request, runtime).scores
    assert set(scores) == {"psnr", "mae"}
    assert 1 < scores["mae"] < 128


def sections_on_pairs() -> list[str]:
    """The documented sections of recipes with pairs and derived data."""
    text = (ROOT / "docs/data.md").read_text(encoding="utf-8")
    (part,) = re.findall(r"^## Pairs and derived data\n(.*?)^## ", text, flags=re.S | re.M)
    return re.findall(r"^```yaml\n(.*?)^```", part, flags=re.S | re.M)


@pytest.mark.parametrize("section", sections_on_pairs(), ids=lambda section: re.findall(r"name: (\w+)", section)[0])
def test_pairs_and_derived_data(data, section):
    """Each documented section of a recipe trains on the documented fields; the networks are small."""
    random = np.random.default_rng(0)
    for folder, (height, width) in {
        "photos/large": (96, 80),
        "photos/small": (24, 20),
        "facades/train": (32, 64),
        "facades/val": (32, 64),
        **{f"horse2zebra/{name}": (32, 32) for name in ("trainA", "trainB", "testA", "testB")},
    }.items():
        Path(folder).mkdir(parents=True)
        for number in range(16):
            Image.fromarray(random.integers(0, 256, (height, width, 3), dtype=np.uint8)).save(f"{folder}/{number}.png")
    Path("recipe.yaml").write_text(f"extends: {ROOT / 'recipes/quickstart.yaml'}\n{section}")
    runtime = gankit.Runtime()
    small = ["image.size=64", "train.steps=1", "loader.batch_size=2", "callbacks=[]", "generator.width=4"]
    trainer = runtime.assemble(runtime.load_checked("recipe.yaml", small))
    trainer.fit()
    assert trainer.ending == "done"
    batch = next(trainer.setup.loader.stream(0))
    side = 16 if "scale" in section else 64
    assert (batch.images.shape, batch["source"].shape) == ((2, 3, 64, 64), (2, 3, side, side))
    dataset = trainer.setup.loader.dataset
    check_dataset(dataset)
    assert hasattr(dataset, "held_out") == ("held_out" in section or "test_fraction" in section)


@pytest.mark.parametrize("conditional", ["true", "false"])
def test_a_dataset_that_wraps_another(checkout, conditional, block):
    """The documented wrapper with the documented section of a recipe: a run trains on its fields."""
    source = block("docs/data.md", "class LowResolution")
    (checkout / "my_low_resolution.py").write_text(source)
    section = block("docs/data.md", "low_res", "yaml")
    (checkout / "recipe.yaml").write_text("extends: recipes/quickstart.yaml\n" + section)
    pixels = np.random.default_rng(0).integers(0, 256, (8, 20, 28, 3), dtype=np.uint8)
    for number, photo in enumerate(pixels):
        folder = checkout / f"photos/{'ab'[number % 2]}"
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(photo).save(folder / f"{number}.png")
    runtime = gankit.Runtime(plugins=["my_low_resolution.py"])
    small = ["image.size=16", "train.steps=2", "loader.batch_size=4", "callbacks=[]", "generator.width=4"]
    checked = runtime.load_checked("recipe.yaml", [*small, f"conditional={conditional}"])
    trainer = runtime.assemble(checked)
    trainer.fit()
    assert trainer.ending == "done"
    batch = next(trainer.setup.loader.stream(0))
    assert batch["low"].shape == (4, 3, 8, 8)
    assert (torch.nn.functional.avg_pool2d(batch.images, 2) - batch["low"]).abs().mean() < 0.1  # of the same images
    assert trainer.setup.data.summary.startswith("8 images")
    dataset = checked.build("dataset")
    dataset.prepare()
    check_dataset(dataset)
    assert dataset.classes == ("a", "b")


def test_a_codec_of_ones_own(checkout, block):
    """The documented codec passes its check, and a run in its space yields images."""
    source = block("docs/data.md", "class Autoencoder")
    (checkout / "my_codec.py").write_text(source)
    runtime = gankit.Runtime(plugins=["my_codec.py"])
    names: dict[str, Any] = {}
    exec(source, names)
    untrained = names["Autoencoder"](gankit.ImageSpec(16, 16, 3), weights=None)
    save_file(untrained.state_dict(), "autoencoder.safetensors")
    codec = "codec={name: my_autoencoder, weights: autoencoder.safetensors}"
    small = ["image.size=16", "callbacks=[checkpoint]", "dataset.count=64", "loader.batch_size=8", "train.steps=2"]
    small += ["generator={name: r3gan, width: 8, blocks: 1}", "discriminator={name: r3gan, width: 8, blocks: 1}"]
    trainer = runtime.assemble(runtime.load_checked("recipes/quickstart.yaml", [*small, codec, "train.precision=fp32"]), "results/run")
    trainer.fit()
    assert trainer.setup.loader.at(0, 8).images.shape == (8, 4, 4, 4)
    assert runtime.load_generator("results/run").sample(2).shape == (2, 3, 16, 16)
    factory = runtime.registries.codecs.get("my_autoencoder").factory
    kept = Path("autoencoder.safetensors").rename("elsewhere.safetensors")
    assert runtime.load_generator("results/run").sample(2).shape == (2, 3, 16, 16)
    with pytest.raises(gankit.RecipeError, match="codec: prepare.. fails: FileNotFoundError"):
        runtime.resume("results/run", ["train.steps=3"])
    kept.rename("autoencoder.safetensors")
    check_codec(factory, gankit.ImageSpec(32, 32, 3), weights=Path("autoencoder.safetensors"))


def test_a_dataset_of_torchvision(block):
    """The documented factory is accepted; its data cannot be downloaded here."""
    source = block("docs/data.md", "FashionMNIST")
    module = ModuleType("fashion")
    exec(source, vars(module))
    entry = gankit.Runtime(plugins=[module]).registries.datasets.get("fashion")
    assert entry.schema().train is True
