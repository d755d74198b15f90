"""Examples in docs/ that are complete programs or plugins."""

from __future__ import annotations

import re
import sys
from dataclasses import fields
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from safetensors.torch import save_file

import gankit
from gankit.evaluation import evaluate
from gankit.interfaces import CALLBACK_METHODS
from gankit.testing import check_codec, check_dataset, check_discriminator, check_generator

ROOT = Path(__file__).parents[1]


def python_blocks(page: str) -> list[str]:
    """The examples in Python on a page of the documentation, in order."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    return re.findall(r"^```python\n(.*?)^```", text, flags=re.S | re.M)


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """An empty working directory next to the shipped recipes."""
    (tmp_path / "recipes").symlink_to(ROOT / "recipes")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_what_d_sees(checkout):
    """The documented program makes the documented grid: real images above the same images, augmented."""
    (program,) = python_blocks("augmentation.md")
    exec(program, {})
    with Image.open("seen_by_d.png") as made, Image.open(ROOT / "docs/images/seen_by_d.png") as shown:
        assert made.size == shown.size
        made_rows, shown_rows = (np.split(np.asarray(image)[2:], 4) for image in (made, shown))
    assert np.array_equal(made_rows[0], shown_rows[0])
    for row in made_rows[1:]:
        assert not np.array_equal(row, made_rows[0])
        assert np.abs(row.astype(float) - made_rows[0]).mean() < 30  # levels of 256: they are still recognizable


@pytest.fixture
def plugins(checkout):
    """The plugins of docs/plugins.md, in files of their documented names."""
    for name, part in (("my_networks.py", "class TwoHeads"), ("my_callbacks.py", "class Watch")):
        (source,) = (block for block in python_blocks("plugins.md") if part in block)
        (checkout / name).write_text(source)
    return ["my_networks.py", "my_callbacks.py"]


SMALL = [
    "dataset={name: shapes, count: 32, size: 16}",
    "image.size=16",
    "latent={name: sphere, dim: 8}",
    "generator={name: upsampling, width: 8}",
    "discriminator={name: two_heads, width: 8}",
    "loader.batch_size=4",
    "train.steps=4",
]


@pytest.mark.parametrize("conditional", ["true", "false"])
def test_networks_and_latents(plugins, conditional):
    """The documented networks train in both kinds of runs; the documented sampling option changes the images."""
    runtime = gankit.Runtime(plugins=plugins)
    recipe = runtime.load("recipes/quickstart.yaml", [*SMALL, f"conditional={conditional}", "callbacks=[checkpoint]"])
    trainer = runtime.assemble(recipe, "results/mine")
    trainer.fit()
    assert trainer.ending == "done"
    assert not torch.equal(trainer.sample(4), trainer.sample(4, contrast=9.0))
    heads = trainer.state.discriminator(torch.zeros(2, 3, 16, 16), torch.tensor([0, 1]))
    assert [tuple(head.shape) for head in heads] == [(2,), (2, 1, 4, 4)]
    latents = runtime.registries.latents.get("sphere").factory(8).sample(5, None, torch.Generator().manual_seed(0))
    torch.testing.assert_close(latents.norm(dim=1), torch.full((5,), 8**0.5))


def test_networks_conform(plugins):
    networks = gankit.Runtime(plugins=plugins).registries
    for classes in (0, 3):
        spec = gankit.ImageSpec(16, 32, 3, classes)
        check_generator(networks.generators.get("upsampling").factory, spec)
        check_discriminator(networks.discriminators.get("two_heads").factory, spec)
    with pytest.raises(gankit.RecipeError, match="height and width must be multiples of 4; got 18 x 18"):
        gankit.Runtime(plugins=plugins).load("recipes/quickstart.yaml", [*SMALL, "image.size=18"])


def test_callback(plugins):
    """It ends the run where D's loss is below the limit, and not where it is above."""
    runtime = gankit.Runtime(plugins=plugins)
    for limit, steps, ending in ((1.0e9, 2, "the loss of D is too small"), (-1.0e9, 4, "done")):
        callbacks = f"callbacks=[{{name: watch, every: 2, limit: {limit}}}, {{name: checkpoint, every: 4}}]"
        directory = Path(f"results/{steps}")
        trainer = runtime.assemble(runtime.load_checked("recipes/quickstart.yaml", [*SMALL, callbacks]), directory)
        trainer.fit()
        assert (trainer.state.step, trainer.ending) == (steps, ending)
        assert (directory / f"watch_{steps}.png").is_file()


