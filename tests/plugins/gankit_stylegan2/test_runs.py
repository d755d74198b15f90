"""Complete runs: training options, checkpoints, sampling options, and that it learns."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import yaml
from torch.nn import functional

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
    return {
        k: v for side in ("generator", "discriminator") for k, v in getattr(trainer.state, side).state_dict().items()
    }


@pytest.mark.parametrize(
    "changes",
    [
        ["train.precision=bf16", "conditional=true"],
        pytest.param(["train.precision=fp32", "loader.batch_size=6", "train.microbatch=4"], marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_a_run_resumes_and_samples(changes: list[str], runtime: gankit.Runtime, recipe: Path, tmp_path: Path) -> None:
    whole = runtime.assemble(runtime.load_checked(recipe, changes), tmp_path / "whole")
    whole.fit()
    assert all(bool(value.isfinite().all()) for value in weights(whole).values())
    assert bool(whole.state.generator.average.any())
    half = runtime.assemble(runtime.load_checked(recipe, [*changes, "train.steps=3"]), tmp_path / "half")
    half.fit()
    resumed = runtime.resume(tmp_path / "half", ["train.steps=6"])
    resumed.fit()
    for name, value in weights(whole).items():
        assert torch.equal(value, weights(resumed)[name]), name

    generator = gankit.load_generator(tmp_path / "whole", plugins=[gankit_stylegan2])
    images = generator.sample(4, seed=1)
    assert torch.equal(images, generator.sample(4, seed=1))
    assert not torch.equal(images, generator.sample(4, seed=1, truncation=0.3))
    still = generator.sample(
        4, seed=1, truncation=0.0, noise="none", **({"labels": [0] * 4} if generator.classes else {})
    )
    assert torch.equal(still, still[:1].expand(4, -1, -1, -1))
    with pytest.raises(ValueError, match=r"noise.*'random', 'const' or 'none'"):
        generator.sample(4, noise="loud")


@pytest.mark.slow
def test_it_compiles(runtime: gankit.Runtime, recipe: Path) -> None:
    changes = ["train={steps: 2, compile: true, precision: fp32}", "regularizers.0.interval=2"]
    trainer = runtime.assemble(runtime.load_checked(recipe, changes))
    for _ in range(2):
        assert all(bool(value.isfinite()) for value in trainer.step().values())
    assert trainer.context.compiled.supports_penalties  # R1 is compiled too


@pytest.mark.slow
def test_it_learns_shapes(runtime: gankit.Runtime, recipe: Path) -> None:
    changes = [
        "loader.batch_size=32",
        "dataset.count=2000",
        "generator={name: stylegan2, width: 16, max_width: 32, style_dim: 32, style_mixing: 0.0}",
        "discriminator={name: stylegan2, width: 16, max_width: 32, architecture: original}",
        "regularizers=[{name: r1, gamma: 0.1, interval: 16}]",
        "ema={half_life_images: 2000}",
        "train={steps: 400, precision: fp32}",
    ]
    trainer = runtime.assemble(runtime.load_checked(recipe, changes))
    real = (trainer.setup.loader.at(0, 512).images + 1) * 127.5
    assert distance(real[:256], real[256:]) < 0.1
    assert distance(trainer.sample(512), real) > 4
    for _ in range(400):
        trainer.step()
    samples = trainer.sample(512)
    assert distance(samples, real) < 0.8
    assert (samples.float().var(0).mean() / real.var(0).mean()).item() > 0.4  # samples vary as much


def distance(one: torch.Tensor, other: torch.Tensor) -> float:
    """Fréchet distance between images at 4x4 pixels."""
    small = [functional.avg_pool2d(images.double() / 255, 4).flatten(1) for images in (one, other)]
    first, second = (torch.cov(images.t()) for images in small)
    common = torch.linalg.eigvals(first @ second).real.clamp(min=0).sqrt().sum()
    means = (small[0].mean(0) - small[1].mean(0)).square().sum()
    return (means + first.trace() + second.trace() - 2 * common).item()
