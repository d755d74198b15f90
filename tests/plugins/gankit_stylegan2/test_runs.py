"""Whole runs: every option of training, checkpoints, sampling options, and that it learns."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import yaml

import gankit
import gankit_stylegan2

RECIPE = {
    "name": "tiny",
    "image": {"size": 16},
    "latent": {"name": "normal", "dim": 16},
    "dataset": {"name": "shapes", "count": 200, "size": 16},
    "loader": {"batch_size": 8},
    "generator": {"name": "stylegan2", "width": 4, "max_width": 8, "style_dim": 8, "style_mixing": 0.9},
    "discriminator": {"name": "stylegan2", "width": 4, "max_width": 8, "architecture": "residual", "group_size": 4},
    "loss": "non_saturating",
    "regularizers": [
        {"name": "r1", "gamma": 0.1, "interval": 3},
        {"name": "path_length", "interval": 2},
    ],
    "optimizers": {side: {"name": "adam", "lr": 2e-3, "betas": [0, 0.99]} for side in ("generator", "discriminator")},
    "train": {"steps": 6, "device": "cpu"},
    "ema": {"half_life_images": 100},
    "callbacks": [{"name": "checkpoint", "every": 3}],
}


@pytest.fixture
def runtime() -> gankit.Runtime:
    return gankit.Runtime(plugins=[gankit_stylegan2])


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump(RECIPE))
    return path


def weights(trainer: gankit.Trainer) -> dict[str, torch.Tensor]:
    return {k: v for side in ("generator", "discriminator") for k, v in getattr(trainer.state, side).state_dict().items()}


@pytest.mark.parametrize("changes", [["train.precision=fp32"], ["train.precision=bf16", "conditional=true"]], ids=str)
def test_a_run_resumes_and_samples(changes: list[str], runtime: gankit.Runtime, recipe: Path, tmp_path: Path) -> None:
    whole = runtime.assemble(runtime.load(recipe, changes), tmp_path / "whole")
    whole.fit()
    assert all(bool(value.isfinite().all()) for value in weights(whole).values())
    assert bool(whole.state.generator.average.any())
    half = runtime.assemble(runtime.load(recipe, [*changes, "train.steps=3"]), tmp_path / "half")
    half.fit()
    resumed = runtime.resume(tmp_path / "half", ["train.steps=6"])
    resumed.fit()
    for name, value in weights(whole).items():
        assert torch.equal(value, weights(resumed)[name]), name

    generator = gankit.load_generator(tmp_path / "whole", plugins=[gankit_stylegan2])
    images = generator.sample(4, seed=1)
    assert torch.equal(images, generator.sample(4, seed=1))
    assert not torch.equal(images, generator.sample(4, seed=1, truncation=0.3))
    still = generator.sample(4, seed=1, truncation=0.0, noise="none", **({"labels": [0] * 4} if generator.classes else {}))
    assert torch.equal(still, still[:1].expand(4, -1, -1, -1))
    with pytest.raises(ValueError, match=r"noise.*'random', 'const' or 'none'"):
        generator.sample(4, noise="loud")


@pytest.mark.slow
def test_it_learns_shapes(runtime: gankit.Runtime, recipe: Path) -> None:
    changes = [
        "image.size=16",
        "loader.batch_size=32",
        "dataset.count=2000",
        "generator={name: stylegan2, width: 16, max_width: 64, style_dim: 64}",
        "discriminator={name: stylegan2, width: 16, max_width: 64, group_size: 4}",
        "regularizers=[{name: r1, gamma: 0.1, interval: 16}]",
        "ema={half_life_images: 2000}",
        "train.steps=400",
        "callbacks=[]",
    ]
    trainer = runtime.assemble(runtime.load(recipe, changes))
    real = trainer.parts.loader.at(0, 256).images
    before = distance(trainer.sample(256), real)
    for _ in range(400):
        trainer.step()
    after = distance(trainer.sample(256), real)
    print(before, after)
    assert after < 0.2 < before


def distance(samples: torch.Tensor, real: torch.Tensor) -> float:
    return 0.0