def test_sampling_in_python(plugins, capsys):
    runtime = gankit.Runtime(plugins=plugins)
    recipe = runtime.load("recipes/quickstart.yaml", [*SMALL, "conditional=true", "callbacks=[checkpoint]"])
    runtime.assemble(recipe, "results/mine").fit()
    (program,) = python_blocks("sampling.md")
    names: dict[str, Any] = {}
    exec(program, names)
    assert names["images"].shape == (4, 3, 16, 16)
    assert names["frames"].shape == (2, 8, 3, 16, 16)
    assert "['contrast']" in capsys.readouterr().out
    with pytest.raises(gankit.CheckpointError, match=r"my_networks.py"):
        gankit.load_generator("results/mine")


def test_sharing_in_python(hub, checkout):
    """The documented program pushes a run to a server with the Hub's interface, and loads it from there."""
    runtime = gankit.Runtime()
    small = ["image.size=16", "generator.width=4", "discriminator.width=4", "train.steps=2", "dataset.count=64"]
    runtime.assemble(runtime.load_checked("recipes/quickstart.yaml", [*small, "callbacks=[]"]), "results/mine").fit()
    (program,) = python_blocks("hub.md")
    names: dict[str, Any] = {}
    exec(program, names)
    assert names["url"].startswith(f"{hub.url}/owner/name/commit/")
    assert torch.equal(names["images"], runtime.load_generator("results/mine").sample(16, seed=0))


def test_a_paired_dataset_with_its_networks(checkout):
    """The documented plugin and recipe train on a folder of pictures, and samples are colorized ones."""
    text = (ROOT / "docs/data.md").read_text(encoding="utf-8")
    (source,) = (block for block in python_blocks("data.md") if "class Colorize" in block)
    (checkout / "my_pairs.py").write_text(source)
    (recipe,) = (block for block in re.findall(r"^```yaml\n(.*?)^```", text, flags=re.S | re.M) if "colorize" in block)
    (checkout / "colorize.yaml").write_text(recipe)
    pictures = checkout / "data/pictures"
    pictures.mkdir(parents=True)
    pixels = np.random.default_rng(0).integers(0, 256, (12, 3, 4, 3), dtype=np.uint8)
    for number, picture in enumerate(pixels):
        Image.fromarray(picture).resize((40, 30)).save(pictures / f"{number}.png")
    (scores,) = (block for block in python_blocks("plugins.md") if "class MeanAbsoluteError" in block)
    (checkout / "my_pair_scores.py").write_text(scores)
    runtime = gankit.Runtime(plugins=["my_pairs.py", "my_pair_scores.py"])
    small = ["image.size=16", "train.steps=3", "loader.batch_size=4", "callbacks=[checkpoint]", "generator.width=4"]
    trainer = runtime.assemble(runtime.load_checked("colorize.yaml", small), "results/colorize")
    trainer.fit()
    assert trainer.ending == "done"
    assert runtime.load_generator("results/colorize").sample(3).shape == (3, 3, 16, 16)
    check_dataset(runtime.registries.datasets.get("gray").factory(path=pictures))
    request = gankit.Request(metrics=["psnr", "mae"], features="effnet_lite0", device="cpu")
    scores = evaluate("results/colorize", request, runtime).scores
    assert set(scores) == {"psnr", "mae"}
    assert 1 < scores["mae"] < 128


def test_translating_a_photo_in_python(checkout):
    """The documented program colors a gray photo of any size with a run of the recipe."""
    shapes = "{name: shapes, count: 16, size: 16}"
    data = [f"dataset.dataset={shapes}", f"dataset.held_out={shapes}"]
    small = ["train.steps=1", "loader.batch_size=4", "generator.width=4", "discriminator.width=4", "callbacks=[checkpoint]"]
    runtime = gankit.Runtime()
    name = "pix2pix_cifar10_colorize"
    runtime.assemble(runtime.load_checked(f"recipes/{name}.yaml", [*small, *data]), f"results/{name}").fit()
    Image.new("RGB", (90, 50), "gray").save("photo.jpg")
    (program,) = (block for block in python_blocks("translation.md") if "load_generator" in block)
    exec(program, {})
    with Image.open("colored.png") as colored:
        assert (colored.size, colored.mode) == ((90, 50), "RGB")


@pytest.fixture
def train_to_export(checkout):
    """``train_to_export(recipe, *overrides)``: a run of the recipe at 16 px in its usual directory, after one step."""

    def train(recipe: str, *overrides: str) -> None:
        small = ["dataset={name: shapes, count: 8, size: 16}", "image.size=16", "loader.batch_size=4", "train={steps: 1}"]
        small += ["discriminator={name: dcgan, width: 4}", "augmentations=[]", "regularizers=[]", "callbacks=[checkpoint]"]
        runtime = gankit.Runtime()
        runtime.assemble(runtime.load_checked(f"recipes/{recipe}.yaml", [*small, *overrides]), f"results/{recipe}").fit()

    return train


