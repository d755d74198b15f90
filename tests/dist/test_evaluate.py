"""Images to evaluate are made by all processes: those that one would make."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.dist

SAMPLES = 1100  # 18 batches, of which the last is smaller
EVALUATE = {"name": "evaluate", "every": 2, "metrics": ["order"], "features": "watched_pixels", "keep_best": False}
SAVES = {"name": "checkpoint", "every": 2, "keep": None}


def scores(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "evaluations.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("processes", [2, 4])
def test_scores_are_those_of_one_process(tmp_path, gankit_together, written, processes):
    """Bit for bit: a run of several processes scores itself as one process scores its checkpoints."""
    recipe = written(
        callbacks=[EVALUATE | {"samples": SAMPLES}, SAVES],
        conditional=True,
        ema={"half_life_images": 20},
        train={"steps": 4, "device": "cpu", "precision": "fp64"},
    )
    seen = {"SEEN": str(tmp_path)}
    for done in gankit_together(processes, "run", recipe, "--out", "run", **seen):
        assert done.returncode == 0, done.stderr
    looks = Counter((tmp_path / "seen.txt").read_text().splitlines())
    # real images aside, which the first one looks at
    others = [sum(looks[f"{rank} looked at {n}"] for n in (64, SAMPLES % 64)) for rank in range(1, processes)]
    assert others == [2 * len(range(rank, 18, processes)) for rank in range(1, processes)]
    own = scores(tmp_path / "run")
    assert [record["evaluated"]["step"] for record in own] == [2, 4]
    words = ["--metrics", "order", "--features", "watched_pixels", "--samples", SAMPLES, "--device", "cpu"]
    (alone,) = gankit_together(1, "eval", "run", *words)
    assert alone.returncode == 0, alone.stderr
    assert scores(tmp_path / "run")[-1]["scores"] == own[-1]["scores"]
    assert own[0]["scores"] != own[1]["scores"]


def test_fewer_batches_than_processes(tmp_path, gankit_together, written):
    recipe = written(callbacks=[EVALUATE | {"samples": 100}], train={"steps": 2, "device": "cpu"})
    for done in gankit_together(4, "run", recipe, "--out", "run"):
        assert done.returncode == 0, done.stderr
    assert [record["samples"] for record in scores(tmp_path / "run")] == [100]


@pytest.mark.parametrize("rank", [0, 1])
def test_a_process_that_cannot_ends_all(gankit_together, written, rank):
    params = {"watched_pixels": {"broken_in": rank}}
    recipe = written(callbacks=[EVALUATE | {"samples": 100, "params": params}])
    first, second = gankit_together(2, "run", recipe, "--out", "run")
    assert [first.returncode, second.returncode] == [2 if rank == 0 else 1, 1], first.stderr + second.stderr
    assert "features 'watched_pixels': sees nothing" in first.stderr
    assert ("process 1 failed: GankitError" in first.stderr) == (rank == 1)
    assert second.stderr == ""
