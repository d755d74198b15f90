"""Runs: what is saved is what was trained, and it learns."""

import shutil

import pytest
import torch

import gankit
import gankit_resnet
from gankit.runs.file_names import checkpoints


def recipe(**sections):
    adam = {"name": "adam", "lr": 1e-3, "betas": [0.0, 0.9]}
    return gankit.Recipe.parse(
        {
            "name": "resnet_shapes",
            "image": {"size": 16},
            "conditional": True,
            "latent": {"name": "normal", "dim": 16},
            "dataset": {"name": "shapes", "count": 64, "size": 16},
            "loader": {"batch_size": 8},
            "generator": {"name": "resnet", "width": 8, "attention": [8], "spectral_norm": True},
            "discriminator": {"name": "resnet", "width": 8, "attention": [8]},
            "loss": "hinge",
            "optimizers": {"generator": adam, "discriminator": adam},
            "train": {"steps": 4, "device": "cpu", "precision": "fp32"},
            "ema": {"half_life_images": 20},
            "callbacks": [{"name": "checkpoint", "every": 2}],
        }
        | sections
    )


@pytest.fixture(scope="module")
def runtime():
    return gankit.Runtime(plugins=[gankit_resnet])


def test_a_run_goes_on_where_it_stopped_and_gives_its_generator_back(runtime, tmp_path):
    """The vectors of the power iteration are part of where it stands."""
    made = recipe(regularizers=[{"name": "r1", "gamma": 0.1, "interval": 2}], augmentations=[{"name": "diffaugment"}])
    for _ in (trainer := runtime.assemble(made, tmp_path / "whole")):
        if trainer.state.step == 2:  # which has a checkpoint
            shutil.copytree(tmp_path / "whole", tmp_path / "parts")
    resumed = runtime.resume(tmp_path / "parts")
    assert resumed.state.step == 2
    resumed.fit()
    ends = [checkpoints(tmp_path / run)[-1] for run in ("whole", "parts")]
    for file in ("generator.safetensors", "discriminator.safetensors", "generator_ema.safetensors"):
        assert (ends[0] / file).read_bytes() == (ends[1] / file).read_bytes()
    generator = gankit.load_generator(tmp_path / "parts", plugins=[gankit_resnet])
    assert generator.ema
    assert generator.options.model_fields == {}
    images = generator.sample(4, labels=[0, 1, 2, 0])
    assert images.shape == (4, 3, 16, 16)
    assert torch.equal(images, runtime.resume(tmp_path / "whole").sample(4, labels=[0, 1, 2, 0]))


def test_the_weights_layout_is_kept_where_it_matters(runtime):
    """Fused optimizers walk the memory of a weight and its gradient in step."""
    trainer = runtime.assemble(recipe(train={"steps": 2, "device": "cpu", "precision": "bf16"}))
    trainer.step()
    weights = dict(trainer.state.discriminator.named_parameters())
    weight = weights["blocks.0.conv2.parametrizations.weight.original"]
    assert weight.is_contiguous(memory_format=torch.channels_last)
    averages = trainer.state.optimizers["discriminator"].state[weight]["exp_avg_sq"]
    assert averages.stride() == weight.stride()


@pytest.mark.parametrize("head", ["auxiliary_classifier", "contrastive", "none"])
def test_the_other_heads_train_without_their_regularizers(runtime, head):
    trainer = runtime.assemble(recipe(discriminator={"name": "resnet", "width": 8, "head": head}))
    scalars = trainer.step()
    assert all(value.isfinite() for value in scalars.values())


@pytest.mark.slow
@pytest.mark.parametrize(
    "sections",
    [
        pytest.param({"conditional": False, "generator": {}, "discriminator": {}}, id="sngan"),
        pytest.param(
            {"generator": {"attention": [8], "spectral_norm": True}, "discriminator": {"attention": [8]}}, id="sagan"
        ),
    ],
)
def test_it_learns_shapes(runtime, tmp_path, sections):
    networks = {side: {"name": "resnet", "width": 32} | sections[side] for side in ("generator", "discriminator")}
    made = recipe(
        **sections
        | networks
        | {
            "dataset": {"name": "shapes", "count": 4000, "size": 16},
            "loader": {"batch_size": 64},
            "train": {"steps": 600, "device": "cpu"},
            "ema": {"half_life_images": 3000},
        }
    )
    trainer = runtime.assemble(made, tmp_path / "run")
    real = trainer.real(2000)
    before = distance(real, trainer.sample(1000))
    trainer.fit()
    after = distance(real, trainer.sample(1000))
    itself = distance(real[:1000], real[1000:])
    assert before > 30 * itself
    assert after < before / 10


def distance(first, second):
    """The Fréchet distance of images [n 3 16 16] at 4x4 pixels."""
    means, covariances = [], []
    for images in (first, second):
        pixels = torch.nn.functional.avg_pool2d(images.double() / 255, 4).flatten(1)
        means.append(pixels.mean(0))
        covariances.append(pixels.T.cov())
    root = torch.linalg.eigvals(covariances[0] @ covariances[1]).real.clamp(min=0).sqrt().sum()
    total = sum(covariance.trace() for covariance in covariances)
    return ((means[0] - means[1]).square().sum() + total - 2 * root).item()