def test_an_exported_onnx_file(train_to_export):
    """The documented export, and the documented program, which saves images."""
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    train_to_export("dcgan_cifar10", "generator.width=4")
    for part in ("gankit.export", "onnxruntime"):
        (program,) = (block for block in python_blocks("export.md") if f"import {part}" in block or f"from {part}" in block)
        exec(program, {})
    for number in range(8):
        with Image.open(f"image_{number}.png") as image:
            assert (image.size, image.mode) == ((16, 16), "RGB")
            assert np.asarray(image).std() > 0


@pytest.mark.slow
def test_an_exported_torch_program(train_to_export, cli):
    """The documented command, and the documented program, which saves an image of each class."""
    train_to_export("stylegan2_cifar10_conditional", "generator={name: stylegan2, width: 4, style_dim: 16}")
    text = (ROOT / "docs/export.md").read_text(encoding="utf-8")
    (command,) = re.findall(r"^gankit (.* --format torch-export .*)", text, flags=re.M)
    said = cli(*command.split())
    assert (said.code, said.err) == (0, "")
    (program,) = (block for block in python_blocks("export.md") if "torch.export.load" in block)
    exec(program, {})
    with Image.open("classes.png") as image:
        assert np.asarray(image).std() > 0


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
def test_a_dataset_that_wraps_another(checkout, conditional):
    """The documented wrapper with the documented section of a recipe: a run trains on its fields."""
    text = (ROOT / "docs/data.md").read_text(encoding="utf-8")
    (source,) = (block for block in python_blocks("data.md") if "class LowResolution" in block)
    (checkout / "my_low_resolution.py").write_text(source)
    (section,) = (block for block in re.findall(r"^```yaml\n(.*?)^```", text, flags=re.S | re.M) if "low_res" in block)
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


def test_a_game_of_ones_own(plugins, checkout):
    """The documented game trains, in one piece and in microbatches to the same weights; its term needs labels."""
    (source,) = (block for block in python_blocks("games.md") if "class MatchingAware" in block)
    (checkout / "my_game.py").write_text(source)
    runtime = gankit.Runtime(plugins=[*plugins, "my_game.py"])
    small = [*SMALL, "callbacks=[]", "train.game=matching_aware", "train.precision=fp32"]
    runs = {}
    for name, more in (("whole", []), ("parts", ["train.microbatch=3"])):
        recipe = runtime.load("recipes/quickstart.yaml", [*small, "conditional=true", *more])
        runs[name] = runtime.assemble(recipe)
        scalars = [runs[name].step() for _ in range(3)]
        assert {"discriminator_loss", "wrong_labels", "generator_loss"} <= set(scalars[0])
    for whole, parts in zip(*(run.state.discriminator.parameters() for run in runs.values()), strict=True):
        torch.testing.assert_close(whole, parts, rtol=1e-3, atol=1e-4)
    with pytest.raises(gankit.GankitError, match="needs labels: set conditional: true"):
        runtime.assemble(runtime.load_checked("recipes/quickstart.yaml", small)).step()


def test_a_game_with_state(plugins, checkout):
    """The documented pool is full after some steps, part of a checkpoint, and used."""
    (source,) = (block for block in python_blocks("games.md") if "class OldFakes" in block)
    (checkout / "pool.py").write_text(source)
    runtime = gankit.Runtime(plugins=[*plugins, "pool.py"])
    small = [*SMALL, "callbacks=[]", "train.game={name: old_fakes, size: 6}", "train.precision=fp32", "train.steps=2"]
    trainer = runtime.assemble(runtime.load_checked("recipes/quickstart.yaml", small), "results/pool")
    trainer.fit()
    assert "old_fakes" in trainer.scalars
    pool = trainer.game.rules.pool
    assert len(pool) == 6
    assert torch.equal(runtime.resume("results/pool", ["train.steps=3"]).game.rules.pool, pool)


def test_a_trainable_regularizer(plugins, checkout):
    (source,) = (block for block in python_blocks("plugins.md") if "class RecoverLatents" in block)
    (checkout / "my_latents.py").write_text(source)
    runtime = gankit.Runtime(plugins=[*plugins, "my_latents.py"])
    small = [*SMALL, "callbacks=[]", "train.precision=fp32", "regularizers=[{name: recover_latents, latent_dim: 6}]", "latent.dim=6"]
    trainer = runtime.assemble(runtime.load_checked("recipes/quickstart.yaml", small))
    last = trainer.state.trained["generator"]["regularizers.recover_latents"].last.weight
    before = last.detach().clone()
    assert "recover_latents" in trainer.step()
    assert not torch.equal(last, before)


