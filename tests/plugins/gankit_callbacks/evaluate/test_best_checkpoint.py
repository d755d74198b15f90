"""The best checkpoint and patience."""

from __future__ import annotations

import contextlib
import itertools
import json
import math
import os
import re
import shutil
from pathlib import Path

import pytest

import gankit
from gankit.evaluation import evaluate
from gankit.evaluation.evaluation_log import read_evaluations
from gankit_callbacks import best_checkpoint
from gankit_callbacks.evaluate import Best, Evaluate

SCORERS = Path(__file__).parents[3] / "evaluation/scorers_plugin.py"


WANTED = {"metrics": ["gap"], "features": "colours", "samples": 70}


REQUEST = gankit.Request(**WANTED, device="cpu")


def evaluations(name: str = "run") -> list[gankit.Evaluation]:
    return read_evaluations(Path(name, "evaluations.jsonl"))


def best(name: str = "run") -> list[str]:
    return names(Path(name, "best"))


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


class TestBest:
    def test_the_first_telling_score_and_its_metrics_direction(self, make, given):
        given += [1.0, 3.0, 2.0]
        make(callback={"every": 2, "metrics": ["given", "gap"]}).fit()
        assert best() == ["step-00000004"]
        given[:] = [0.0, 1.0, 3.0, 2.0]
        make("other", {"every": 2, "metrics": ["gap", "given"], "best_by": "given_colours", "better": "lower"}).fit()
        assert best("other") == ["step-00000002"]
        assert names(Path("other/checkpoints")) == ["step-00000006"]

    def test_it_is_a_checkpoint_like_any_other(self, make, given, runtime, cli, tiny_plugin_file):
        given += [3.0, 1.0, 2.0]
        make(callback={"every": 2, "metrics": ["given"]}).fit()
        kept = Path("run/best/step-00000002")
        assert not Path("run/checkpoints/step-00000002").exists()
        assert gankit.load_generator(kept, plugins=[tiny_plugin_file]).sample(2).shape == (2, 3, 16, 16)
        assert evaluate(kept, REQUEST, runtime).evaluated.run == "run"
        plugins = ("--plugin", tiny_plugin_file, "--plugin", SCORERS)
        assert cli("sample", kept, "--count", "4", "--plugin", tiny_plugin_file).code == 0
        said = cli("eval", kept, "--metrics", "gap", "--features", "colours", "--samples", 20, *plugins)
        assert said.code == 0, said.err
        assert evaluations()[-1].evaluated.checkpoint == kept.name

    def test_the_best_checkpoint_is_hard_linked(self, make):
        make(callback={"every": 6}).fit()
        for file in Path("run/best/step-00000006").iterdir():
            assert file.samefile(Path("run/checkpoints/step-00000006", file.name))

    def test_nan_is_never_the_best_score(self, make, given):
        given += [math.nan, -5.0, math.inf, math.nan, -6.0, -math.inf]
        make(callback={"every": 1, "metrics": ["given"]}).fit()
        assert best() == ["step-00000002"]
        assert str(evaluations()[0].scores["given_colours"]) == "nan"

    def test_keep_best_can_be_switched_off(self, make, given):
        given += [1.0, 2.0, 3.0]
        make(callback={"every": 2, "keep_best": False}, callbacks=None).fit()
        assert not Path("run/best").exists()


class TestPatience:
    def test_the_run_ends(self, make, given):
        given += [5.0, 12.25, 3.0, 12.25, 99.0]
        trainer = make(callback={"every": 1, "metrics": ["given"], "patience": 2})
        trainer.fit()
        assert trainer.state.step == 4
        assert trainer.ending == "given_colours has not improved since step 2: 12.25"
        assert best() == ["step-00000002"]

    def test_of_a_score_that_is_never_a_number(self, make, given):
        given += [math.nan] * 6
        trainer = make(callback={"every": 1, "metrics": ["given"], "patience": 3})
        trainer.fit()
        assert trainer.ending == "given_colours was NaN or infinite in 3 evaluations"
        assert not Path("run/best").exists()

    def test_null_never_ends_it(self, make, given):
        trainer = make(callback={"every": 1, "metrics": ["given"]})
        trainer.fit()
        assert trainer.ending == "done"


