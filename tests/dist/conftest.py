"""Runs of several processes on this machine: they talk over gloo, and share its cores."""

from __future__ import annotations

import importlib.util
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

HERE = Path(__file__).parent
WORLD = HERE / "world" / "small_world.py"
SECONDS = 120
RECIPE: dict[str, Any] = {
    "name": "several",
    "image": {"size": 8},
    "latent": {"name": "normal", "dim": 5},
    "dataset": {"name": "noise"},
    "loader": {"batch_size": 8},
    "generator": {"name": "up"},
    "discriminator": {"name": "down"},
    "loss": "non_saturating",
    "optimizers": {"generator": {"name": "adam", "lr": 1e-3}, "discriminator": {"name": "adam", "lr": 1e-3}},
    "train": {"steps": 6, "device": "cpu", "precision": "fp64"},
}


def changed(**sections: Any) -> dict[str, Any]:
    """The recipe with sections replaced."""
    return RECIPE | sections


def environment(**more: str) -> dict[str, str]:
    own = {name: value for name, value in os.environ.items() if not name.startswith(("TORCHELASTIC", "ACCELERATE"))}
    paths = [str(HERE.parent.parent), str(HERE.parent.parent / "plugins"), own.get("PYTHONPATH", "")]
    return own | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(filter(None, paths))} | more


@pytest.fixture
def surroundings() -> Callable[..., dict[str, str]]:
    """``surroundings(NAME=value, ...)``: the environment of a process, with more in it."""
    return environment


@pytest.fixture(scope="session")
def play() -> Callable[..., dict[str, Any]]:
    """`play.play` in this process, alone."""
    spec = importlib.util.spec_from_file_location("play", HERE / "play.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.play


@pytest.fixture(scope="session")
def play_together(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., list[dict[str, Any]]]:
    """``play_together(processes, jobs) -> results``: each job is a recipe and its steps."""

    def run(processes: int, jobs: list[tuple[dict[str, Any], int]]) -> list[dict[str, Any]]:
        folder = tmp_path_factory.mktemp("together")
        written = [
            {"recipe": recipe, "steps": steps, "file": str(folder / f"{number}.pt")}
            for number, (recipe, steps) in enumerate(jobs)
        ]
        (folder / "jobs.json").write_text(json.dumps(written))
        done = start(processes, [str(HERE / "play.py"), str(folder / "jobs.json")], folder)
        for process in done:
            assert process.returncode == 0, process.stderr
        return [torch.load(job["file"], weights_only=True) for job in written]

    return run


def start(processes: int, words: list[str], folder: Path, **more: str) -> list[subprocess.CompletedProcess[str]]:
    """``python WORDS`` as torchrun starts it, which itself takes seconds to start; gives each process, by rank."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    shared = {"WORLD_SIZE": str(processes), "LOCAL_WORLD_SIZE": str(processes), "MASTER_ADDR": "127.0.0.1"}
    shared |= {"MASTER_PORT": str(port)} | more
    children = [
        subprocess.Popen(
            [sys.executable, *words],
            cwd=folder,
            env=environment(**shared, RANK=str(rank), LOCAL_RANK=str(rank)),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(processes)
    ]
    done = []
    try:
        for child in children:
            out, err = child.communicate(timeout=SECONDS)
            done.append(subprocess.CompletedProcess(words, child.returncode, out, err))
    finally:
        for child in children:
            if child.poll() is None:
                child.kill()
    return done


@pytest.fixture
def gankit_together(tmp_path: Path) -> Callable[..., list[subprocess.CompletedProcess[str]]]:
    """``gankit_together(processes, verb, ...)``: the command line in each of them, in the test's folder."""

    def run(processes: int, *words: object, **more: str) -> list[subprocess.CompletedProcess[str]]:
        return start(processes, ["-m", "gankit", *map(str, words), "--plugin", str(WORLD)], tmp_path, **more)

    return run


@pytest.fixture
def written(tmp_path: Path) -> Callable[..., Path]:
    """``written(**sections) -> path``: the recipe with sections replaced, in a file."""

    def write(**sections: Any) -> Path:
        path = tmp_path / "recipe.yaml"
        path.write_text(yaml.safe_dump(changed(**sections)))
        return path

    return write


@pytest.fixture
def torchrun(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """``torchrun(...)``: two processes on this machine, by the launcher itself."""

    def run(*words: object, **more: str) -> subprocess.CompletedProcess[str]:
        launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
        return subprocess.run(
            [*launcher, *map(str, words), "--plugin", str(WORLD)],
            cwd=tmp_path,
            env=environment(**more),
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )

    return run