def test_a_game_of_one_player(checkout):
    """The documented plugin and recipe train, and samples take the documented option."""
    text = (ROOT / "docs/games.md").read_text(encoding="utf-8")
    (source,) = (block for block in python_blocks("games.md") if "class FlowMatching" in block)
    (checkout / "flow.py").write_text(source)
    (recipe,) = re.findall(r"^```yaml\n(.*?)^```", text, flags=re.S | re.M)
    (checkout / "flow.yaml").write_text(recipe)
    runtime = gankit.Runtime(plugins=["flow.py"])
    small = ["image.size=8", "dataset.size=8", "dataset.count=32", "train.steps=3", "loader.batch_size=8"]
    trainer = runtime.assemble(runtime.load_checked("flow.yaml", [*small, "callbacks=[checkpoint]"]), "results/flow")
    trainer.fit()
    assert set(trainer.scalars) == {"velocity_error"}
    generator = runtime.load_generator("results/flow")
    assert generator.sample(3, steps=2).shape == (3, 3, 8, 8)
    assert not torch.equal(generator.sample(3, steps=2), generator.sample(3, steps=20))


def test_a_codec_of_ones_own(checkout):
    """The documented codec passes its check, and a run in its space yields images."""
    (source,) = (block for block in python_blocks("data.md") if "class Autoencoder" in block)
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


def test_all_that_a_game_may_use_is_documented():
    text = (ROOT / "docs/games.md").read_text(encoding="utf-8")
    internal = {"context", "join", "play", "step"}
    assert documented(text) >= {name for name in vars(gankit.Game) if not name.startswith("_")} - internal


def test_a_dataset_of_torchvision():
    """The documented factory is accepted; its data cannot be downloaded here."""
    (source,) = (block for block in python_blocks("data.md") if "FashionMNIST" in block)
    module = ModuleType("fashion")
    exec(source, vars(module))
    entry = gankit.Runtime(plugins=[module]).registries.datasets.get("fashion")
    assert entry.schema().train is True


def test_all_that_a_dataset_may_have_is_documented():
    text = (ROOT / "docs/data.md").read_text(encoding="utf-8")
    interface = gankit.Dataset.__doc__ or ""
    # Python 3.13 removes the indentation of docstrings
    optional = set(re.findall(r"^ *- ``(\w+)", interface, flags=re.M))
    assert documented(text) >= optional
    assert len(optional) >= 9


def documented(rows: str) -> set[str]:
    """The names in the first column of the tables in ``rows``."""
    cells = re.findall(r"^\| (`.*?) \|", rows, flags=re.M)
    return {name for cell in cells for name in re.findall(r"`(\w+)", cell)}


def test_all_that_a_callback_may_use_is_documented():
    text = (ROOT / "docs/plugins.md").read_text(encoding="utf-8")
    section = re.findall(r"^## What a callback may call\n(.*?)^## ", text, flags=re.S | re.M)[0]
    public = {name for name in vars(gankit.Run) if not name.startswith("_")} | {*CALLBACK_METHODS}
    assert documented(section) == public


def test_image_spec_is_documented():
    text = (ROOT / "docs/plugins.md").read_text(encoding="utf-8")
    section = re.findall(r"^\*\*`ImageSpec`\.\*\*(.*?)^\*\*G's", text, flags=re.S | re.M)[0]
    assert documented(section) == {field.name for field in fields(gankit.ImageSpec)}
    assert "ImageSpec.any_size" in section


def test_a_format_of_weight_files(plugins, tmp_path):
    """The documented format reads the weights of the documented generator under other names."""
    (source,) = (block for block in python_blocks("plugins.md") if "class OtherUpsampling" in block)
    (tmp_path / "my_format.py").write_text(source)
    runtime = gankit.Runtime(plugins=[*plugins, "my_format.py"])
    own = runtime.registries.generators.get("upsampling").factory(gankit.ImageSpec(16, 16, 3), 5, width=4).state_dict()
    other = {
        "from_latent.weight": own["first.weight"],
        "from_latent.bias": own["first.bias"],
        "middle.kernel": own["second.weight"].permute(2, 3, 1, 0),
        "middle.offset": own["second.bias"],
        "to_rgb.weight": own["last.weight"],
        "to_rgb.bias": own["last.bias"],
    }
    torch.save(other, "other.pth")
    imported = runtime.import_weights(["other.pth"], "imported")
    weights = imported.networks["generator"].state_dict()
    assert all(torch.equal(weights[name], own[name]) for name in own)
    assert runtime.load_generator("imported").sample(2, seed=0).shape == (2, 3, 16, 16)
    torch.save(other | {"noise.weight": torch.zeros(1)}, "noisy.pth")
    with pytest.raises(gankit.GankitError, match="noisy.pth: cannot be imported: it adds noise, which gankit's upsampling"):
        runtime.import_weights(["noisy.pth"], "noisy")


