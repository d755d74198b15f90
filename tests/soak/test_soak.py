"""Half an hour of training, stopping, killing and resuming at random: nothing is lost, and memory stays flat.

GANKIT_SOAK_MINUTES=30 python -m pytest -m slow tests/soak -s
"""

from __future__ import annotations

import gc
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
import yaml

import gankit
from gankit.runs.checkpoint import Checkpoint
from gankit.runs.file_names import checkpoints

CRASHES = Path(__file__).parents[1] / "crashes"
MINUTES = float(os.environ.get("GANKIT_SOAK_MINUTES", "30"))
STEPS = 300
LONG = 4000  # of a run that nothing disturbs
MOST_GROWTH = 8 * 2**20  # bytes, once what is used for the first time is there; and from launch to launch
STOPS = {signal.SIGTERM: 143, signal.SIGINT: 130, signal.SIGUSR1: 138, signal.SIGKILL: -9}
RECIPE = {
    "name": "soak",
    "image": {"size": 16},
    "conditional": True,
    "latent": {"name": "normal", "dim": 16},
    "dataset": {"name": "shapes", "count": 500, "size": 16},
    "loader": {"batch_size": 16, "flip": True},
    "generator": {"name": "dcgan", "width": 8},
    "discriminator": {"name": "dcgan", "width": 8},
    "loss": "non_saturating",
    "regularizers": [{"name": "r1", "gamma": 0.1, "interval": 4}],
    "augmentations": ["strengthened", "diffaugment"],
    "optimizers": {"generator": {"name": "adam", "lr": 2e-4}, "discriminator": {"name": "adam", "lr": 2e-4}},
    "train": {"steps": STEPS, "device": "cpu"},
    "ema": {"half_life_images": 500},
    "callbacks": [
        {"name": "metrics_log", "every": 1},
        {"name": "sample_images", "every": 50, "count": 16},
        "counting",
        {"name": "checkpoint", "every": 20, "keep": 2},
    ],
}


