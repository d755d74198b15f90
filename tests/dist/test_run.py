"""Runs of several processes by the command line: who writes, who reads, and how they end."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from gankit.runs.checkpoint import Checkpoint
from gankit.runs.file_names import checkpoints

pytestmark = pytest.mark.dist

SAVES = [{"name": "checkpoint", "every": 2, "keep": None}, {"name": "metrics_log", "every": 1}, {"name": "tells"}]
DOOMED = {"generator": {"name": "adam"}, "discriminator": {"name": "doomed"}}


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def weights(run: Path) -> dict[str, Any]:
    newest = checkpoints(run)[-1]
    return {name: value for side in ("generator", "discriminator") for name, value in load_file(newest / f"{side}.safetensors").items()}  # fmt: skip


def assert_same_weights(one: Path, other: Path) -> None:
    expected = weights(other)
    for name, value in weights(one).items():
        assert (value - expected[name]).abs().max() < 1e-9, name


def test_the_first_process_alone_writes_and_talks_and_every_image_is_read_once(tmp_path, gankit_together, written):
    recipe = written(
        loader={"batch_size": 8, "cache": "none", "workers": 0},
        callbacks=[*SAVES, {"name": "loss_curves"}],
        train={"epochs": 1, "device": "cpu", "precision": "fp64"},
        report=False,  # it reads images again, to look for the nearest ones
    )
    first, second = gankit_together(2, "run", recipe, "--out", "run", SEEN=str(tmp_path))
    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    assert (second.stdout, second.stderr) == ("", "")
    assert "done: step 6, 48 images" in first.stdout
    run = tmp_path / "run"
    assert sorted(path.name for path in run.iterdir()) == [
        ".lock", "calls.txt", "checkpoints", "events.jsonl", "loss_curves.png", "metrics.jsonl", "recipe.yaml", "run.json"
    ]  # fmt: skip
    calls = (run / "calls.txt").read_text().splitlines()
    assert calls == ["0 start 0", *(f"0 step {n}" for n in range(1, 7)), "0 end 6"]
    assert [line["step"] for line in lines(run / "metrics.jsonl")] == [1, 2, 3, 4, 5, 6]
    assert json.loads((run / "run.json").read_text())["world_size"] == 2
    seen = (tmp_path / "seen.txt").read_text().splitlines()
    assert [line for line in seen if "prepared" in line] == ["0 prepared", "1 prepared"]
    reads = Counter(line.partition(" read ")[2] for line in seen if " read " in line)
    assert reads == Counter({str(index): 1 for index in range(48)})
    assert {line.split()[0] for line in seen if " read " in line} == {"0", "1"}


def test_a_checkpoint_of_two_processes_resumes_on_one_and_on_four(tmp_path, gankit_together, written):
    recipe = written(callbacks=SAVES, regularizers=[{"name": "r1", "interval": 2}], ema={"half_life_images": 50})
    for run in ("one", "four"):
        for done in gankit_together(2, "run", recipe, "train.steps=3", "--out", run):
            assert done.returncode == 0, done.stderr
    for processes, run in ((1, "one"), (4, "four")):
        for done in gankit_together(processes, "resume", run, "train.steps=6"):
            assert done.returncode == 0, done.stderr
        assert [line["step"] for line in lines(tmp_path / run / "metrics.jsonl")] == [1, 2, 3, 4, 5, 6]
    (alone,) = gankit_together(1, "run", recipe, "--out", "alone")
    assert alone.returncode == 0, alone.stderr
    assert_same_weights(tmp_path / "one", tmp_path / "alone")
    assert_same_weights(tmp_path / "four", tmp_path / "alone")


@pytest.mark.parametrize("how", ["kill", "error"])
def test_a_process_that_dies_ends_all(tmp_path, gankit_together, written, how):
    recipe = written(callbacks=SAVES, optimizers=DOOMED)
    first, second = gankit_together(2, "run", recipe, "--out", "run", DIE=f"1:4:{how}")
    assert first.returncode == 1
    assert "error: another process of this run died or cannot be reached" in first.stderr
    assert "torchrun --nproc-per-node 2 -m gankit resume run --plugin" in first.stdout
    if how == "kill":
        assert second.returncode == -9
    else:
        assert second.returncode == 1
        assert "process 1: error: the run failed" in second.stderr
        assert "the device fell off the bus" in second.stderr
    (newest,) = checkpoints(tmp_path / "run")
    assert newest.name == "step-00000002"
    Checkpoint.open(newest)
    assert "another process" in lines(tmp_path / "run" / "events.jsonl")[-1]["error"]


def test_the_first_process_dies(tmp_path, gankit_together, written):
    recipe = written(callbacks=SAVES, optimizers=DOOMED)
    first, second = gankit_together(2, "run", recipe, "--out", "run", DIE="0:4:kill")
    assert (first.returncode, second.returncode) == (-9, 1)
    assert second.stderr.startswith("process 1: error: another process of this run died")
    assert "if it printed nothing it was killed" in second.stderr
    assert "To continue: torchrun --nproc-per-node 2 -m gankit resume run --plugin" in second.stderr
    assert "/third_party/" not in second.stderr
    Checkpoint.open(checkpoints(tmp_path / "run")[-1])


@pytest.mark.parametrize("rank", [0, 1])
def test_a_signal_to_one_process_ends_all_after_the_same_step(tmp_path, gankit_together, written, rank):
    recipe = written(callbacks=SAVES, optimizers=DOOMED)
    both = gankit_together(2, "run", recipe, "--out", "run", DIE=f"{rank}:3:TERM")
    assert [done.returncode for done in both] == [143, 143], both[0].stderr + both[1].stderr
    assert checkpoints(tmp_path / "run")[-1].name == "step-00000003"
    assert "stopped after step 3: SIGTERM" in both[0].stdout
    assert json.loads((tmp_path / "run" / "run.json").read_text())["ended"]["reason"] == "SIGTERM"


def test_torchrun_s_restart_goes_on(tmp_path, gankit_together, written, torchrun):
    recipe = written(callbacks=SAVES, optimizers=DOOMED)
    done = torchrun("--max-restarts", 1, "-m", "gankit", "run", recipe, "--out", "run", DIE="1:4:kill")
    assert done.returncode == 0, done.stderr
    assert [line["step"] for line in lines(tmp_path / "run" / "metrics.jsonl")] == [1, 2, 3, 4, 5, 6]
    kinds = [line["event"] for line in lines(tmp_path / "run" / "events.jsonl")]
    assert kinds == ["started", "resumed", "ended"]
    (alone,) = gankit_together(1, "run", recipe, "--out", "alone")
    assert alone.returncode == 0, alone.stderr
    assert_same_weights(tmp_path / "run", tmp_path / "alone")


def test_a_callback_that_fails_ends_all(tmp_path, gankit_together, written):
    recipe = written(callbacks=[{"name": "tells", "fail_at": 2}])
    first, second = gankit_together(2, "run", recipe, "--out", "run")
    assert (first.returncode, second.returncode) == (1, 1)
    assert "no more pictures" in first.stderr
    assert (second.stdout, second.stderr) == ("", "")


WHITE = {
    "dataset": {"name": "noise", "white": 21},
    "discriminator": {"name": "down", "fuse": True},
    "train": {"steps": 12, "device": "cpu", "precision": "fp64"},
}


def findings(run: Path) -> list[dict[str, Any]]:
    found = [line for line in lines(run / "events.jsonl") if line["event"] in ("finding", "rolled_back")]
    # the message counts the values of one process, whose share the images are
    return [{name: value for name, value in line.items() if name not in ("at", "message")} for line in found]


def test_what_is_not_finite_is_found_by_all_together(tmp_path, gankit_together, written):
    """The image that breaks D is in one process's share; the finding is that of one process."""
    recipe = written(**WHITE, callbacks=[*SAVES[:2], {"name": "tells", "go_on": False}])
    first, second = gankit_together(2, "run", recipe, "--out", "run")
    (alone,) = gankit_together(1, "run", recipe, "--out", "alone")
    assert (first.returncode, second.returncode, alone.returncode) == (1, 1, 1)
    assert "the output of discriminator fuse (Fuse)" in first.stderr
    assert second.stderr == ""
    (found,), (expected,) = findings(tmp_path / "run"), findings(tmp_path / "alone")
    assert 21 in found["figures"]["indices"]
    assert len(found["figures"]["indices"]) == 8
    assert found == expected
    assert (tmp_path / "run" / found["figures"]["files"][0]).is_file()


