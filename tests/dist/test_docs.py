"""The commands and scripts of docs/distributed.md, with minimal substitutes for the programs of a cluster."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.dist

DOCS = Path(__file__).parents[2] / "docs" / "distributed.md"
WORLD = Path(__file__).parent / "world" / "small_world.py"
SECONDS = 120


def block(language: str) -> str:
    (found,) = re.findall(rf"```{language}\n(.*?)```", DOCS.read_text(), re.DOTALL)
    return found


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def job(tmp_path, written, surroundings):
    """``job(restarts) -> process``: starts the batch script as a job on one machine with two processes."""
    optimizers = {"generator": {"name": "adam"}, "discriminator": {"name": "slow"}}
    written(
        optimizers=optimizers,
        callbacks=[{"name": "checkpoint", "every": 2}, {"name": "metrics_log", "every": 1}],
        train={"steps": 30, "device": "cpu", "precision": "fp64"},
    )
    programs = {
        "srun": '#!/bin/bash\nexec "$@"\n',
        "scontrol": f'#!/bin/bash\n[ "$1" = show ] && echo 127.0.0.1 || echo "$@" >> {tmp_path}/requeued.txt\n',
        "torchrun": f'#!/bin/bash\nexec {sys.executable} -m torch.distributed.run "$@"\n',
    }
    for name, text in programs.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    replaced = {
        "RECIPE": "recipe.yaml",
        "/shared/results": str(tmp_path),
        "--nproc-per-node 8": "--nproc-per-node 2",
        ":29500": f":{free_port()}",
        '"${verb[@]}"': f'"${{verb[@]}}" --plugin {WORLD}',
    }
    script = block("bash")
    for old, new in replaced.items():
        assert old in script, old
        script = script.replace(old, new)
    (tmp_path / "job.sh").write_text(script)

    def start(restarts: int) -> subprocess.Popen[str]:
        slurm = {"SLURM_JOB_NAME": "run", "SLURM_JOB_ID": "7", "SLURM_NNODES": "1", "SLURM_JOB_NODELIST": "one"}
        more = {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}", "SLURM_RESTART_COUNT": str(restarts)}
        return subprocess.Popen(
            ["bash", "job.sh"],
            cwd=tmp_path,
            env=surroundings(**slurm, **more),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    return start


def test_slurm_script_saves_before_the_time_limit_and_resumes(tmp_path, job):
    assert subprocess.run(["bash", "-n", "job.sh"], cwd=tmp_path, check=False).returncode == 0
    run, requeued = tmp_path / "run", tmp_path / "requeued.txt"
    first = job(restarts=0)
    deadline = time.monotonic() + SECONDS
    while not list(run.glob("checkpoints/step-*")) and time.monotonic() < deadline:
        time.sleep(0.05)
    first.send_signal(signal.SIGUSR1)
    output, _ = first.communicate(timeout=SECONDS)
    assert first.returncode != 0
    assert "stopped after step" in output
    assert requeued.read_text() == "requeue 7\n"
    ended = json.loads((run / "run.json").read_text())["ended"]
    assert ended["reason"] == "SIGUSR1"
    assert ended["step"] < 30
    assert sorted(run.glob("checkpoints/step-*"))[-1].name == f"step-{ended['step']:08d}"
    requeued.unlink()
    second = job(restarts=1)
    output, _ = second.communicate(timeout=SECONDS)
    assert second.returncode == 0, output
    assert not requeued.exists()
    assert [json.loads(line)["step"] for line in (run / "metrics.jsonl").open()] == list(range(1, 31))


def test_slurm_script_does_not_requeue_a_failed_job(tmp_path, job):
    (tmp_path / "recipe.yaml").write_text("name: nothing")
    failed = job(restarts=0)
    output, _ = failed.communicate(timeout=SECONDS)
    assert failed.returncode != 0
    assert "missing" in output
    assert not (tmp_path / "requeued.txt").exists()


def test_ray_script_compiles():
    compile(block("python"), "ray", "exec")


def test_torchrun_commands(tmp_path, surroundings):
    """Run with two processes, then resume with four, as documented, with fewer steps and a smaller model."""
    root = DOCS.parents[1]
    shutil.copytree(root / "recipes", tmp_path / "recipes")
    run, resume = re.findall(r"^torchrun (--nproc-per-node \d -m gankit .*)$", DOCS.read_text(), re.MULTILINE)
    small = "dataset.count=64 loader.batch_size=8 generator.width=4 discriminator.width=4 train.device=cpu"
    for words in (f"{run} train.steps=2 {small}", f"{resume} train.steps=3"):
        command = [sys.executable, "-m", "torch.distributed.run", "--master-port", str(free_port()), *words.split()]
        done = subprocess.run(
            command,
            cwd=tmp_path,
            env=surroundings(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=2 * SECONDS,
        )
        assert done.returncode == 0, done.stdout
    ended = json.loads((tmp_path / "results/two/run.json").read_text())
    assert (ended["ended"]["step"], ended["world_size"]) == (3, 4)
