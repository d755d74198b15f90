"""Callbacks, datasets and workers that fail: the error names them, and the run can go on from a checkpoint."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import gankit


class TestOthersCode:
    def test_a_callback_that_fails_is_named_and_its_traceback_shown(self, start, tiny, tmp_path, require_whole, events):
        """In a process of its own: the traceback is the interpreter's."""
        assert start("run", *tiny("print(1 / 0)", callbacks=[{"name": "checkpoint", "every": 1}])).status == 1
        said = (tmp_path / "log.txt").read_text()
        assert (
            "error: the run failed: ZeroDivisionError: division by zero; callback 'Own', on_step_end; it is recorded "
            "in events.jsonl; the traceback follows:\n"
        ) in said
        assert "Traceback" in said
        assert "to continue from run/checkpoints/step-00000002:\n  gankit resume run" in said
        assert events()[-1]["error"] == "failed: ZeroDivisionError: division by zero"
        assert events()[-1]["notes"] == ["callback 'Own', on_step_end"]
        assert require_whole(Path("run")) == 2

    def test_a_callback_that_cannot_write_is_named(self, cli, tiny):
        said = cli("run", *tiny("open('nowhere/file', 'w')"))
        assert (said.code, said.err) == (
            1,
            "error: callback 'Own', on_step_end: nowhere/file: No such file or directory; restore it\n",
        )

    def test_all_callbacks_are_told_of_a_failure_though_one_of_them_fails_again(
        self, tiny_runtime, tiny_recipe, tmp_path
    ):
        trainer = tiny_runtime.assemble(gankit.Recipe.load(tiny_recipe(tmp_path)), tmp_path / "run")
        told = []

        class Failing:
            def on_step_end(self, run):
                raise ValueError("first")

            def on_exception(self, run):
                told.append(run.ending)
                raise ValueError("second")

        trainer.callbacks.add("one", Failing())
        trainer.callbacks.add("two", Failing())
        with pytest.raises(ValueError, match="first") as caught:
            trainer.fit()
        assert told == ["failed: ValueError: first"] * 2
        assert caught.value.__notes__ == ["callback 'one', on_step_end", "then ValueError: first"] + ["then ValueError: second"] * 2
        assert "failed: ValueError: first" in (tmp_path / "run/run.json").read_text()

    DATA = (
        "import gankit, os, signal, torch\n"
        "class Odd:\n"
        "    split, classes, spec = 'train', None, gankit.ImageSpec(16, 16, 3)\n"
        "    def prepare(self): ...\n"
        "    def __len__(self): return 64\n"
        "    def __getitem__(self, index):\n"
        "        if os.path.exists('armed'): {fault}\n"
        "        return torch.full((3, 16, 16), index, dtype=torch.uint8), 0\n"
        "@gankit.hookimpl\n"
        "def register(registries): registries.datasets.add('odd', Odd)\n"
    )

    @pytest.mark.parametrize(
        ("fault", "message"),
        [
            ("raise KeyError('label')", "the run failed: KeyError: .*label"),
            ("raise FileNotFoundError(2, 'No such file', 'x.png')", "^error: x.png: No such file; restore it$"),
            ("torch.empty(2**42)", "^error: out of memory in step"),
            (
                "os.kill(os.getpid(), signal.SIGKILL)",
                "^error: (?:callback .*: )?in step [0-9]+, a process that decodes images (is killed by signal: "
                "Killed|exited unexpectedly), possibly for lack of "
                "memory: lower loader.workers, or keep the decoded images with loader.cache=memory$",
            ),
        ],
        ids=["exception", "file", "memory", "killed"],
    )
    def test_a_worker_that_fails(self, start, tiny, tmp_path, fault, message, require_whole):
        """In a process of its own: torch says that a worker is dead by a signal, to whatever runs just then."""
        Path("odd.py").write_text(self.DATA.format(fault=fault))
        words = tiny(
            "open('armed', 'w')",
            dataset={"name": "odd"},
            loader={"batch_size": 4, "cache": "none", "workers": 1},
            callbacks=[{"name": "checkpoint", "every": 1}],
            train={"steps": 30, "device": "cpu"},
        )
        assert start("run", *words, "--plugin", "odd.py").status == 1
        said = (tmp_path / "log.txt").read_text()
        assert re.search(message, said, re.DOTALL | re.MULTILINE), said
        assert ("Traceback" in said) == ("KeyError" in fault)
        assert "gankit resume run" in said
        assert require_whole(Path("run")) >= 1
