"""R3GAN in training: forward passes of a step, schedules, a checkpoint, and that it learns."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import Tensor
from torch.nn import functional as F

import gankit
import gankit_r3gan


def ramp(start: float, end: float, images: int = 64) -> dict[str, Any]:
    return {"start": start, "end": end, "over_images": images, "shape": "cosine"}


NETWORK = {"name": "r3gan", "width": 16, "blocks": 1, "patch": 2}
ADAM = {"name": "adam", "lr": ramp(2e-4, 5e-5), "betas": [0.0, ramp(0.9, 0.99)]}
PENALTIES = [{"name": "r1", "gamma": ramp(0.05, 0.005)}, {"name": "r2", "gamma": ramp(0.05, 0.005)}]
RECIPE: dict[str, Any] = {
    "name": "r3gan",
    "image": {"size": 16},
    "conditional": True,
    "latent": {"name": "normal", "dim": 8},
    "dataset": {"name": "shapes", "count": 64, "size": 16},
    "loader": {"batch_size": 16},
    "generator": NETWORK,
    "discriminator": NETWORK,
    "loss": "relativistic",
    "regularizers": PENALTIES,
    "optimizers": {"generator": ADAM, "discriminator": ADAM},
    "train": {"steps": 8, "device": "cpu"},
    "ema": {"half_life_images": ramp(0, 1000), "ramp_up": None},
}


def assemble(folder: Path, **changes: Any):
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(RECIPE | changes))
    runtime = gankit.Runtime(plugins=[gankit_r3gan])
    return runtime.assemble(runtime.load_checked(path), folder / "run")


def test_penalties_reuse_the_forward_passes_of_the_loss(tmp_path: Path) -> None:
    trainer = assemble(tmp_path)
    passes = []
    trainer.state.discriminator.register_forward_hook(lambda module, inputs, output: passes.append(len(output)))
    trainer.step()
    assert passes == [16] * 4  # real and fake images in D's turn and in G's


def test_all_scheduled_values_follow_their_schedule(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = assemble(tmp_path)
    state, kept = trainer.state, []
    monkeypatch.setattr(state.ema, "update", lambda generator, decay: kept.append(decay))
    penalties = list(trainer.context.regularizers.values())

    def numbers() -> list[float]:
        groups = [optimizer.param_groups[0] for optimizer in state.optimizers.values()]
        rates = [number for group in groups for number in (group["lr"], *group["betas"])]
        return rates + [penalty.gamma for penalty in penalties]

    for step in range(8):
        trainer.step()
        if step in (0, 2):  # after no images, and after half of the images of the schedule
            share = step / 4
            mean = [a + (b - a) * share for a, b in ((2e-4, 5e-5), (0, 0), (0.9, 0.99))]
            after = (1 - math.cos(math.pi * (step + 1) / 4)) / 2  # components have the values of the next step
            assert numbers() == pytest.approx(mean * 2 + [0.05 + (0.005 - 0.05) * after] * 2)
    assert numbers() == pytest.approx([5e-5, 0, 0.99] * 2 + [0.005] * 2)
    assert kept[1] == pytest.approx(0.5 ** (16 / 500))
    assert kept[-1] == pytest.approx(0.5 ** (16 / 1000))


def test_a_checkpoint_gives_the_same_images(tmp_path: Path) -> None:
    trainer = assemble(tmp_path, callbacks=[{"name": "checkpoint", "every": 4}])
    trainer.fit()
    labels = [0, 1, 2, 0]
    generator = gankit.load_generator(tmp_path / "run", plugins=[gankit_r3gan])
    assert torch.equal(generator.sample(4, seed=1, labels=labels), trainer.sample(4, seed=1, labels=labels))


def distance(images: Tensor, others: Tensor) -> float:
    """Fréchet distance between Gaussians fitted to the images at 4x4 pixels (48 values each)."""
    means, covariances = [], []
    for some in (images, others):
        points = F.adaptive_avg_pool2d(some.double() / 127.5 - 1, 4).flatten(1)
        means.append(points.mean(0))
        covariances.append(points.T.cov())
    eigenvalues = torch.linalg.eigvals(covariances[0] @ covariances[1]).real.clamp(min=0)
    traces = sum(covariance.trace() for covariance in covariances)
    return float((means[0] - means[1]).square().sum() + traces - 2 * eigenvalues.sqrt().sum())


@pytest.mark.slow
def test_learns_shapes(tmp_path: Path) -> None:
    network = NETWORK | {"width": 64, "full_precision_stages": 0}
    trainer = assemble(
        tmp_path,
        dataset={"name": "shapes", "count": 4000, "size": 16},
        loader={"batch_size": 32},
        generator=network,
        discriminator=network,
        optimizers={
            side: {"name": "adam", "lr": 2e-3, "betas": [0.0, 0.99]} for side in ("generator", "discriminator")
        },
        regularizers=[{"name": "r1", "gamma": 0.1}, {"name": "r2", "gamma": 0.1}],
        train={"steps": 400, "device": "cpu"},
        ema={"half_life_images": 1000},
    )
    reals, others = trainer.setup.loader.at(0, 2000).images, trainer.setup.loader.at(2000, 2000).images
    reals, others = ((images + 1) * 127.5 for images in (reals, others))
    untrained = distance(reals, trainer.sample(2000, seed=0))
    trainer.fit()
    trained = distance(reals, trainer.sample(2000, seed=0))
    assert trained < untrained / 4
    assert distance(reals, others) < trained / 5  # training has not converged
