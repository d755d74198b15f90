"""``gankit compare``: one table, columns of like scores alone, what the recipes differ in, and one picture."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from gankit.evaluation.evaluation_log import read_evaluations
from gankit.evaluation.record import Evaluation
from gankit.reports.comparison import Column, columns, explain, recipe_differences
from gankit.reports.curves import score_curves, thinned
from gankit.reports.run_summary import read_run

SCORERS = Path(__file__).parent / "scorers_plugin.py"
GAP = ("--metrics", "gap", "--features", "colours")


def record(**changes):
    """A small evaluation with parts of its sections replaced."""
    data = {
        "at": "2026-01-01T00:00:00+00:00",
        "evaluated": {"kind": "training", "path": "a"},
        "scores": {"fd_x": 1.5, "kid_x": 0.25},
        "metrics": {"fd": {"params": {}, "scores": ["fd_x"], "better": {"fd_x": "lower"}},
                    "kid": {"params": {}, "scores": ["kid_x"]}},
        "features": {"name": "x", "params": {}, "hash": "aa", "resizer": "none"},
        "samples": 100,
        "real": {"dataset": "d", "params": {}, "split": "train", "count": 100, "fingerprint": "ff"},
        "image": {"height": 16, "width": 16, "channels": 3},
        "seed": 0, "precision": "fp32", "device": "cpu", "versions": {},
    }  # fmt: skip
    for key, value in changes.items():
        data[key] = data[key] | value if key == "evaluated" else value
    return Evaluation.model_validate(data)


@pytest.fixture
def gankit_with(cli, tiny_plugin_file):
    """``gankit_with("compare", ...) -> (code, out, err)``, with the tiny world."""
    return lambda *words: cli(*words, "--plugin", tiny_plugin_file, "--plugin", SCORERS)


def rows(text):
    """The lines of a table by their first word, split where two blanks are."""
    lines = [re.split(r" {2,}", line.strip()) for line in text.splitlines() if line.strip()]
    return {line[0]: line[1:] for line in lines}


def test_like_protocols_share_a_column(run, gankit_with):
    for name in ("a", "b"):
        run(name, seed=ord(name))
        for samples in (50, 40):
            assert gankit_with("eval", name, *GAP, "--samples", samples).code == 0
    said = gankit_with("compare", "a", "b", "--count", "4")
    assert said.code == 0, said.err
    table = rows(said.out)
    assert table["run"] == [
        "steps", "images", "images/s", "time", "ended", "loss D", "loss G",
        "gap_colours [1]", "gap_colours [2]", "gap_count_colours [1]", "gap_count_colours [2]",
    ]  # fmt: skip
    scores = {
        name: [record.scores["gap_colours"] for record in read_evaluations(Path(name) / "evaluations.jsonl")]
        for name in ("a", "b")
    }
    for name, own in scores.items():
        assert table[name][:2] == ["3", "24"]
        assert table[name][4] == "done"
        least = [min(pair) for pair in zip(*scores.values(), strict=True)]
        marked = [f"{score:.5g}" + " *" * (score == best) for score, best in zip(own, least, strict=True)]
        assert table[name][7:] == [*marked, "50", "40"]
    assert "* the best of its column\n" in said.out
    assert "gap_colours [1] and gap_colours [2] cannot be compared: they differ in samples (50 and 40)," in said.out
    assert "real.count (50 and 40)" in said.out
    assert table["seed"] == ["97", "98"]


def test_a_narrow_terminal_cuts_nothing(run, gankit_with, monkeypatch):
    for name in ("a", "b"):
        run(name)
        assert gankit_with("eval", name, *GAP, "--samples", 20).code == 0
    for key, value in {"FORCE_COLOR": "1", "COLUMNS": "50", "TERM": "xterm"}.items():
        monkeypatch.setenv(key, value)
    lines = re.sub(r"\x1b\[[0-9;]*m", "", gankit_with("compare", "a", "b").out).splitlines()
    headers = [line.split()[1:] for line in lines if line.startswith(" run ")]
    assert len(headers) > 1
    assert [word for header in headers for word in header][-2:] == ["gap_colours", "gap_count_colours"]
    assert sum(line.startswith(" a ") for line in lines) == len(headers)


def test_unlike_protocols_never_do(run, gankit_with):
    run("a")
    run("b", dataset={"name": "tiny", "count": 90})
    for name in ("a", "b"):
        assert gankit_with("eval", name, *GAP, "--samples", 30).code == 0
    said = gankit_with("compare", "a", "b")
    table = rows(said.out)
    assert table["a"][7:] == [table["a"][7], "-", "30", "-"]
    assert table["b"][7:] == ["-", table["b"][8], "-", "30"]
    assert re.search(
        r"cannot be compared: they differ in real.fingerprint \(.*\), real.dataset.count \(100 and 90\)\n", said.out
    )
    assert table["dataset.count"] == ["100", "90"]


def test_the_newest_score_stands_and_says_where_it_is_from(run, gankit_with):
    run("a", ema={"half_life_images": 10})
    assert gankit_with("eval", "a", *GAP, "--samples", 20, "--seed", 1).code == 0
    assert gankit_with("eval", "a", *GAP, "--samples", 20).code == 0
    record = json.loads(Path("a/run.json").read_text())
    record["ended"] |= {"step": 9, "reason": "SIGTERM"}
    Path("a/run.json").write_text(json.dumps(record))
    table = rows(gankit_with("compare", "a").out)
    newest = read_evaluations(Path("a/evaluations.jsonl"))[-1].scores["gap_colours"]
    assert table["a"][7] == f"{newest:.5g} (EMA, step 3)"
    assert table["a"][4] == "SIGTERM"


def test_the_picture_has_all_runs(run, gankit_with):
    run("a")
    run("b", dataset={"name": "tiny", "channels": 1})
    run("c", callbacks=[])
    said = gankit_with("compare", "a", "b", "c", "--count", "4", "--seed", "7", "--out", "deep/all.png")
    assert said.code == 0, said.err
    assert "deep/all.png: 4 samples of each run, seed 7" in said.out
    assert "no run has scores yet; see: gankit eval --help" in said.out
    with Image.open("deep/all.png") as picture:
        wide = picture.size
        # grids of 2 x 2 images, enlarged to 64 px, and their padding
        assert wide[0] > 2 * 134 + 2
        assert wide[1] > 134
    gankit_with("compare", "a", "--count", "4", "--out", "one.png")
    with Image.open("one.png") as picture, Image.open("deep/all.png") as whole:
        assert picture.width < wide[0] / 2
        box = (0, 0, 12 + 134, 44 + 134)
        assert gankit_with("compare", "a", "--count", "4", "--seed", "7", "--out", "same.png").code == 0
        with Image.open("same.png") as same:
            assert same.crop(box).tobytes() == whole.crop(box).tobytes()
        assert picture.crop(box).tobytes() != whole.crop(box).tobytes()


def test_the_best_of_a_column():
    def column(*values, better):
        measure = {"params": {}, "scores": ["x"], "better": better}
        records = [record(scores={"x": value}, metrics={"x": measure}) for value in values]
        return Column("x", records[0], evaluations=dict(enumerate(records)))

    assert column(2.0, 1.0, 3.0, better={"x": "lower"}).best() == {1}
    assert column(2.0, 1.0, 3.0, better={"x": "higher"}).best() == {2}
    assert column(2.0, 1.0, 2.0, better={"x": "higher"}).best() == {0, 2}
    assert column(math.nan, 1.0, math.inf, better={"x": "higher"}).best() == {1}
    assert column(2.0, 1.0, 3.0, better={}).best() == set()
    assert column(2.0, 2.0, better={"x": "lower"}).best() == set()
    assert column(2.0, better={"x": "lower"}).best() == set()
    assert column(math.nan, math.inf, better={"x": "lower"}).best() == set()


class TestCurves:
    @staticmethod
    def log(name, count, images_a_step):
        lines = [
            {"step": step, "images": step * images_a_step, "seconds": 1.0, "discriminator_loss": 1 / step}
            for step in range(1, count + 1)
        ]
        Path(name, "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))

    def test_a_second_picture_has_losses_and_scores(self, run, gankit_with):
        run("a")
        run("b$", callbacks=[{"name": "tiny", "save": True}])
        said = gankit_with("compare", "a", "b$", "--out", "deep/all.png")
        assert "_curves" not in said.out  # nothing to draw
        assert not Path("deep/all_curves.png").exists()
        self.log("a", 40, 8)
        said = gankit_with("compare", "a", "b$", "--out", "deep/all.png")
        assert said.code == 0, said.err
        assert "deep/all_curves.png: losses and scores over the images seen" in said.out
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

    def test_scores_stand_over_images_and_the_newest_of_a_step_counts(self, run):
        run("a")
        self.log("a", 40, 8)
        facts = read_run(Path("a"))
        made = [(30, 3.0, 100), (10, 9.0, 100), (10, 5.0, 100), (20, 1.0, 50), (None, 7.0, 100)]
        evaluations = [
            record(evaluated={"step": step}, scores={"fd_x": value, "kid_x": 0.0}, samples=samples)
            for step, value, samples in made
        ]
        facts = replace(facts, evaluations=evaluations)
        (column,) = [c for c in columns([evaluations]) if c.score == "fd_x" and c.example.samples == 100]
        assert score_curves(column, [facts, replace(facts, evaluations=[])]) == [([80.0, 240.0], [5.0, 3.0]), None]
        assert facts.curves["discriminator_loss"][0][-1] == 320
        assert "generator_loss" not in facts.curves

    def test_thinned(self):
        x, y = thinned((range(1000), [*range(999), math.nan]))
        assert len(x) == 200
        assert (x == y).all()
        assert x[0] == 2.0
        assert len(thinned(((), ()))[0]) == len(thinned(([1.0], [math.inf]))[0]) == 0


def test_runs_of_one_name_are_called_by_their_paths(run, gankit_with):
    Path("x").mkdir()
    Path("y").mkdir()
    run("x/run")
    run("y/run")
    said = gankit_with("compare", "x/run", "y/run")
    assert {"x/run", "y/run"} <= set(rows(said.out))


@pytest.mark.parametrize(
    ("path", "message"),
    [("nothing", "nothing: no such run directory"), (".", r"\.: is no run directory: it has no recipe\.yaml")],
)
def test_no_run(gankit_with, path, message):
    said = gankit_with("compare", path)
    assert said.code == 2
    assert re.fullmatch(f"error: {message}\n", said.err)


def test_damaged_logs(run, gankit_with):
    run("a")
    Path("a/evaluations.jsonl").write_text("nonsense\n")
    said = gankit_with("compare", "a")
    assert said.code == 2
    assert re.fullmatch(r"error: a/evaluations\.jsonl: cannot be read: .*\n", said.err)


def test_a_picture_that_cannot_be_written(run, gankit_with):
    run("a")
    said = gankit_with("compare", "a", "--out", "a/recipe.yaml/x.png")
    assert said.code == 2
    assert "a/recipe.yaml/x.png: cannot be written" in said.err


def test_a_run_that_logged_no_losses(run, gankit_with):
    run("a")
    Path("a/metrics.jsonl").unlink(missing_ok=True)
    assert rows(gankit_with("compare", "a").out)["a"][5:] == ["-", "-"]


class TestRecipes:
    def test_only_what_differs_by_dotted_keys(self):
        one = {"seed": 0, "loss": {"name": "bce"}, "image": {"size": [8, 8]}, "ema": None}
        other = {"seed": 0, "loss": {"name": "hinge"}, "image": {"size": [8, 9]}, "ema": {"half_life_images": 5}}
        assert recipe_differences([one, other]) == {
            "loss.name": ["bce", "hinge"],
            "image.size": [[8, 8], [8, 9]],
            "ema.half_life_images": [None, 5],
        }

    def test_components_of_a_list_are_known_by_name(self):
        r1, other = {"name": "r1", "gamma": 1}, {"name": "r2"}
        rows = recipe_differences(
            [{"regularizers": [r1]}, {"regularizers": [other, r1 | {"gamma": 2}]}, {"regularizers": []}]
        )
        assert rows["regularizers.r1.gamma"] == [1, 2, None]
        assert rows["regularizers.r2.name"] == [None, "r2", None]
        twice = recipe_differences([{"x": [r1, r1]}, {"x": [r1]}])
        assert twice == {"x.r1#1.name": ["r1", None], "x.r1#2.name": ["r1", None], "x.r1.name": [None, "r1"],
                         "x.r1#1.gamma": [1, None], "x.r1#2.gamma": [1, None], "x.r1.gamma": [None, 1]}  # fmt: skip

    def test_alike(self):
        assert recipe_differences([{"a": {"b": 1}}] * 3) == {}


def test_no_evaluations_no_columns():
    assert columns([[], []]) == []
    assert explain([]) == []
