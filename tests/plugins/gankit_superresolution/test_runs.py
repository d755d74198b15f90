"""Complete runs of super-resolution: checked without data, trained, and sampled for held-out sources."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import gankit
import gankit_superresolution

RECIPE: dict[str, Any] = {
    "name": "small",
    "image": {"size": 16},
    "dataset": {
        "name": "degraded",
        "dataset": {"name": "shapes", "count": 32, "size": 16},
        "held_out": {"name": "shapes", "count": 5, "size": 16, "split": "test"},
    },
    "loader": {"batch_size": 8, "flip": True},
    "generator": {"name": "rrdbnet", "width": 4, "growth": 2, "blocks": 1},
    "discriminator": {"name": "unet_discriminator", "width": 4},
    "loss": "relativistic_average",
    "optimizers": {side: {"name": "adam", "lr": 1e-3} for side in ("generator", "discriminator")},
    "train": {"steps": 2, "device": "cpu"},
    "callbacks": [],
}
NETWORKS: dict[str, dict[str, Any]] = {
    "ESRGAN": {"discriminator": {"name": "vgg_discriminator", "width": 2}},
    "Real-ESRGAN": {"loss": "non_saturating"},
    "SRGAN": {
        "generator": {"name": "srresnet", "width": 4, "blocks": 1},
        "discriminator": {"name": "vgg_discriminator", "width": 2},
        "loss": "bce",
        "dataset": RECIPE["dataset"] | {"rounds": 0, "scale": 2},
    },
}


@pytest.fixture(scope="module")
def runtime() -> gankit.Runtime:
    return gankit.Runtime(plugins=[gankit_superresolution])


def recipe(**sections: Any) -> gankit.Recipe:
    return gankit.Recipe.parse(RECIPE | sections)


@pytest.mark.parametrize("network", NETWORKS)
def test_it_trains(runtime: gankit.Runtime, tmp_path: Path, network: str) -> None:
    given = recipe(**NETWORKS[network])
    runtime.check(given)
    trainer = runtime.assemble(given, tmp_path / "run")
    before = [parameter.detach().clone() for parameter in trainer.state.generator.parameters()]
    trainer.fit()
    assert trainer.state.step == 2
    assert any(not torch.equal(*pair) for pair in zip(before, trainer.state.generator.parameters(), strict=True))


def test_samples_are_enlarged_held_out_sources(runtime: gankit.Runtime, tmp_path: Path) -> None:
    trainer = runtime.assemble(recipe(), tmp_path / "run")
    trainer.fit()
    held_out = trainer.setup.loader.dataset.held_out()
    assert len(held_out) == 5
    generator = gankit.load_generator(tmp_path / "run", plugins=[gankit_superresolution])
    samples = generator.sample(12, seed=3)
    assert samples.shape == (12, 3, 16, 16)
    network = trainer.state.generator.eval()
    sources = torch.stack([item["source"] for item in (held_out[i] for i in range(5))]).float() / 127.5 - 1
    with torch.no_grad():
        enlarged = network(sources).add(1).mul(127.5).round().clamp(0, 255)
    for sample in samples.float():
        assert min((sample - one).abs().max().item() for one in enlarged) <= 1


def test_check_names_what_does_not_fit(runtime: gankit.Runtime) -> None:
    with pytest.raises(gankit.RecipeError, match=r"generator: rrdbnet enlarges .* 'source' of the data, .*only 'image'"):
        runtime.check(recipe(dataset={"name": "shapes", "size": 16}))
    with pytest.raises(gankit.RecipeError, match=r"dataset: .*may have any size: set size"):
        runtime.check(recipe(dataset={"name": "degraded", "dataset": {"name": "image_folder", "path": "photos"}}))
    folder = {"name": "degraded", "dataset": {"name": "image_folder", "path": "photos"}, "size": 16}
    runtime.check(recipe(dataset=folder))
    with pytest.raises(gankit.RecipeError, match=r"dataset.scale: .*1, 2 or 4"):
        runtime.check(recipe(dataset=folder | {"scale": 3}))


def test_all_are_registered() -> None:
    registries = gankit.Registries()
    gankit_superresolution.register(registries)
    assert {entry.name for entry in registries.generators} == {"srresnet", "rrdbnet"}
    assert {entry.name for entry in registries.discriminators} == {"vgg_discriminator", "unet_discriminator"}
    assert {entry.name for entry in registries.datasets} == {"degraded"}
    defaults = registries.generators.get("rrdbnet").schema().model_dump()
    assert defaults == {"width": 64, "blocks": 23, "growth": 32}
    assert registries.generators.get("srresnet").schema().model_dump() == {"width": 64, "blocks": 16, "norm": "batch"}
