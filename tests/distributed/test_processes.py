"""Joining other processes: what is needed for it, and what it costs a process that is alone."""

from __future__ import annotations

import json
import sys

import pytest
import torch

import gankit
from gankit.distributed.join import join_processes
from gankit.distributed.processes import Processes
from gankit.distributed.rank_failures import LostProcessError, detect_lost_ranks
from gankit.training.loop import TIME_LIMIT

TORCHRUN = {"RANK": "1", "LOCAL_RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"}


@pytest.fixture
def second_of_two(monkeypatch):
    """This process is to be the second of two, which none has started."""
    for name, value in TORCHRUN.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize("size", [None, "", "1"])
def test_alone(monkeypatch, size):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    if size is not None:
        monkeypatch.setenv("WORLD_SIZE", size)
    processes = join_processes("auto")
    assert type(processes) is Processes
    assert (processes.rank, processes.world_size) == (0, 1)


@pytest.mark.usefixtures("second_of_two")
def test_without_accelerate(monkeypatch):
    monkeypatch.delitem(sys.modules, "gankit.distributed.process_group", raising=False)
    monkeypatch.setitem(sys.modules, "accelerate", None)
    with pytest.raises(gankit.GankitError, match=r"need Hugging Face Accelerate: pip install 'gankit\[distributed\]'"):
        join_processes("cpu")


@pytest.mark.usefixtures("second_of_two")
def test_without_torchrun(monkeypatch):
    pytest.importorskip("accelerate")
    monkeypatch.delenv("RANK")
    monkeypatch.delenv("MASTER_PORT")
    with pytest.raises(gankit.GankitError, match="WORLD_SIZE is 2, but these variables of torchrun are not set: RANK, MASTER_PORT;"):
        join_processes("cpu")


@pytest.mark.usefixtures("second_of_two")
@pytest.mark.parametrize("device", ["cuda:1", "mps"])
def test_a_device_for_all_of_them(device):
    pytest.importorskip("accelerate")
    with pytest.raises(gankit.GankitError, match=f"'{device}' is a single device, but the run has 2 processes"):
        join_processes(device)


@pytest.mark.usefixtures("second_of_two")
def test_too_few_devices(monkeypatch):
    pytest.importorskip("accelerate")
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    with pytest.raises(gankit.GankitError, match=r"has 1 CUDA devices.* its process 1 .* --nproc-per-node 1"):
        join_processes("cuda")


def test_a_process_alone_imports_nothing_of_it(tiny_runtime, tiny_recipe, tmp_path, monkeypatch):
    """Nor do imports of gankit at the top of a file, as the test of layers shows."""
    for name in ("accelerate", "gankit.distributed.process_group"):
        monkeypatch.setitem(sys.modules, name, None)  # its import fails
    tiny_runtime.assemble(tiny_runtime.load_checked(tiny_recipe(tmp_path)), tmp_path / "run").fit()
    assert (tmp_path / "run/checkpoints/step-00000003").is_dir()


def test_torchrun_s_restart_needs_to_know_the_directory(cli, monkeypatch, tiny_recipe, tiny_plugin_file, tmp_path):
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")
    said = cli("run", tiny_recipe(tmp_path), "--plugin", tiny_plugin_file)
    assert said.code == 2
    assert "without --out DIR its directory is unknown" in said.err


def test_torchrun_s_restart_goes_on(cli, monkeypatch, tiny_recipe, tiny_plugin_file, tmp_path):
    words = ("run", tiny_recipe(tmp_path), "--plugin", tiny_plugin_file, "--out", tmp_path / "run")
    assert cli(*words).code == 0
    assert "exists already" in cli(*words).err
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")
    assert "is finished: 3 steps" in cli(*words).out


@pytest.mark.parametrize(("reason", "code"), [("SIGTERM", 143), ("SIGUSR1", 138), (TIME_LIMIT, 75)])
@pytest.mark.parametrize("verb", ["run", "resume"])
def test_torchrun_starts_no_run_again_that_was_told_to_stop(
    cli, monkeypatch, tiny_recipe, tiny_plugin_file, tmp_path, verb, reason, code
):
    """To torchrun it has failed. Whoever starts it anew means it."""
    run = tmp_path / "run"
    start = ("run", tiny_recipe(tmp_path), "--plugin", tiny_plugin_file, "--out", run)
    assert cli(*start).code == 0
    record = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(record | {"ended": {"reason": reason, "launch": "mine"}}))
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "mine")
    said = cli(*(start if verb == "run" else ("resume", run, "--plugin", tiny_plugin_file)))
    assert said.code == code
    assert f"was stopped ({reason}) and is not restarted; to continue it, use gankit resume" in said.out
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "0")
    assert cli("resume", run, "--plugin", tiny_plugin_file).code == 0


def test_torchrun_starts_a_run_again_that_an_earlier_start_was_told_to_stop(
    cli, monkeypatch, tiny_recipe, tiny_plugin_file, tmp_path
):
    """This start has failed before it began: it has not written how it ended."""
    run = tmp_path / "run"
    assert cli("run", tiny_recipe(tmp_path), "--plugin", tiny_plugin_file, "--out", run).code == 0
    record = json.loads((run / "run.json").read_text())
    ended = record["ended"] | {"reason": "SIGUSR1", "launch": "yesterday's"}
    (run / "run.json").write_text(json.dumps(record | {"ended": ended}))
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "today's")
    said = cli("resume", run, "--plugin", tiny_plugin_file)
    assert (said.code, "is finished: 3 steps" in said.out) == (0, True), said


def test_bench_measures_one_process(cli, monkeypatch, tiny_recipe, tiny_plugin_file, tmp_path):
    monkeypatch.setenv("WORLD_SIZE", "2")
    said = cli("bench", tiny_recipe(tmp_path), "--plugin", tiny_plugin_file)
    assert said.code == 2
    assert "gankit bench measures a single process; start it without torchrun" in said.err


@pytest.mark.parametrize("kind", [torch.OutOfMemoryError, torch.AcceleratorError])
def test_an_error_of_the_ranks_own_device_is_reported_as_such(kind: type[Exception]) -> None:
    with pytest.raises(kind, match="of this device"), detect_lost_ranks():
        raise kind("an error of this device")


def test_a_lost_connection_is_reported_as_a_lost_process() -> None:
    with pytest.raises(LostProcessError, match="died or cannot be reached"), detect_lost_ranks():
        raise RuntimeError("Connection closed by peer")
