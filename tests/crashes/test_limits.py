"""Signals, a time limit, memory that gives out: a checkpoint, an exit code, and a way to go on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

import gankit
from gankit.device.out_of_memory import is_out_of_memory

CPU_ALLOCATOR = (
    "[enforce fail at alloc_cpu.cpp:124] err == 0. DefaultCPUAllocator: can't allocate memory: "
    "you tried to allocate 1099511627776 bytes. Error code 12 (Cannot allocate memory)"
)


def go_on(cli, tiny_plugin_file, *words):
    Path("off").touch()
    said = cli("resume", "run", "--plugin", tiny_plugin_file, "--plugin", "own.py", *words)
    assert said.code == 0, said.err
    return said


class TestSignals:
    @pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGUSR1", "SIGHUP"])
    def test_each_saves_and_says_how_to_go_on(
        self, cli, tiny, tiny_plugin_file, name, require_whole, events, request
    ):
        """Whether or not the recipe has a callback that saves."""
        number = getattr(signal, name)
        if signal.getsignal(number) == signal.SIG_IGN:  # the tests run under nohup
            request.addfinalizer(lambda: signal.signal(number, signal.SIG_IGN))
            signal.signal(number, signal.SIG_DFL)
        before = signal.getsignal(number)
        said = cli("run", *tiny(f"os.kill(os.getpid(), signal.{name})", callbacks=None))
        assert signal.getsignal(number) is before
        assert said.code == 128 + number
        assert f"warning: {name}: saving and stopping after this step; press Ctrl-C" in said.err
        assert f"stopped after step 2: {name}" in said.out
        assert "to continue from run/checkpoints/step-00000002:\n  gankit resume run --plugin" in said.out
        assert [(event["event"], event.get("reason")) for event in events()] == [("started", None), ("ended", name)]
        assert json.loads(Path("run/run.json").read_text())["ended"]["reason"] == name
        assert require_whole(Path("run")) == 2
        go_on(cli, tiny_plugin_file)
        assert [event["event"] for event in events()] == ["started", "ended", "resumed", "ended"]

    def test_a_run_started_with_nohup_goes_on(self, cli, tiny):
        before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
        try:
            said = cli("run", *tiny("os.kill(os.getpid(), signal.SIGHUP)"))
            assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
        finally:
            signal.signal(signal.SIGHUP, before)
        assert (said.code, said.err) == (0, "")
        assert "done: step 5" in said.out

    def test_without_a_final_checkpoint_none_is_promised(self, cli, tiny, require_whole):
        words = tiny("os.kill(os.getpid(), signal.SIGTERM)", callbacks=None)
        said = cli("run", *words, "train.final_checkpoint=false")
        assert said.code == 143
        assert "warning: SIGTERM: stopping after this step; press" in said.err
        assert "no checkpoint was saved; to start again" in said.out
        assert require_whole(Path("run")) == -1

    def test_several_at_once_save_too(self, cli, tiny, require_whole):
        """As a scheduler's warning before its end, and as what a launcher passes on to a group that has it already."""
        kills = "; ".join(
            f"os.kill(os.getpid(), signal.{name})" for name in ("SIGUSR1", "SIGTERM", "SIGTERM", "SIGINT")
        )
        said = cli("run", *tiny(kills))
        assert said.code == 128 + signal.SIGUSR1
        assert said.err.count("warning") == 1
        assert require_whole(Path("run")) == 2

    def test_a_second_interrupt_stops_at_once(self, cli, tiny, require_whole):
        interrupt = "os.kill(os.getpid(), signal.SIGINT)"
        said = cli("run", *tiny(f"{interrupt}; time.sleep(0.6); {interrupt}; time.sleep(60)"))
        assert said.code == 130
        assert "interrupted twice: the current step was not finished and nothing was saved" in said.err
        assert require_whole(Path("run")) == -1

    @pytest.mark.slow
    def test_all_processes_of_a_job_are_told(self, tiny, tmp_path, require_whole):
        """As SLURM does it, which knows no groups: the workers go on until the step is saved."""
        words = tiny(
            train={"steps": 5000, "device": "cpu"},
            loader={"batch_size": 8, "cache": "none", "workers": 2},
            callbacks=[{"name": "metrics_log", "every": 1}, {"name": "checkpoint"}],
        )
        line = [sys.executable, "-m", "gankit", "run", *map(str, words)]
        run = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        log = Path("run/metrics.jsonl")
        for _ in range(600):
            if log.exists() and len(log.read_text().splitlines()) > 1:
                break
            time.sleep(0.05)
        for number in (signal.SIGUSR1, signal.SIGTERM):
            children = Path(f"/proc/{run.pid}/task/{run.pid}/children").read_text().split()
            assert len(children) == 2
            for process in [*children, run.pid]:
                os.kill(int(process), number)
        out, err = run.communicate(timeout=60)
        assert run.returncode in (128 + signal.SIGUSR1, 128 + signal.SIGTERM), err  # whichever it looks at first
        assert err.count("stopping after this step") == 1
        assert "to continue from run/checkpoints/step-" in out
        assert require_whole(tmp_path / "run") > 0
        for child in children:
            assert not Path("/proc", child).exists()


