"""The benchmarks run."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


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
    assert "exponent of a step's time" in said
    assert (tmp_path / "scaling.png").stat().st_size > 10_000
