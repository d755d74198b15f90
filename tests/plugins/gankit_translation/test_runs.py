"""The networks in runs: registered, checked without data, trained, resumed and sampled."""

from __future__ import annotations

import shutil

import pytest
import torch

import gankit
import gankit_translation

NETWORKS = [
    ({"name": "unet", "width": 2}, {"name": "conditional_patchgan", "width": 2, "layers": 2}),
    ({"name": "resnet_translator", "width": 2, "blocks": 1}, {"name": "patchgan", "width": 2, "layers": 2}),
    ({"name": "two_translators", "width": 2, "blocks": 1}, {"name": "two_patchgans", "width": 2, "layers": 2}),
]
RECIPE = {
    "name": "translation",
    "image": {"size": 32},
    "dataset": "inverted",
    "loader": {"batch_size": 4},
    "train": {"steps": 4, "device": "cpu", "precision": "fp32"},
    "ema": {"half_life_images": 20},
    "callbacks": [{"name": "checkpoint", "every": 2}],
}


class Inverted:
    """Images, each with a gray source whose brightness is inverted."""

    def __init__(self, *, scale: float = 1.0) -> None:
        self.spec = gankit.DataSpec(
            image=gankit.ImageSpec.any_size(3), source=gankit.ImageSpec.any_size(1, scale=scale)
        )

    def __len__(self):
        return 16

    def __getitem__(self, index):
        image = torch.randint(0, 256, (3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(index))
        return {"image": image, "source": 255 - image[:1]}


class Data:
    """The plugin of the dataset."""

    @gankit.hookimpl
    def register(self, registries):
        registries.datasets.add("inverted", Inverted)


@pytest.fixture(scope="module")
def runtime():
    return gankit.Runtime(plugins=[gankit_translation, Data()])


def recipe(networks, **sections):
    generator, discriminator = networks
    return gankit.Recipe.parse(RECIPE | {"generator": generator, "discriminator": discriminator} | sections)


def weights(trainer):
    return {
        f"{player} {name}": value.clone()
        for player, network in trainer.state.networks().items()
        for name, value in network.state_dict().items()
    }


def test_registration():
    registries = gankit.Registries()
    gankit_translation.register(registries)
    schemas = {
        name: getattr(registries, kind).get(name).schema().model_dump()
        for kind, names in (
            ("generators", ("unet", "resnet_translator", "two_translators")),
            ("discriminators", ("patchgan", "conditional_patchgan", "two_patchgans")),
        )
        for name in names
    }
    resnet = {"width": 64, "blocks": 9, "halvings": 2, "norm": "instance"}
    assert schemas == {
        "unet": {"width": 64, "norm": "batch", "dropout": 0.5, "depth": None},
        "resnet_translator": resnet,
        "two_translators": resnet,
        "patchgan": {"width": 64, "layers": 3, "norm": "batch"},
        "conditional_patchgan": {"width": 64, "layers": 3, "norm": "batch"},
        "two_patchgans": {"width": 64, "layers": 3, "norm": "instance"},
    }


@pytest.mark.parametrize("networks", NETWORKS)
def test_a_resumed_run_equals_an_uninterrupted_one_and_can_be_sampled(runtime, tmp_path, networks):
    for _ in (trainer := runtime.assemble(recipe(networks), tmp_path / "whole")):
        if trainer.state.step == 2:  # which has a checkpoint
            shutil.copytree(tmp_path / "whole", tmp_path / "parts")
    resumed = runtime.resume(tmp_path / "parts")
    resumed.fit()
    for name, value in weights(trainer).items():
        assert torch.equal(value, weights(resumed)[name]), name
    generator = gankit.load_generator(tmp_path / "whole", plugins=[gankit_translation, Data()])
    samples = generator.sample(5, seed=3)
    assert samples.shape == (5, 3, 32, 32)
    assert torch.equal(generator.sample(2, seed=3), samples[:2])


@pytest.mark.parametrize("networks", NETWORKS)
def test_check_reports_data_without_sources(runtime, networks):
    with pytest.raises(gankit.RecipeError, match=r"generator: .*needs source images, but the data has no field 'source'") as caught:
        runtime.check(recipe(networks, dataset={"name": "shapes", "count": 16, "size": 32}))
    assert "KeyError" not in str(caught.value)
    needing = 1 if networks[1]["name"] == "patchgan" else 2
    assert str(caught.value).count("needs source images") == needing


@pytest.mark.parametrize("networks", NETWORKS)
def test_check_reports_sources_of_another_size(runtime, networks):
    with pytest.raises(gankit.RecipeError, match="needs sources of the size of the images.* 32x32 .*16x16"):
        runtime.check(recipe(networks, dataset={"name": "inverted", "scale": 0.5}))


@pytest.mark.parametrize(("key", "value", "message"), [
    ("width", 0, "generator.width: .*greater than 0"),
    ("dropout", 1.0, "generator.dropout: .*less than 1"),
    ("norm", "layer", "generator.norm: .*'batch' or 'instance'"),
    ("depth", 6, "unet with depth 6 cannot translate images of 32x32"),
])  # fmt: skip
def test_check_reports_unsuitable_parameters(runtime, key, value, message):
    generator, discriminator = NETWORKS[0]
    with pytest.raises(gankit.RecipeError, match=message):
        runtime.check(recipe((generator | {key: value}, discriminator)))
