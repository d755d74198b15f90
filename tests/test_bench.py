"""`gankit bench` and what it measures: every moment once, the right work counted, and nothing left behind."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
import torch

import gankit
from gankit.game import game
from gankit.profiling.flops import count_flops, matrix_flops
from gankit.profiling.memory import peak_memory
from gankit.profiling.step_profile import PARTS, Stopwatch, profile_steps

ROOT = Path(__file__).parents[1]
CPU = torch.device("cpu")


@pytest.fixture
def trainer(tiny_runtime, tiny_recipe, tmp_path):
    def make(**sections):
        return tiny_runtime.assemble(tiny_runtime.load(tiny_recipe(tmp_path, **sections)), tmp_path / "run")

    return make


@pytest.fixture
def scratch(tmp_path, monkeypatch):
    """Where temporary folders are made."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


class Clock:
    """Time that only passes where a test says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        return self.now

    def pass_by(self, seconds) -> None:
        self.now += seconds

    def slow(self, holder, method, seconds) -> None:
        original = getattr(holder, method)

        def slowed(*args, **kwargs):
            self.pass_by(seconds)
            return original(*args, **kwargs)

        setattr(holder, method, slowed)


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr("gankit.profiling.step_profile.time", clock)
    return clock


@pytest.fixture(autouse=True)
def small_matrices(monkeypatch):
    monkeypatch.setattr("gankit.profiling.flops.MATRIX_SECONDS", 0.01)
    monkeypatch.setattr("gankit.profiling.flops.MATRIX_SIDES", {"cpu": (64,), "cuda": (1024,)})


def test_the_parts_are_what_takes_the_time(trainer, clock, monkeypatch):
    """Each part is slowed by an amount of its own, and just that amount turns up in it."""
    t = trainer(ema={"half_life_images": 100}, train={"steps": 3, "device": "cpu", "discriminator_steps": 2})
    clock.slow(t.setup.loader.source, "read", 1)
    clock.slow(t.game.loss, "discriminator", 20)
    clock.slow(t.game.loss, "generator", 300)
    for optimizer in t.state.optimizers.values():
        optimizer.register_step_pre_hook(lambda *_: clock.pass_by(4000))
    clock.slow(t.state.ema, "update_parameters", 50_000)
    for callback in t.callbacks:
        clock.slow(callback, "on_step_end", 600_000)
    due = game.due_regularizers  # asked for once a turn
    monkeypatch.setattr(game, "due_regularizers", lambda *turn: (clock.pass_by(7_000_000), due(*turn))[1])
    clock.slow(t, "step", 80_000_000)
    clock.slow(t._loop, "_save_if_wanted", 900_000_000)
    watched = profile_steps(t, steps=5, warm_up=2)
    once = {name: seconds / 5 for name, seconds in watched.parts.items()}
    assert once == {
        "data": 2,
        "D's turn": 14_000_040,
        "G's turn": 7_000_300,
        "optimizer": 12_000,
        "EMA": 50_000,
        "callbacks": 900_600_000,
        "other": 80_000_000,
    }
    assert tuple(once) == PARTS
    assert watched.callbacks == {"tiny": 5 * 600_000}
    assert watched.seconds == sum(watched.parts.values())


def test_the_parts_add_up_to_the_whole(trainer):
    t = trainer()
    began = time.perf_counter()
    watched = profile_steps(t, steps=3, warm_up=0)
    whole = time.perf_counter() - began
    assert sum(watched.parts.values()) == pytest.approx(watched.seconds)
    assert 0 < watched.seconds < whole
    assert sum(watched.callbacks.values()) <= watched.parts["callbacks"]
    assert (watched.steps, watched.images) == (3, 24)


def test_the_trainer_is_as_it_was_afterwards(trainer):
    t = trainer(ema={"half_life_images": 100})
    profile_steps(t, steps=2, warm_up=1)
    holders = [t, t.setup.loader, t.callbacks, t.state.ema, *t.state.optimizers.values()]
    assert not any({"step", "stream", "call", "update_parameters"} & set(vars(holder)) for holder in holders)
    assert t.ending == "left early"


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_on_a_device_the_speed_is_measured_by_itself(trainer):
    t = trainer(train={"steps": 3, "device": "cuda", "precision": "bf16"})
    watched = profile_steps(t, steps=5, warm_up=5)
    assert 0 < watched.seconds <= sum(watched.parts.values()) * 1.5  # whose parts each wait for the device
    assert watched.images == 40
    assert 0 < watched.peak_bytes <= torch.cuda.max_memory_allocated()  # which the matrices add to afterwards
    assert watched.flops / watched.seconds < watched.peak_flops


def test_a_stopwatch_that_stands_still_waits_for_nothing():
    waits = []
    stopwatch = Stopwatch(lambda: waits.append(1))
    stopwatch.lap("data")
    assert (sum(stopwatch.seconds.values()), waits) == (0, [])
    with stopwatch.running():
        stopwatch.lap("data")
    stopwatch.lap("data")
    assert (len(waits), list(stopwatch.seconds)) == (3, ["data", "callbacks"])


def test_operations_are_those_of_the_matrices(trainer):
    """By hand: each linear layer's product, twice its size in additions and multiplications."""
    n, d, pixels, width = 8, 4, 16 * 16 * 3, 4
    generator, discriminator = 2 * n * d * pixels, 2 * n * (pixels * width + width)
    hidden_input = 2 * n * width  # the gradient of D's hidden layer, which its weights' needs
    first_layer = 2 * n * pixels * width
    d_turn = generator + 2 * discriminator + 2 * (discriminator + hidden_input)
    g_turn = (
        discriminator + hidden_input + first_layer + generator
    )  # D's weights are frozen; G's first layer needs no dz
    assert count_flops(trainer()) == d_turn + g_turn


