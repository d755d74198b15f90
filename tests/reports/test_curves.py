"""The figure with losses and scores."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from gankit.reports.comparison import score_columns
from gankit.reports.curves import downsample, score_curves
from gankit.reports.run_summary import read_run

GAP = ("--metrics", "gap", "--features", "colours")


@pytest.fixture
def gankit_with(cli, tiny_plugin_file, scorers_plugin_file):
    """``gankit_with("compare", ...) -> (code, out, err)``, with the tiny plugins."""
    return lambda *words: cli(*words, "--plugin", tiny_plugin_file, "--plugin", scorers_plugin_file)


class TestCurves:
    @staticmethod
    def log(name, count, images_a_step):
        lines = [
            {"step": step, "images": step * images_a_step, "seconds": 1.0, "discriminator_loss": 1 / step}
            for step in range(1, count + 1)
        ]
        Path(name, "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))

    def test_a_second_figure_shows_losses_and_scores(self, trained_run, gankit_with):
        trained_run("a")
        trained_run("b$", callbacks=[{"name": "tiny", "save": True}])
        said = gankit_with("compare", "a", "b$", "--out", "deep/all.png")
        assert "_curves" not in said.out  # nothing to draw
        assert not Path("deep/all_curves.png").exists()
        self.log("a", 40, 8)
        said = gankit_with("compare", "a", "b$", "--out", "deep/all.png")
        assert said.code == 0, said.err
        assert "deep/all_curves.png: losses and scores against images seen" in said.out
        with Image.open("deep/all_curves.png") as picture:
            one = picture.height
        assert gankit_with("eval", "a", *GAP, "--samples", 20).code == 0
        again = json.loads(Path("a/evaluations.jsonl").read_text())
        again["evaluated"]["step"] = 30
        with Path("a/evaluations.jsonl").open("a") as file:
            file.write(json.dumps(again) + "\n")
        assert gankit_with("compare", "a", "b$", "--out", "deep/all.png").code == 0
        with Image.open("deep/all_curves.png") as picture:
            assert picture.height > 1.5 * one  # one more panel

    def test_the_newest_score_of_each_step_is_plotted_against_images(self, trained_run, record):
        trained_run("a")
        self.log("a", 40, 8)
        facts = read_run(Path("a"))
        made = [(30, 3.0, 100), (10, 9.0, 100), (10, 5.0, 100), (20, 1.0, 50), (None, 7.0, 100)]
        evaluations = [
            record(evaluated={"step": step}, scores={"fd_x": value, "kid_x": 0.0}, samples=samples)
            for step, value, samples in made
        ]
        facts = replace(facts, evaluations=evaluations)
        (column,) = [c for c in score_columns([evaluations]) if c.score == "fd_x" and c.example.samples == 100]
        assert score_curves(column, [facts, replace(facts, evaluations=[])]) == [([80.0, 240.0], [5.0, 3.0]), None]
        assert facts.curves["discriminator_loss"][0][-1] == 320
        assert "generator_loss" not in facts.curves

    def test_scores_lie_where_the_losses_do_after_a_change_of_the_batch_size(self, trained_run, record):
        trained_run("a")
        images = [8, 16, 24, 56, 88]
        lines = [{"step": i + 1, "images": n, "seconds": 1.0, "discriminator_loss": 1.0} for i, n in enumerate(images)]
        Path("a/metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        evaluations = [record(evaluated={"step": step}, scores={"fd_x": 1.0, "kid_x": 0.0}) for step in (2, 4, 5)]
        (column,) = [c for c in score_columns([evaluations]) if c.score == "fd_x"]
        ((plotted, _),) = score_curves(column, [replace(read_run(Path("a")), evaluations=evaluations)])
        assert plotted == [16.0, 56.0, 88.0]

    def test_scores_of_other_weights_and_seeds_are_not_in_the_curve(self, record):
        def made(step, value, ema=True, seed=0, kind="training"):
            return record(evaluated={"step": step, "ema": ema, "kind": kind}, scores={"fd_x": value, "kid_x": 0.0}, seed=seed)

        evaluations = [made(2, 9.0), made(4, 7.0), made(4, 500.0, ema=False, kind="run"), made(4, 8.0, seed=1, kind="run")]
        (column,) = [c for c in score_columns([evaluations]) if c.score == "fd_x"]
        assert column.by_step(evaluations) == {2: 9.0, 4: 7.0}
        assert column.by_step(evaluations[2:3]) == {4: 500.0}
        assert column.by_step([made(6, 1.0, kind="run"), *evaluations[3:]]) == {4: 8.0}

    @pytest.mark.parametrize("lines", [1, 2])
    def test_a_curve_needs_two_points(self, trained_run, gankit_with, lines):
        trained_run("a")
        self.log("a", lines, 8)
        assert gankit_with("compare", "a").code == 0
        assert Path("compare_curves.png").exists() == (lines > 1)

    def test_downsample(self):
        x, y = downsample((range(1000), [*range(999), math.nan]))
        assert len(x) == 200
        assert (x == y).all()
        assert x[0] == 2.0
        assert len(downsample(((), ()))[0]) == len(downsample(([1.0], [math.inf]))[0]) == 0
