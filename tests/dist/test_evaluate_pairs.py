"""Pairs of images to evaluate come from all processes: those that one process would make."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.dist

PAIRED = Path(__file__).parent.parent / "paired_plugin.py"
METRICS = ["psnr", "perceptual_distance", "order"]
EVALUATE = {"name": "evaluate", "every": 2, "metrics": METRICS, "features": "watched_pixels", "keep_best": False}


def scores(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "evaluations.jsonl").read_text().splitlines()]


def test_scores_are_those_of_one_process(tmp_path, gankit_together, written):
    recipe = written(
        dataset={"name": "split_pairs", "held_out_count": 200},  # four batches
        generator="enlarge",
        discriminator="compare",
        callbacks=[EVALUATE | {"samples": 180}, {"name": "checkpoint", "every": 2, "keep": None}],
        train={"steps": 4, "device": "cpu", "precision": "fp64"},
    )
    for done in gankit_together(2, "run", recipe, "--out", "run", "--plugin", PAIRED):
        assert done.returncode == 0, done.stderr
    first, second = scores(tmp_path / "run")
    assert first["scores"] != second["scores"]
    assert (second["samples"], second["real"]["count"], second["real"]["split"]) == (180, 180, "held out")
    words = ["--metrics", ",".join(METRICS), "--features", "watched_pixels", "--samples", 180, "--device", "cpu"]
    (alone,) = gankit_together(1, "eval", "run", *words, "--plugin", PAIRED)
    assert alone.returncode == 0, alone.stderr
    again = scores(tmp_path / "run")[-1]
    assert again["scores"] == second["scores"]
    assert again["protocol"] == second["protocol"]