class TestKept:
    """Whatever happens while one checkpoint takes the place of another, one of them is there and whole."""

    @pytest.fixture
    def checkpoint(self, tmp_path):
        def write(step: int) -> Path:
            path = tmp_path / "run" / "checkpoints" / f"step-{step:08d}"
            path.mkdir(parents=True)
            for name in ("manifest.json", "state.pt", "generator.safetensors"):
                (path / name).write_text(f"{name} {step}")
            return path

        return write

    @staticmethod
    def whole(folder: Path) -> list[str]:
        found = [path for path in folder.iterdir() if re.fullmatch(r"step-\d{8}", path.name)]
        for path in found:
            files = {file.name: file.read_text() for file in path.iterdir()}
            assert files == {
                name: f"{name} {int(path.name[5:])}" for name in ("manifest.json", "state.pt", "generator.safetensors")
            }
        return sorted(path.name for path in found)

    @pytest.mark.parametrize("verb", ["mkdir", "hardlink_to", "rename", "fsync", "rmtree"])
    @pytest.mark.parametrize("when", range(3))
    def test_a_crash(self, checkpoint, tmp_path, monkeypatch, verb, when):
        run, old, new = tmp_path / "run", checkpoint(1), checkpoint(2)
        best_checkpoint.keep_best(old, run)
        calls = itertools.count()
        holder = {"fsync": os, "rmtree": shutil}.get(verb, Path)
        original = getattr(holder, verb)

        def crash(*words, **options):
            if next(calls) >= when:
                raise KeyboardInterrupt
            return original(*words, **options)

        with monkeypatch.context() as patch:
            patch.setattr(holder, verb, crash)
            with contextlib.suppress(KeyboardInterrupt):
                best_checkpoint.keep_best(new, run)
        assert self.whole(run / "best")
        best_checkpoint.keep_best(new, run)
        assert self.whole(run / "best") == ["step-00000002"]
        assert names(run / "best") == ["step-00000002"]

    def test_copies_where_nothing_can_be_linked(self, checkpoint, tmp_path, monkeypatch):
        def refuse(self, target):
            raise OSError("not on this file system")

        monkeypatch.setattr(Path, "hardlink_to", refuse)
        path = checkpoint(1)
        best_checkpoint.keep_best(path, tmp_path / "run")
        assert self.whole(tmp_path / "run/best") == ["step-00000001"]
        assert not (path / "state.pt").samefile(tmp_path / "run/best/step-00000001/state.pt")

    def test_no_room(self, checkpoint, tmp_path):
        path = checkpoint(1)
        (tmp_path / "run/best").touch()
        with pytest.raises(gankit.GankitError, match=r"best/step-00000001: cannot be written: .*; see .*checkpoints"):
            best_checkpoint.keep_best(path, tmp_path / "run")

    def test_nothing_else_is_touched(self, checkpoint, tmp_path):
        folder = tmp_path / "run/best"
        folder.mkdir(parents=True)
        (folder / "notes.txt").touch()
        (folder / "mine").mkdir()
        for step in (1, 100_000_000):
            best_checkpoint.keep_best(checkpoint(step), tmp_path / "run")
        assert names(folder) == ["mine", "notes.txt", "step-100000000"]


def test_best_value_by_value():
    found = Best()
    for step, value in enumerate([math.nan, 3.0, 4.0, 2.0, 2.0], 1):
        found = found.after(step, value, "a", -1.0)
    assert found == Best("a", 4, 2.0, 1)
    assert found.after(6, 9.0, "b", -1.0) == Best("b", 6, 9.0, 0)
    assert json.loads(json.dumps(Evaluate().state_dict()))["step"] is None
