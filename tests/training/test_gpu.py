"""The same promises on a CUDA device."""

from __future__ import annotations

import pytest
import torch

from gankit.runs.checkpoint import find_checkpoint

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")]

EVERYTHING = {
    "conditional": True,
    "loader": {"flip": True, "cache": "device"},
    "regularizers": [
        {"name": "r1", "gamma": 0.1, "interval": 3},
        "lecam",
        "consistency",
        {"name": "dragan", "interval": 2},
    ],
    "augmentations": [
        {"name": "diffaugment"},
        {"name": "ada", "policy": ["blit", "geom", "color", "filter", "noise", "cutout"], "p": 0.5, "interval": 2},
    ],
    "ema": {"half_life_images": 40},
    "callbacks": [{"name": "sample_images", "every": 3}, {"name": "checkpoint", "every": 2}],
}


@pytest.mark.parametrize(
    "settings", [*({"precision": name} for name in ("auto", "fp32", "fp64", "fp16")), {"precision": "fp16", "compile": True}]
)
def test_a_run_on_the_device(runtime, recipe, tmp_path, settings):
    trainer = runtime.assemble(
        recipe(**EVERYTHING, train={"device": "cuda", "steps": 6, **settings}), tmp_path / "run"
    )
    trainer.fit()
    assert next(trainer.state.generator.parameters()).device.type == "cuda"
    assert all(bool(torch.isfinite(value)) for value in trainer.scalars.values())
    assert trainer.real(4).device.type == "cpu"
    events = (tmp_path / "run" / "events.jsonl").read_text()
    assert "report_incomplete" not in events
    assert "picture_missing" not in events
    checkpoint = find_checkpoint(tmp_path / "run")
    on_cpu = runtime.load_generator(checkpoint, "cpu").sample(8, seed=1)
    assert int((on_cpu.int() - trainer.sample(8, seed=1).int()).abs().max()) <= 2


@pytest.mark.parametrize("precision", ["auto", "fp16"])
def test_the_step_waits_for_nothing(runtime, recipe, precision):
    trainer = runtime.assemble(recipe(**EVERYTHING, train={"device": "cuda", "precision": precision}))
    trainer.step()
    torch.cuda.set_sync_debug_mode("error")
    try:
        for _ in range(3):
            trainer.step()
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize(
    "settings",
    [{}, {"precision": "fp16"}, {"checkpoint_activations": {"generator": ["layers"], "discriminator": ["features"]}}],
)
def test_deterministic_runs_resume_bit_for_bit(runtime, recipe, tmp_path, monkeypatch, settings):
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    train = {"device": "cuda", "deterministic": True, "steps": 7, **settings}
    whole = runtime.assemble(recipe(**EVERYTHING, train=train), tmp_path / "whole")
    whole.fit()
    for _ in (parts := runtime.assemble(recipe(**EVERYTHING, train=train), tmp_path / "parts")):
        if parts.state.step == 3:
            break
    resumed = runtime.resume(tmp_path / "parts")
    resumed.fit()
    for one, other in zip(whole.state.generator.parameters(), resumed.state.generator.parameters(), strict=True):
        assert torch.equal(one, other)