def test_rolled_back_all_go_on_together(tmp_path, gankit_together, written):
    recipe = written(**WHITE, callbacks=[{"name": "checkpoint", "every": 3, "keep": None}, {"name": "tells"}])
    for processes, run in ((2, "run"), (1, "alone")):
        for done in gankit_together(processes, "run", recipe, "--out", run):
            assert done.returncode == 0, done.stderr
    assert findings(tmp_path / "run") == findings(tmp_path / "alone")
    assert any(line["event"] == "rolled_back" for line in findings(tmp_path / "run"))
    assert_same_weights(tmp_path / "run", tmp_path / "alone")


def test_what_broke_outside_of_the_steps_is_told_once(tmp_path, gankit_together, written):
    optimizers = DOOMED | {"discriminator": {"name": "doomed", "nan_at": 3}}
    recipe = written(callbacks=[*SAVES[:2], {"name": "tells", "go_on": False}], optimizers=optimizers)
    first, second = gankit_together(2, "run", recipe, "--out", "run")
    assert (first.returncode, second.returncode) == (1, 1)
    assert "stayed finite" in " ".join(first.stderr.split())
    assert second.stderr == ""
    assert checkpoints(tmp_path / "run")[-1].name == "step-00000002"


def test_a_batch_that_cannot_be_shared_is_refused(gankit_together, written):
    first, second = gankit_together(2, "run", written(loader={"batch_size": 7}))
    assert (first.returncode, second.returncode) == (2, 2)
    assert "loader.batch_size: 7 images cannot be divided equally among 2 processes; use 6 or 8" in first.stderr
    assert second.stderr == ""


@pytest.mark.parametrize("rank", [0, 1])
def test_data_that_cannot_be_prepared_is_told_once(gankit_together, written, rank):
    both = gankit_together(2, "run", written(dataset={"name": "noise", "broken_in": rank}))
    assert [done.returncode for done in both] == [2, 2]
    assert both[1].stderr == ""
    assert "the archive is damaged" in both[0].stderr
    assert ("process 1 failed: DataError" in both[0].stderr) == (rank == 1)


def test_a_directory_that_is_taken_is_told_once(tmp_path, gankit_together, written):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "notes.txt").write_text("mine")
    both = gankit_together(2, "run", written(), "--out", "run")
    assert [done.returncode for done in both] == [2, 2]
    assert "run: exists already and nothing is overwritten" in both[0].stderr
