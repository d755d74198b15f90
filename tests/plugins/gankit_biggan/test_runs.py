"""BigGAN trained, checkpointed and sampled from."""

import shutil
from pathlib import Path

import pytest
import torch
from torch import Tensor

import gankit
import gankit_biggan
import gankit_callbacks
import gankit_datasets
import gankit_losses
import gankit_optimizers

PLUGINS = [gankit_biggan, gankit_callbacks, gankit_datasets, gankit_losses, gankit_optimizers]
RECIPE = """
name: shapes
image: {{size: {size}}}
conditional: {conditional}
latent: {{name: normal, dim: 16}}
dataset: {{name: shapes, count: {count}, size: {size}}}
loader: {{batch_size: {batch}}}
generator: {{name: biggan, width: {width}, embedding_dim: 16}}
discriminator: {{name: biggan, width: {wide}}}
loss: hinge
regularizers: [{{name: orthogonal, beta: 1.0e-4}}]
optimizers:
  generator: {{name: adam, lr: {lr}, betas: [0.0, 0.9]}}
  discriminator: {{name: adam, lr: {lr}, betas: [0.0, 0.9]}}
train: {{steps: {steps}, device: cpu, precision: {precision}}}
ema: {{half_life_images: 2000, ramp_up: 0.25}}
callbacks: [{{name: checkpoint, every: 2}}]
"""


def assembled(folder: Path, run: bool = True, **values: object) -> gankit.Trainer:
    usual = {"size": 16, "conditional": "true", "count": 64, "batch": 8, "width": 4, "wide": 4, "lr": 1e-3}
    usual |= {"steps": 3, "precision": "fp32"}
    path = folder / "shapes.yaml"
    path.write_text(RECIPE.format(**usual | values))
    runtime = gankit.Runtime(plugins=PLUGINS, discover=False)
    return runtime.assemble(runtime.load_checked(path), folder / "run" if run else None)


@pytest.mark.parametrize("conditional", ["true", pytest.param("false", marks=pytest.mark.slow)])
def test_a_checkpoint_is_sampled_with_truncation(conditional: str, tmp_path: Path) -> None:
    trainer = assembled(tmp_path, conditional=conditional)
    trainer.fit()
    assert trainer.ending == "done"
    assert float(trainer.scalars["orthogonal"]) > 0
    generator = gankit.load_generator(tmp_path / "run", plugins=PLUGINS)
    assert generator.ema
    assert torch.equal(generator.sample(6, seed=1), trainer.sample(6, seed=1))
    cut = generator.sample(6, seed=1, truncation=0.5)
    assert torch.equal(cut, generator.sample(6, seed=1, truncation=0.5))
    assert not torch.equal(cut, generator.sample(6, seed=1))
    assert torch.equal(generator.sample(6, seed=1, truncation=None), generator.sample(6, seed=1))
    with pytest.raises(ValueError, match="'truncation': .*greater than 0"):
        generator.sample(6, truncation=-1)


def test_a_resumed_run_is_the_same(tmp_path: Path) -> None:
    whole = assembled(tmp_path, steps=4)
    for _ in whole:
        if whole.state.step == 2:  # which has a checkpoint
            shutil.copytree(tmp_path / "run", tmp_path / "copy")
    resumed = gankit.Runtime(plugins=PLUGINS, discover=False).resume(tmp_path / "copy")
    assert resumed.state.step == 2
    resumed.fit()
    for name, value in whole.state.discriminator.state_dict().items():
        assert torch.equal(resumed.state.discriminator.state_dict()[name], value), name


def gaussian(images: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and covariance of 4x4 blocks' colours, of uint8 images."""
    features = torch.nn.functional.adaptive_avg_pool2d(images.double() / 255, 4).flatten(1)
    return features.mean(0), features.t().cov()


def distance(one: Tensor, other: Tensor) -> float:
    """Frechet distance between the Gaussians of two sets of images."""
    (mean, covariance), (mean2, covariance2) = gaussian(one), gaussian(other)
    eigenvalues = torch.linalg.eigvals(covariance @ covariance2).real.clamp(min=0)
    return float((mean - mean2).square().sum() + (covariance + covariance2).trace() - 2 * eigenvalues.sqrt().sum())


@pytest.mark.slow
@pytest.mark.parametrize("conditional", ["true", "false"])
def test_it_learns_shapes(conditional: str, tmp_path: Path) -> None:
    trainer = assembled(
        tmp_path,
        run=False,
        conditional=conditional,
        count=2000,
        batch=32,
        width=8,
        wide=16,
        steps=400,
        precision="auto",
    )
    real, others = trainer.real(1000), trainer.real(2000)[1000:]
    untrained = distance(trainer.sample(1000, seed=5), real)
    for _ in range(400):
        trainer.step()
    trained = distance(trainer.sample(1000, seed=5), real)
    assert trained < 20 * distance(others, real)
    assert trained < 0.1 * untrained