def test_importing_in_python(checkout):
    (program,) = python_blocks("import.md")
    registries, image = gankit.Runtime().registries, gankit.ImageSpec(64, 64, 3)
    generator = registries.generators.get("dcgan").factory(image, 4, width=2).state_dict()
    discriminator = registries.discriminators.get("dcgan").factory(image, width=2).state_dict()
    discriminator["features.11.weight"] = discriminator.pop("logit.weight")
    torch.save({name.replace("layers", "main"): tensor for name, tensor in generator.items()}, "netG.pth")
    torch.save({name.replace("features", "main"): tensor for name, tensor in discriminator.items()}, "netD.pth")
    names: dict[str, Any] = {}
    exec(program, names)
    assert names["images"].shape == (4, 3, 64, 64)


def test_the_explorer(checkout, capsys):
    """The documented page is a part of another server, or served alone."""
    pytest.importorskip("gradio")
    from starlette.testclient import TestClient

    mounted, alone = python_blocks("explorer.md")
    names = {}
    exec(mounted, names)
    with TestClient(names["app"]) as client:
        assert "CIFAR-10 - gankit" in client.get("/explore/").text
    exec(alone, {})
    assert capsys.readouterr().out == "200\n"


@pytest.fixture
def search_files(checkout):
    """The recipe and the space of docs/search.md, with a small run and a score that needs no network."""
    text = (ROOT / "docs/search.md").read_text(encoding="utf-8")
    recipe, space = re.findall(r"^```yaml\n(.*?)^```", text, flags=re.S | re.M)
    (checkout / "space.yaml").write_text(space.replace("[16, 64], step: 16", "[4, 8], step: 4"))
    data = {
        **yaml.safe_load(recipe),
        "image": {"size": 16},
        "dataset": {"name": "shapes", "count": 128, "size": 16},
        "train": {"steps": 2, "device": "cpu"},
        "loader": {"batch_size": 4},
        "generator": {"width": 4},
        "discriminator": {"width": 4},
        "callbacks": [
            {"name": "evaluate", "every": 1, "metrics": ["kid"], "features": "pixels", "params": {"kid": {"subset_size": 4}}, "samples": 8}
        ],
    }
    (checkout / "my_recipe.yaml").write_text(yaml.safe_dump(data))


def test_searching_in_python(search_files, monkeypatch, capsys):
    pytest.importorskip("optuna")
    monkeypatch.setattr("gankit.search.search_page.draw_plots", lambda *given: [])
    (program,) = (block for block in python_blocks("search.md") if "run_search" in block)
    exec(program.replace("trials=4", "trials=1"), {})
    assert "optimizers.generator.lr=" in capsys.readouterr().out


def ray_program() -> str:
    (program,) = (block for block in python_blocks("search.md") if "ray" in block)
    return program.replace("fd_effnet_lite0", "kid_pixels")


def test_a_trial_of_ray_tune_without_ray(search_files, monkeypatch):
    """The function of a trial trains and reports each score. Ray itself is replaced."""
    reported = []
    tune = ModuleType("ray.tune")
    tune.report = reported.append
    tune.get_context = lambda: SimpleNamespace(get_trial_name=lambda: "train_00001")
    ray, schedulers = ModuleType("ray"), ModuleType("ray.tune.schedulers")
    ray.tune, schedulers.ASHAScheduler = tune, None
    for module in (ray, tune, schedulers):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    names: dict[str, Any] = {"__name__": "tune_gan"}
    exec(ray_program(), names)
    names["train"]({"optimizers.generator.lr": 0.001, "loader.batch_size": 8})
    run = Path("results/tune/train_00001").resolve()
    assert [(report["step"], report["run"]) for report in reported] == [(1, str(run)), (2, str(run))]
    assert all(isinstance(report["kid_pixels"], float) for report in reported)
    assert gankit.Recipe.load(run / "recipe.yaml").optimizers.generator.params["lr"] == 0.001


@pytest.mark.slow
def test_ray_tune(search_files, capsys):
    pytest.importorskip("ray.tune")
    exec(ray_program().replace("num_samples=20", "num_samples=2"), {"__name__": "__main__"})
    assert "results/tune" in capsys.readouterr().out