def test_operations_of_lazy_penalties_are_averaged():
    runtime = gankit.Runtime()
    counts = {}
    for interval in (1, 4):
        recipe = runtime.load(
            ROOT / "recipes/quickstart.yaml",
            [
                "dataset={name: shapes, count: 8, size: 16}",
                "image.size=16",
                "loader.batch_size=4",
                "generator.width=4",
                "discriminator.width=4",
                f"regularizers=[{{name: r1, interval: {interval}}}]",
                "train.precision=fp32",
                "train.device=cpu",
            ],
        )
        counts[interval] = count_flops(runtime.assemble(recipe))
    assert 0 < counts[4] < counts[1]


def test_memory_is_that_of_the_process():
    before = peak_memory(CPU)
    held = torch.ones(64 * 2**20, dtype=torch.uint8)
    assert held[-1] == 1
    assert 2**20 < before <= peak_memory(CPU)


def test_the_peak_is_that_of_a_matrix_product(trainer, clock, monkeypatch):
    product = torch.mm

    def mm(one, other, *, out):
        clock.pass_by(0.004)
        assert (one.dtype, other.dtype) == (torch.bfloat16, torch.bfloat16)
        return product(one, other, out=out)

    monkeypatch.setattr("gankit.profiling.flops.time", clock)
    monkeypatch.setattr(torch, "mm", mm)
    engine = trainer(train={"steps": 3, "device": "cpu", "precision": "bf16"}).setup.engine
    assert matrix_flops(engine) == pytest.approx(64 * 64 * (2 * 64) / 0.004)


