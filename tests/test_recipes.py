"""Every shipped recipe: it is fit to run as it stands, and trains a few steps on a small stand-in of its data."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image

import gankit
from gankit_callbacks import curve_plot

ROOT = Path(__file__).parents[1]
RECIPES = sorted((ROOT / "recipes").glob("*.yaml"))
VARIANTS = (  # of recipes that train in the default suite
    "biggan_cifar10_",
    "contragan_cifar10",
    "cut_folders",  # tests/plugins/gankit_translation trains it
    "cyclegan_folders",
    "dcgan_cifar10_conditional",
    "image_folder_cpu",
    "projected_cifar10_",
    "projected_image_folder",
    "r3gan_cifar10_",
    "sagan_cifar10_conditional",
    "sngan_cifar10_",
    "stylegan2_cifar10_",
    "stylegan2_freezed",
    "stylegan2_image_folder",
)
SMALLER = [
    "generator.width=8",
    "discriminator.width=8",
    "loader.batch_size=8",
    "train.steps=2",
    "callbacks.sample_images={count: 4, columns: 2}",
]


@pytest.fixture(scope="module")
def runtime():
    return gankit.Runtime()


@pytest.fixture
def more_data(data):
    """Also a test split of CIFAR-10, and the folders of the recipes for translation."""
    shutil.copy(data / "cifar10-train.zip", data / "cifar10-test.zip")
    for folder in ("sources", "images"):
        shutil.copytree(data / "pictures", data / folder)
    (data / "pairs").mkdir()
    for file in (data / "pictures").iterdir():
        image = Image.open(file)
        image.resize((2 * image.height, image.height)).save(data / "pairs" / file.name)
    return data


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_fit_to_run_as_it_stands(path, runtime):
    recipe = runtime.load(path)
    assert recipe.name == path.stem
    assert gankit.Recipe.load(path).to_yaml() == recipe.to_yaml()


@pytest.mark.parametrize(
    "path",
    [pytest.param(path, id=path.stem, marks=[pytest.mark.slow] * path.stem.startswith(VARIANTS)) for path in RECIPES],
)
@pytest.mark.usefixtures("more_data")
def test_trains_a_few_steps(path, runtime, tmp_path, monkeypatch):
    # takes most of the time, and has its own tests; tests/own_games draw the curves of runs
    monkeypatch.setattr(curve_plot, "draw_curves", lambda curves, name, step, path: path.touch())
    recipe = gankit.Recipe.load(path)
    words = SMALLER + ["image.size=64"] * (max(recipe.image.size) > 64)
    words += ["discriminator.features_size=64"] * (recipe.discriminator.name == "projected")
    words += ["dataset.size=64"] * (recipe.dataset.name == "degraded")
    words += ["generator.blocks=1"] * (recipe.generator.name in ("rrdbnet", "two_translators"))
    words += ["regularizers.patch_nce.channels=[3, 16, 32, 32, 32]"] * (recipe.name == "cut_folders")
    words += ["loader.batch_size=2"] * (recipe.dataset.name == "unpaired")  # two images of each class
    if recipe.initialize is not None:  # the run of another recipe, in its default directory
        first = ROOT / "recipes" / f"{recipe.initialize.name}.yaml"
        runtime.assemble(runtime.load_checked(first, words), recipe.initialize).fit()
    trainer = runtime.assemble(runtime.load_checked(path, words), tmp_path / "run")
    trainer.fit()
    assert trainer.state.step == 2
    assert trainer.ending == "done"
    assert (tmp_path / "run/fake_samples_epoch_000.png").is_file()
    assert (tmp_path / "run/loss_curves.png").is_file()
    assert gankit.load_generator(tmp_path / "run").sample(2).shape[0] == 2


@pytest.mark.parametrize(
    "path",
    [path for path in RECIPES if "image_folder" in path.stem or path.stem == "stylegan2_freezed"],
    ids=lambda path: path.stem,
)
def test_lengths_and_intervals_for_any_number_of_images(path):
    """A folder may have a few hundred images: an epoch is a few steps, and no measure of a training."""
    recipe = gankit.Recipe.load(path)
    assert recipe.train.images is not None
    steps = recipe.train.images / (recipe.loader.batch_size * recipe.train.discriminator_steps)
    assert steps > 2000
    every = {callback.name: callback.params["every"] for callback in recipe.callbacks}
    assert steps / every["checkpoint"] >= 5
    assert 20 <= steps / every["sample_images"] <= 400


@pytest.mark.parametrize(
    ("name", "fresh"),
    [("dcgan_cifar10", False), ("r3gan_cifar10", True), ("r3gan_cifar10_cpu", False), ("stylegan2_cifar10", True)],
)
def test_g_meets_the_fakes_that_the_authors_show_it(name, fresh):
    """The reference DCGAN shows G the fakes that D saw; R3GAN's and StyleGAN2's authors draw new ones."""
    assert gankit.Recipe.load(ROOT / f"recipes/{name}.yaml").train.fresh_fakes is fresh


def test_dcgan_cifar10_is_the_reference(runtime, data):
    trainer = runtime.assemble(runtime.load_checked(ROOT / "recipes/dcgan_cifar10.yaml", ["loader.batch_size=4"]))
    sizes = [
        sum(p.numel() for p in getattr(trainer.state, side).parameters()) for side in ("generator", "discriminator")
    ]
    assert sizes == [3_576_704, 2_765_568]
    for optimizer in trainer.state.optimizers.values():
        assert isinstance(optimizer, torch.optim.Adam)
        assert (optimizer.param_groups[0]["lr"], tuple(optimizer.param_groups[0]["betas"])) == (2e-4, (0.5, 0.999))
    assert trainer.setup.loader.at(0, 4).images.shape == (4, 3, 64, 64)
    assert trainer.total_steps == 25 * 20 // 4
