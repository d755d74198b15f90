"""The callback ``report``: which pictures it keeps, when it writes the page, and what happens if it cannot."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest

import gankit
from gankit_callbacks import ReportPage


class Shape(NamedTuple):
    """Of images, as ``FakeRun`` unpacks it and as callbacks read it."""

    channels: int = 3
    height: int = 8
    width: int = 8


@pytest.fixture
def run(make_run, recipe):
    """``run(total_steps)``: a run with a recipe and without networks."""

    def make(total_steps):
        found = make_run(total_steps=total_steps, image=Shape())
        (found.directory / "recipe.yaml").write_text(recipe().to_yaml())
        return found

    return make


def kept(directory: Path) -> list[int]:
    return sorted(int(path.stem.removeprefix("step-")) for path in (directory / "report").glob("step-*.webp"))


class TestSamples:
    def test_first_every_and_last(self, run):
        small = run(25)
        for _ in small.play(ReportPage(every=10, neighbors=0)):
            pass
        assert kept(small.directory) == [1, 10, 20, 25]

    def test_the_interval_doubles_beyond_48_pictures(self, run):
        long = run(101)
        for step in long.play(ReportPage(every=1, neighbors=0)):
            if step == 48:
                assert kept(long.directory) == [*range(1, 49)]
            if step == 50:
                assert kept(long.directory) == [1, *range(2, 51, 2)]
            if step == 96:
                assert kept(long.directory) == [1, *range(2, 97, 2)]
        assert kept(long.directory) == [1, *range(4, 101, 4), 101]

    def test_resuming_from_an_earlier_checkpoint_discards_later_ones(self, run):
        resumed = run(30)
        for step in resumed.play(ReportPage(every=5, neighbors=0)):
            if step == 20:
                break
        assert kept(resumed.directory) == [1, 5, 10, 15, 20]
        again = resumed.play(ReportPage(every=5, neighbors=0), start=10)
        assert next(again) == 11
        assert kept(resumed.directory) == [1, 5, 10]
        for _ in again:
            pass
        assert kept(resumed.directory) == [1, 5, 10, 15, 20, 25, 30]

    def test_keep_samples_touches_nothing_else(self, tmp_path):
        report = gankit.RunReport(tmp_path)
        report.keep_samples(lambda step: False)  # without the folder
        folder = tmp_path / "report"
        folder.mkdir()
        names = ["step-00000001.webp", "step-00000002.webp", "step-2.webp", "step-00000003.png", "real.webp", "step-x.webp"]
        for name in names:
            (folder / name).write_bytes(b"")
        report.keep_samples(lambda step: step == 2)
        assert {path.name for path in folder.iterdir()} == {*names} - {"step-00000001.webp"}


class TestPage:
    def test_a_run_writes_its_page_at_the_end(self, runtime, recipe, data):
        runtime.assemble(recipe(), "run").fit()
        html = Path("run/report.html").read_text()
        assert "done at step 4" in html
        assert "step-00000004" in html  # the newest checkpoint, which is written after the last step
        assert "8 samples of step 4 (left column)" in html
        assert "among 48 training images" in html  # each of them once
        assert kept(Path("run")) == [1, 4]
        assert Path("run/report/real.webp").is_file()

    def test_checkpoints_that_follow_quickly_share_a_page(self, run, monkeypatch):
        """By a clock that the test sets: a page that takes 3 s is written again after 150 s of training."""
        clock, written = [1000.0], []

        def write(report, ending=None):
            clock[0] += 3
            written.append(clock[0])

        monkeypatch.setattr("time.monotonic", lambda: clock[0])
        monkeypatch.setattr(gankit.RunReport, "write", write)
        callback, training = ReportPage(neighbors=0), run(10)
        steps = training.play(callback)
        next(steps)
        for seconds in (0, 100, 49, 2, 10):
            clock[0] += seconds
            callback.on_checkpoint(training)
        assert written == [1003, 1157]
        for _ in steps:
            pass
        assert written == [1003, 1157, 1170]
        callback.on_checkpoint(training)  # the final one
        assert written == [1003, 1157, 1170, 1173]

    def test_a_run_without_a_final_checkpoint(self, runtime, recipe, data):
        runtime.assemble(recipe(train={"final_checkpoint": False}), "run").fit()
        assert "done at step 4" in Path("run/report.html").read_text()

    def test_the_page_of_a_failed_run(self, runtime, recipe, data):
        trainer = runtime.assemble(recipe(), "run")
        trainer.callbacks.add("failing", Failing())
        with pytest.raises(ZeroDivisionError):
            trainer.fit()
        assert "failed: ZeroDivisionError: in step 2" in Path("run/report.html").read_text()

    def test_report_false_writes_none(self, runtime, recipe, data):
        runtime.assemble(recipe(report=False), "run").fit()
        assert not Path("run/report.html").exists()
        assert not Path("run/report").exists()

    def test_weights_are_the_same_without_it(self, runtime, recipe, data):
        for name, report in (("with", True), ("without", False)):
            runtime.assemble(recipe(report=report), name).fit()
        one, other = (Path(name, "checkpoints/step-00000004/generator.safetensors").read_bytes() for name in ("with", "without"))
        assert one == other

    def test_a_page_that_cannot_be_written_causes_one_notice(self, runtime, recipe, data, events):
        trainer = runtime.assemble(recipe(), "run")
        trainer.callbacks.add("blocking", Blocking())
        trainer.fit()
        assert trainer.ending == "done"
        (notice,) = events(Path("run"), "report_incomplete")
        assert "report.html is incomplete: " in notice["message"]
        assert notice["message"].endswith("cannot be written: File exists; training continues")


class Failing:
    def on_step_end(self, run):
        if run.state.step == 2:
            raise ZeroDivisionError("in step 2")


class Blocking:
    """Files in place of the folder of pictures, and a folder in place of the page."""

    def on_run_start(self, run):
        (run.directory / "report").write_text("")
        (run.directory / "report.html").mkdir()