def test_the_table(cli, tiny_recipe, tiny_plugin_file, tmp_path, scratch, monkeypatch):
    monkeypatch.chdir(tmp_path)
    recipe = tiny_recipe(tmp_path)
    said = cli("bench", recipe, "ema={half_life_images: 100}", "--plugin", tiny_plugin_file, "--steps", 3)
    assert said.code == 0, said.err
    shown = dict(re.findall(r"^ (\w.*?) {2,}([\d.,]+)(?= )", said.out, flags=re.M))
    parts = {name: float(shown.pop(name)) for name in (*PARTS, "all")}
    whole = parts.pop("all")
    assert sum(parts.values()) == pytest.approx(whole, abs=0.005 * (len(parts) + 1))  # as rounded for the table
    assert set(shown) == {"speed", "peak memory", "computed", "achieved"}
    assert float(shown["speed"].replace(",", "")) == pytest.approx(8 * 1000 / whole, rel=0.1)
    assert "tiny on cpu" in said.out
    assert "in fp32, batches of 8" in said.out
    assert re.search(r"^   tiny ", said.out, flags=re.M)
    assert list(scratch.iterdir()) == []
    assert set(tmp_path.iterdir()) == {recipe, scratch}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["loader.batch_size=33"], "dataset: a batch of 33 is larger than the dataset"),
        (["generator.gian=2"], "generator.gian: unknown parameter; did you mean 'gain'?"),
        (["--device", "tpu"], "train.device: should be auto, cpu, mps, cuda or cuda:N; got 'tpu'"),
        (["--steps", 0], "--steps"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_left(
    cli, tiny_recipe, tiny_plugin_file, tmp_path, scratch, words, message
):
    said = cli("bench", tiny_recipe(tmp_path), "--plugin", tiny_plugin_file, *words)
    assert said.code == 2
    assert message in said.err
    assert list(scratch.iterdir()) == []


FAILING = """
import gankit

class Failing:
    def on_step_end(self, run: gankit.Run) -> None:
        if run.state.step == 2:
            raise {error}

@gankit.hookimpl
def register(registries: gankit.Registries) -> None:
    registries.callbacks.add("failing", Failing)
"""


@pytest.mark.parametrize(("error", "code"), [("gankit.GankitError('the disk is full')", 1), ("KeyboardInterrupt", 130)])
def test_a_run_that_fails(cli, tiny_recipe, tiny_plugin_file, tmp_path, scratch, error, code):
    plugin = tmp_path / "failing.py"
    plugin.write_text(FAILING.format(error=error))
    recipe = tiny_recipe(tmp_path, callbacks=[{"name": "failing"}])
    said = cli("bench", recipe, "--plugin", tiny_plugin_file, "--plugin", plugin)
    assert said.code == code
    assert ("the disk is full" if code == 1 else "interrupted") in said.err
    assert list(scratch.iterdir()) == []


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="needs POSIX signals")
def test_being_told_to_end_leaves_nothing(tiny_recipe, tiny_plugin_file, tmp_path, scratch):
    command = [sys.executable, "-c", "from gankit.cli.main import main; main()", "bench", tiny_recipe(tmp_path)]
    words = ["--plugin", tiny_plugin_file, "--steps", "1000000"]
    environment = {**os.environ, "TMPDIR": str(scratch)}
    process = subprocess.Popen([*map(str, [*command, *words])], env=environment, stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 60
        while not list(scratch.glob("*/run/metrics.jsonl")) and not list(scratch.glob("*/run/calls.txt")):
            assert time.monotonic() < deadline, "it never began"
            time.sleep(0.05)
        process.terminate()
        assert process.wait(60) == 128 + signal.SIGTERM
    finally:
        process.kill()
        process.wait()
    assert list(scratch.iterdir()) == []


@pytest.mark.slow
def test_every_benchmark_works(tmp_path):
    command = [
        sys.executable,
        "-m",
        "pytest",
        "benchmarks/",
        "--quick",
        f"--benchmark-json={tmp_path / 'figures.json'}",
    ]
    said = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    assert said.returncode == 0, said.stdout
    figures = json.loads((tmp_path / "figures.json").read_text())["benchmarks"]
    assert all(figure["extra_info"]["device"] == "cpu" for figure in figures)
    assert sum("speedup_interval" in figure["extra_info"] for figure in figures) > 30


@pytest.mark.slow
def test_scaling(tmp_path):
    command = [sys.executable, ROOT / "benchmarks/scaling.py", "--quick", "--out", tmp_path / "scaling.png"]
    said = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    assert said.count("| **") == 6
    assert (tmp_path / "scaling.png").stat().st_size > 10_000
