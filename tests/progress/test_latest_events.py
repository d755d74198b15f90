"""The newest score and finding of a run, from its events."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

import gankit
from gankit.events import RolledBack
from gankit.progress.latest_events import LatestEvents

COLLAPSE = gankit.Finding("mode_collapse", "The generator has\ncollapsed. Lower lr.")
SLOW = gankit.Finding("frozen_generator", "The generator does not change.")


class Followed:
    """A run without anything but events, which are logged as `RunRecords` does."""

    def __init__(self, directory):
        self.directory, self.state, self.listeners = directory, SimpleNamespace(step=0), []
        self.file = gankit.JsonLines(directory / "events.jsonl")

    def log(self, step, event):
        self.state.step = step
        self.file.append({"step": step, **event.record()})
        for listener in self.listeners:
            listener(event)


@pytest.fixture
def run(tmp_path):
    return Followed(tmp_path)


class TestFindings:
    def test_the_newest_stands_until_it_is_over(self, run):
        events = LatestEvents(run)
        assert (events.finding, events.has_problem) == ("", False)
        run.log(100, COLLAPSE)
        assert (events.finding, events.has_problem) == ("step 100: The generator has collapsed. Lower lr.", True)
        run.log(200, SLOW)
        assert events.finding == "step 200 (and 1 more): The generator does not change."
        run.log(300, gankit.Recovered("frozen_generator", "frozen generator: no longer seen."))
        assert (events.finding, events.has_problem) == ("step 100: The generator has collapsed. Lower lr.", True)
        run.log(1400, gankit.Recovered("mode_collapse", "mode collapse: no longer seen."))
        assert (events.finding, events.has_problem) == ("mode collapse: recovered at step 1,400", False)
        run.log(1500, gankit.Recovered("unknown", "never found"))
        assert events.finding == "mode collapse: recovered at step 1,400"

    def test_a_return_to_a_checkpoint_ends_nan_alone(self, run):
        events = LatestEvents(run)
        run.log(50, COLLAPSE)
        run.log(57, gankit.Finding("not_finite", "D's loss is NaN."))
        run.log(40, RolledBack(from_step=57, without=[]))
        assert events.finding == "step 50: The generator has collapsed. Lower lr."
        run.log(60, gankit.Recovered("mode_collapse", ""))
        run.log(70, gankit.Finding("not_finite", "D's loss is NaN."))
        run.log(60, RolledBack(from_step=70, without=[]))
        assert (events.finding, events.has_problem) == ("not finite: returned from step 70 to step 60", False)


class TestScores:
    @pytest.mark.parametrize(
        ("event", "text"),
        [
            (gankit.Evaluated({"kid": 0.5, "fd": 25.512345}, "fd", 25.512345, 1000), "fd 25.512 at step 1,000 (best)"),
            (gankit.Evaluated({"fd": 25.5}, "fd", 24.25, 800), "fd 25.5 at step 1,000, best 24.25 at step 800"),
            (gankit.Evaluated({"fd": float("nan")}, "fd"), "fd nan at step 1,000"),
            (gankit.Evaluated({"kid": 0.5, "fd": 25.5}), "kid 0.5 at step 1,000"),
        ],
    )
    def test_the_newest_and_the_best(self, run, event, text):
        events = LatestEvents(run)
        run.log(1000, event)
        assert events.score == text

    def test_from_the_callback_evaluate(self, tiny_plugin_file, tiny_recipe, scorers_plugin_file, tmp_path):
        runtime = gankit.Runtime(plugins=[tiny_plugin_file, scorers_plugin_file])
        scores = {"name": "evaluate", "every": 1, "metrics": ["gap"], "features": "colours", "samples": 20}
        recipe = tiny_recipe(tmp_path, callbacks=[scores])
        trainer = runtime.assemble(runtime.load_checked(recipe), tmp_path / "run")
        trainer.fit()
        *_, newest = (e for e in gankit.JsonLines.read(tmp_path / "run/events.jsonl") if e["event"] == "evaluated")
        (best,) = (path.name for path in (tmp_path / "run/best").glob("step-*"))
        assert newest["score"] in newest["scores"]
        assert gankit.checkpoint_name(newest["best_step"]) == best


class TestEarlierEvents:
    def test_those_of_the_log_count_once(self, run):
        run.log(100, COLLAPSE)
        run.log(100, gankit.Evaluated({"fd": 3.0}))
        events = LatestEvents(run)
        assert events.finding == "step 100: The generator has collapsed. Lower lr."
        assert events.score == "fd 3 at step 100"
        run.log(200, SLOW)
        assert events.finding == "step 200 (and 1 more): The generator does not change."

    @pytest.mark.parametrize(
        "line",
        [
            "no JSON",
            '{"event": "evaluated", "scores": 3}',
            '{"event": "evaluated", "scores": {}, "score": []}',
            '{"event": "finding", "finding": [], "message": {}, "step": "x"}',
            '{"event": ["finding"]}',
        ],
    )
    def test_a_damaged_log_is_no_error(self, run, line):
        (run.directory / "events.jsonl").write_text(f"{line}\n")
        assert LatestEvents(run).score == ""