@pytest.fixture
def ask():
    """Starts runs, in processes that may be killed."""
    line = [sys.executable, str(CRASHES.parent / "run_server.py")]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    server = subprocess.Popen(line, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def start(**wanted):
        server.stdin.write(json.dumps(wanted) + "\n")
        server.stdin.flush()
        return json.loads(server.stdout.readline())

    yield start
    server.stdin.close()
    server.wait(60)


def left_by(directory):
    """Weights and metrics, without clocks; every checkpoint that is there is whole."""
    for path in checkpoints(directory):
        Checkpoint.open(path).load_state()
    newest = Checkpoint.open(checkpoints(directory)[-1])
    weights = {name: hash for name, hash in newest.manifest["files"].items() if name.endswith(".safetensors")}
    clocks = ("seconds", "images_per_second", "peak_memory_mib")
    lines = gankit.JsonLines.read(directory / "metrics.jsonl")
    counted = newest.load_state()["callbacks"]["counting"]
    return newest.path.name, weights, counted, [{k: v for k, v in line.items() if k not in clocks} for line in lines]


def growth(memory):
    """Bytes: the median of a launch's last quarter over that of its second."""
    quarter = len(memory) // 4
    return statistics.median(memory[-quarter:]) - statistics.median(memory[quarter : 2 * quarter]) if quarter else 0


@pytest.mark.slow
def test_training_killing_and_resuming_at_random(ask, tmp_path):
    (tmp_path / "soak.yaml").write_text(yaml.safe_dump(RECIPE))
    plugin, log = ["--plugin", str(CRASHES / "pieces.py")], str(tmp_path / "log.txt")
    chance, until = random.Random(), time.monotonic() + 60 * MINUTES

    def launch(*words, **how):
        return ask(argv=[*words, *plugin], cwd=str(tmp_path), log=log, **how)

    first = launch("run", "soak.yaml", "--out", "whole")
    assert first["status"] == 0, Path(log).read_text()
    whole, seconds = left_by(tmp_path / "whole"), first["seconds"]
    assert [line["step"] for line in whole[3]] == [*range(1, STEPS + 1)]

    ends, played, lost, peaks, runs = Counter(), 0, 0, [max(first["memory"])], 0
    while time.monotonic() < until:
        runs += 1
        directory = tmp_path / f"run{runs}"
        words = ["run", "soak.yaml", "--out", directory.name]
        step = 0
        while True:
            how = {"kill_after": chance.uniform(0, seconds), "signal": int(chance.choice(list(STOPS)))}
            limited = chance.random() < 0.2
            limit = f"train.max_hours={chance.uniform(0.1, seconds) / 3600}" if limited else "train.max_hours=null"
            ended = launch(*words, limit, **({} if limited else how))
            expected = (
                {0, 75} if limited else {0, STOPS[how["signal"]], -how["signal"]}
            )  # the last, where it was done already
            assert ended["status"] in expected, Path(log).read_text()[-2000:]
            ends[ended["status"]] += 1
            peaks += [max(ended["memory"], default=0)]
            reached = sum(1 for _ in gankit.JsonLines.read(directory / "metrics.jsonl"))
            kept = int(checkpoints(directory)[-1].name[5:]) if checkpoints(directory) else 0
            played += reached - step
            lost += reached - kept
            if ended["status"] in (75, 130, 138, 143):
                assert reached == kept, "a run that was stopped lost steps"
            step = kept
            if ended["status"] == 0:
                break
            words = ["resume", directory.name]
            if not (directory / "recipe.yaml").stat().st_size:
                (directory / "recipe.yaml").unlink()
                words = ["run", "soak.yaml", "--out", directory.name]
        assert left_by(directory) == whole
        for path in sorted(directory.rglob("*"), reverse=True):
            path.unlink() if path.is_file() else path.rmdir()

    undisturbed = launch("run", "soak.yaml", f"train.steps={LONG}", "--out", "long")
    assert undisturbed["status"] == 0, Path(log).read_text()
    grown = growth(undisturbed["memory"])
    median = statistics.median
    half = max(1, len(peaks) // 2)
    between = (median(peaks[half:]) - median(peaks[:half])) if len(peaks) > 1 else 0.0
    print(
        f"\n{MINUTES:g} minutes: {runs} runs of {STEPS} steps, {sum(ends.values())} launches of up to {seconds:.1f} s"
    )
    print("ends: " + ", ".join(f"{count} with {code}" for code, count in sorted(ends.items())))
    print(f"{played:,} steps played, {lost:,} of them again after kills; every run ended in the same bits")
    print(
        f"memory at most {max(peaks) / 2**20:,.0f} MiB; from the first half of the launches to the second "
        f"{between / 2**20:+.2f} MiB; within a launch of {LONG:,} steps {grown / 2**20:+.2f} MiB"
    )
    assert grown < MOST_GROWTH
    assert abs(between) < MOST_GROWTH


@pytest.mark.slow
def test_a_process_that_resumes_again_and_again_stays_as_large(tmp_path):
    """Trainers made, left early and made again in one process, for a tenth of the time."""
    runtime, directory = gankit.Runtime([str(CRASHES / "pieces.py")]), tmp_path / "run"
    recipe = gankit.Recipe.parse({**RECIPE, "train": {"steps": 10**6, "device": "cpu"}})
    until, sizes, files, trainers = time.monotonic() + 6 * MINUTES, [], [], 0
    while time.monotonic() < until:
        trainer = runtime.resume(directory) if directory.exists() else runtime.assemble(recipe, directory)
        trainers += 1
        for number, _ in enumerate(trainer):
            if number == 20:
                break
        gc.collect()  # a trainer that its steps refer to is a cycle
        sizes.append(int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE"))
        files.append(len(list(Path("/proc/self/fd").iterdir())))
    steps = [line["step"] for line in gankit.JsonLines.read(directory / "metrics.jsonl")]
    assert steps == [*range(1, len(steps) + 1)]
    print(
        f"\n{trainers} trainers in one process, {len(steps):,} steps: {growth(sizes) / 2**20:+.2f} MiB, of {sizes[-1] / 2**20:,.0f}"
    )
    assert growth(sizes) < MOST_GROWTH
    assert files[-1] <= files[len(files) // 4]