class Clock:
    """The loop's clock, which moves only when the plugin's code says so."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


ADVANCE = "__import__('gankit.training.loop').training.loop.time.advance({})"


class TestTimeLimit:
    @pytest.fixture(autouse=True)
    def clock(self, monkeypatch):
        monkeypatch.setattr("gankit.training.loop.time", Clock())

    def test_it_saves_and_ends_with_75_and_each_launch_has_its_own(
        self, cli, tiny, tiny_plugin_file, require_whole, events
    ):
        said = cli("run", *tiny(ADVANCE.format(3601)), "train.max_hours=1")
        assert said.code == 75
        assert said.err == ""
        assert "stopped after step 2: time limit (train.max_hours)" in said.out
        assert "to continue from run/checkpoints/step-00000002:\n  gankit resume run --plugin" in said.out
        assert events()[-1]["event"] == "ended"
        assert events()[-1]["reason"] == "time limit (train.max_hours)"
        assert require_whole(Path("run")) == 2
        go_on(cli, tiny_plugin_file)

    def test_a_run_that_is_done_by_then_is_done(self, cli, tiny):
        said = cli("run", *tiny(ADVANCE.format(3601)), "train.steps=2", "train.max_hours=1")
        assert said.code == 0
        assert "done: step 2" in said.out

    def test_less_than_that_does_not_end_it(self, cli, tiny):
        assert "done: step" in cli("run", *tiny(ADVANCE.format(3590)), "train.max_hours=1").out

    @pytest.mark.parametrize("given", ["0", "-1", "inf", "long"])
    def test_what_it_may_be(self, cli, tiny, given):
        said = cli("check", tiny()[0], f"train.max_hours={given}", *tiny()[3:])
        assert said.code == 2
        assert "train.max_hours" in said.err

    def test_stopped_by_a_callback_it_saves_and_is_no_failure(self, cli, tiny, require_whole):
        said = cli("run", *tiny("run.stop('enough')", callbacks=None))
        assert said.code == 0
        assert "stopped after step 2: enough" in said.out
        assert require_whole(Path("run")) == 2


class TestMemory:
    @pytest.mark.parametrize(
        "error",
        [
            MemoryError(),
            MemoryError("std::bad_alloc"),
            RuntimeError(CPU_ALLOCATOR),
            RuntimeError("[enforce fail] . DefaultCPUAllocator: not enough memory: you tried to allocate 1 bytes."),
            torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of ..."),
            RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
            RuntimeError("MPS backend out of memory (MPS allocated: 8.00 GB, ...)"),
        ],
        ids=str,
    )
    def test_known_by_what_the_allocators_say(self, error):
        assert is_out_of_memory(error)
        assert not is_out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
        assert not is_out_of_memory(ValueError(str(error)))

    @pytest.mark.parametrize("kind", ["real", "cuda"])
    def test_in_a_step(self, cli, tiny, tiny_plugin_file, monkeypatch, kind, require_whole, events):
        """A generator that asks for 4 TiB in the third step, or one that says what CUDA's allocator says."""
        fault = "torch.OutOfMemoryError('CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 ...')"
        ask = "torch.empty(2**42, dtype=torch.uint8)" if kind == "real" else f"(_ for _ in ()).throw({fault})"
        act = f"run.state.generator.register_forward_pre_hook(lambda *given: {ask})"
        said = cli("run", *tiny(act, callbacks=[{"name": "checkpoint", "every": 1}]))
        assert said.code == 1
        assert "Traceback" not in said.err
        assert len(said.err.splitlines()) == 1
        tried = f" (the last request was for {'4,096.00' if kind == 'real' else '2.00'} GiB)"
        assert said.err.startswith(
            f"error: out of memory in step 3 on cpu{tried}: loader.batch_size=8, images of 16 x 16 pixels, precision fp32. "
            "To use less: train.microbatch=4, which splits the same batch; a lower loader.batch_size; "
            "smaller networks (now discriminator.width=4); train.precision=bf16; loader.cache=none"
        )
        assert "gankit resume run" in said.out
        assert "out of memory" in events()[-1]["error"]
        assert require_whole(Path("run")) == 2
        go_on(cli, tiny_plugin_file, "train.microbatch=4")

    def test_in_the_first_step(self, cli, tiny):
        Path("large.py").write_text(
            "import gankit, torch\n"
            "class Large:\n"
            "    def discriminator(self, turn): return torch.empty(2**42, dtype=torch.uint8).any()\n"
            "    generator = discriminator\n"
            "@gankit.hookimpl\n"
            "def register(registries): registries.losses.add('large', Large)\n"
        )
        said = cli("run", *tiny(loss="large"), "--plugin", "large.py")
        assert said.code == 1
        assert said.err.startswith("error: out of memory in step 1 on cpu (the last request was for 4,096.00 GiB")
        assert "no checkpoint was saved" in said.out

    def test_while_assembling(self, cli, tiny):
        Path("huge.py").write_text(
            "import gankit, torch\n"
            "class Huge:\n"
            "    split, classes, spec = 'train', None, gankit.ImageSpec(16, 16, 3)\n"
            "    def prepare(self): ...\n"
            "    def __len__(self): return 2**33\n"
            "    def __getitem__(self, index): return torch.zeros(3, 16, 16, dtype=torch.uint8), 0\n"
            "@gankit.hookimpl\n"
            "def register(registries): registries.datasets.add('huge', Huge)\n"
        )
        said = cli("run", *tiny(dataset={"name": "huge"}), "loader.cache=memory", "--plugin", "huge.py")
        assert said.code == 2
        assert said.err.startswith("error: out of memory in assembling the run on cpu")
        assert "loader.cache=none, which keeps no decoded images" in said.err
        assert not Path("run").exists()

    def test_in_a_callback_which_is_named(self, cli, tiny):
        said = cli("run", *tiny("torch.empty(2**42, dtype=torch.uint8)"))
        assert said.code == 1
        assert said.err.startswith("error: callback 'Own', on_step_end: out of memory in step 3 on cpu (the last")

    def test_a_trainer_raises_it_with_its_cause(self, tiny_runtime, tiny_recipe, tmp_path):
        trainer = tiny_runtime.assemble(gankit.Recipe.load(tiny_recipe(tmp_path)), tmp_path / "run")
        trainer.state.generator.register_forward_pre_hook(lambda *given: torch.empty(2**42, dtype=torch.uint8))
        with pytest.raises(gankit.GankitError, match="out of memory in step 1") as caught:
            trainer.fit()
        assert isinstance(caught.value.__cause__, RuntimeError)
