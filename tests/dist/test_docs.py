"""The scripts of docs/distributed.md, with what a cluster has replaced by the least that does the same."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.dist

DOCS = Path(__file__).parents[2] / "docs" / "distributed.md"
WORLD = Path(__file__).parent / "small_world.py"
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
    """``job(restarts) -> process``: the batch script of a job on one machine with two processes."""
    optimizers = {"generator": {"name": "adam"}, "discriminator": {"name": "slow"}}
    written(
        optimizers=optimizers,
        callbacks=[{"name": "checkpoint", "every": 2}, {"name": "metrics_log", "every": 1}],
        train={"steps": 30, "device": "cpu", "precision": "fp64"},
    )
    programs = {
        "srun": '#!/bin/bash\nexec "$@"\n',
        "scontrol": f'#!/bin/bash\n[ "$1" = show ] && echo 127.0.0.1 || echo "$@" >> {tmp_path}/asked.txt\n',
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


def test_slurm_s_script_stops_in_time_and_goes_on(tmp_path, job):
    assert subprocess.run(["bash", "-n", "job.sh"], cwd=tmp_path, check=False).returncode == 0
    run, asked = tmp_path / "run", tmp_path / "asked.txt"
    first = job(restarts=0)
    deadline = time.monotonic() + SECONDS
    while not list(run.glob("checkpoints/step-*")) and time.monotonic() < deadline:
        time.sleep(0.05)
    first.send_signal(signal.SIGUSR1)
    said, _ = first.communicate(timeout=SECONDS)
    assert first.returncode != 0
    assert "stopped after step" in said
    assert asked.read_text() == "requeue 7\n"
    ended = json.loads((run / "run.json").read_text())["ended"]
    assert ended["reason"] == "SIGUSR1"
    assert ended["step"] < 30
    assert sorted(run.glob("checkpoints/step-*"))[-1].name == f"step-{ended['step']:08d}"
    asked.unlink()
    second = job(restarts=1)
    said, _ = second.communicate(timeout=SECONDS)
    assert second.returncode == 0, said
    assert not asked.exists()
    assert [json.loads(line)["step"] for line in (run / "metrics.jsonl").open()] == list(range(1, 31))


def test_slurm_s_script_queues_no_failure_again(tmp_path, job):
    (tmp_path / "recipe.yaml").write_text("name: nothing")
    failed = job(restarts=0)
    said, _ = failed.communicate(timeout=SECONDS)
    assert failed.returncode != 0
    assert "missing" in said
    assert not (tmp_path / "asked.txt").exists()


def test_ray_s_script_is_python():
    compile(block("python"), "ray", "exec")
