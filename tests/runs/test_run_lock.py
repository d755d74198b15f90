"""One process trains a run at a time, and a process that died leaves nothing in the way."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import gankit
from gankit.runs.run_lock import RunLock, lock_state

fcntl = pytest.importorskip("fcntl", reason="POSIX only")


def test_a_lock_is_held_until_it_is_released(tmp_path):
    assert not lock_state(tmp_path).known
    lock = RunLock(tmp_path)
    assert lock_state(tmp_path).holder == f"process {os.getpid()} on {os.uname().nodename}"
    with pytest.raises(gankit.GankitError, match=rf"is being trained by process {os.getpid()} on .*; stop it first"):
        RunLock(tmp_path)
    lock.release()
    state = lock_state(tmp_path)
    assert (state.holder, state.known) == (None, True)
    RunLock(tmp_path).release()


def test_a_forked_process_does_not_keep_it(tmp_path):
    lock = RunLock(tmp_path)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:  # pragma: no cover
        os.read(reader, 1)
        os._exit(0)
    try:
        lock.release()
        RunLock(tmp_path).release()
    finally:
        os.write(writer, b"x")
        os.waitpid(child, 0)


def test_a_look_at_the_lock_does_not_disturb_a_start(tmp_path, monkeypatch):
    RunLock(tmp_path).release()
    looker = os.open(tmp_path / ".lock", os.O_RDONLY)
    fcntl.flock(looker, fcntl.LOCK_SH)
    pauses = []

    def pause(seconds):
        pauses.append(seconds)
        if len(pauses) == 3:  # the look is over
            os.close(looker)

    monkeypatch.setattr(time, "sleep", pause)
    RunLock(tmp_path).release()
    assert len(pauses) == 3


def test_a_file_system_without_locks_gives_a_warning(tmp_path, monkeypatch, tiny_runtime, tiny_recipe, events):
    def refuse(descriptor, operation):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)
    directory = tmp_path / "run"
    tiny_runtime.assemble(tiny_runtime.load_checked(tiny_recipe(tmp_path)), directory).fit()
    [event] = events(directory, "not_locked")
    assert "cannot be locked (No locks available): do not train it in two processes" in event["message"]
    assert not lock_state(directory).known


class TestRuns:
    @pytest.fixture
    def begun(self, tiny_runtime, tiny_recipe, tmp_path):
        """A trainer after its first step of three."""
        trainer = tiny_runtime.assemble(tiny_runtime.load_checked(tiny_recipe(tmp_path)), tmp_path / "run")
        steps = iter(trainer)
        next(steps)
        return steps

    def test_a_run_that_is_training_is_not_resumed(self, begun, tiny_runtime, tmp_path):
        with pytest.raises(gankit.GankitError, match=f"run: is being trained by process {os.getpid()} on"):
            tiny_runtime.resume(tmp_path / "run")
        begun.close()
        tiny_runtime.resume(tmp_path / "run").fit()
        assert lock_state(tmp_path / "run").holder is None

    def test_a_run_that_failed_is_free(self, begun, tiny_runtime, tmp_path):
        with pytest.raises(RuntimeError, match="no"):
            begun.throw(RuntimeError("no"))
        assert lock_state(tmp_path / "run").holder is None

    def test_a_run_that_was_continued_elsewhere_is_opened_again(self, begun, tiny_runtime, tmp_path):
        begun.close()
        late = tiny_runtime.resume(tmp_path / "run")
        tiny_runtime.resume(tmp_path / "run").fit()
        before = (tmp_path / "run/events.jsonl").read_bytes()
        with pytest.raises(gankit.GankitError, match="has been continued since it was opened; resume it again"):
            late.fit()
        assert (tmp_path / "run/events.jsonl").read_bytes() == before

    def test_reports_know_whether_it_runs(self, begun, cli, tmp_path):
        said = cli("doctor", tmp_path / "run").out
        assert f"running at step 0, after 0 images: process {os.getpid()} on" in said
        assert "To continue" not in said
        begun.close()
        assert "stopped at step 1" in cli("doctor", tmp_path / "run").out


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="looks at processes in /proc")
def test_a_killed_run_resumes_at_once_although_its_workers_live(tiny_recipe, tiny_plugin_file, tmp_path):
    recipe = tiny_recipe(
        tmp_path,
        loader={"batch_size": 8, "cache": "none", "workers": 2},
        callbacks=[{"name": "checkpoint", "every": 1}],
        train={"steps": 100_000, "device": "cpu", "precision": "fp32"},
    )
    words = [sys.executable, "-m", "gankit", "run", str(recipe), "--plugin", str(tiny_plugin_file), "--out", "run"]
    with subprocess.Popen(words, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        try:
            for _ in range(1200):
                if any((tmp_path / "run/checkpoints").glob("step-*")):
                    break
                time.sleep(0.05)
            assert lock_state(tmp_path / "run").holder == f"process {process.pid} on {os.uname().nodename}"
            workers = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
            assert len(workers) >= 2
        finally:
            process.send_signal(signal.SIGKILL)
        process.wait()
        alive = [worker for worker in workers if Path("/proc", worker).exists()]
        assert lock_state(tmp_path / "run").holder is None
        assert alive, "the workers ended too early to show anything"
