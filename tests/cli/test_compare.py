"""``gankit compare``: tables, samples, and messages."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from PIL import Image

from gankit.evaluation.evaluation_log import read_evaluations

GAP = ("--metrics", "gap", "--features", "colours")


@pytest.fixture
def gankit_with(cli, tiny_plugin_file, scorers_plugin_file):
    """``gankit_with("compare", ...) -> (code, out, err)``, with the tiny plugins."""
    return lambda *words: cli(*words, "--plugin", tiny_plugin_file, "--plugin", scorers_plugin_file)


def rows(text):
    """The rows of a table by their first cell, split at two spaces or more."""
    lines = [re.split(r" {2,}", line.strip()) for line in text.splitlines() if line.strip()]
    return {line[0]: line[1:] for line in lines}


def test_equal_protocols_share_a_column(trained_run, gankit_with):
    for name in ("a", "b"):
        trained_run(name, seed=ord(name))
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
    assert "* best score of its column\n" in said.out
    assert "gap_colours [1] and gap_colours [2] are not comparable: they differ in samples (50 and 40)," in said.out
    assert "real.count (50 and 40)" in said.out
    assert table["seed"] == ["97", "98"]


def test_a_run_that_is_given_twice_is_shown_once(trained_run, gankit_with):
    for name in ("a", "b"):
        trained_run(name)
    said = gankit_with("compare", "a", "b", "./a/", "--count", "4")
    assert said.code == 0, said.err
    table = said.out.split("no run has scores")[0]
    assert [line.split()[0] for line in table.splitlines() if line.split()[:1] in (["a"], ["b"], ["./a"])] == ["a", "b"]


def test_a_narrow_terminal_gets_several_tables(trained_run, gankit_with, monkeypatch):
    for name in ("a", "b"):
        trained_run(name)
        assert gankit_with("eval", name, *GAP, "--samples", 20).code == 0
    for key, value in {"FORCE_COLOR": "1", "COLUMNS": "50", "TERM": "xterm"}.items():
        monkeypatch.setenv(key, value)
    lines = re.sub(r"\x1b\[[0-9;]*m", "", gankit_with("compare", "a", "b").out).splitlines()
    headers = [line.split()[1:] for line in lines if line.startswith(" run ")]
    assert len(headers) > 1
    assert [word for header in headers for word in header][-2:] == ["gap_colours", "gap_count_colours"]
    assert sum(line.startswith(" a ") for line in lines) == len(headers)


def test_different_protocols_have_columns_of_their_own(trained_run, gankit_with):
    trained_run("a")
    trained_run("b", dataset={"name": "tiny", "count": 90})
    for name in ("a", "b"):
        assert gankit_with("eval", name, *GAP, "--samples", 30).code == 0
    said = gankit_with("compare", "a", "b")
    table = rows(said.out)
    assert table["a"][7:] == [table["a"][7], "-", "30", "-"]
    assert table["b"][7:] == ["-", table["b"][8], "-", "30"]
    assert re.search(
        r"are not comparable: they differ in real.fingerprint \(.*\), real.dataset.count \(100 and 90\)\n", said.out
    )
    assert table["dataset.count"] == ["100", "90"]


def test_the_newest_score_is_shown_with_its_step_and_ema(trained_run, gankit_with):
    trained_run("a", ema={"half_life_images": 10})
    assert gankit_with("eval", "a", *GAP, "--samples", 20, "--seed", 1).code == 0
    assert gankit_with("eval", "a", *GAP, "--samples", 20).code == 0
    record = json.loads(Path("a/run.json").read_text())
    record["ended"] |= {"step": 9, "reason": "SIGTERM"}
    Path("a/run.json").write_text(json.dumps(record))
    table = rows(gankit_with("compare", "a").out)
    newest = read_evaluations(Path("a/evaluations.jsonl"))[-1].scores["gap_colours"]
    assert table["a"][7] == f"{newest:.5g} (EMA, step 3)"
    assert table["a"][4] == "SIGTERM"


def test_the_figure_contains_all_runs(trained_run, gankit_with):
    trained_run("a")
    trained_run("b", dataset={"name": "tiny", "channels": 1})
    trained_run("c", callbacks=[])
    said = gankit_with("compare", "a", "b", "c", "--count", "4", "--seed", "7", "--out", "deep/all.png")
    assert said.code == 0, said.err
    assert "deep/all.png: 4 samples of each run, seed 7" in said.out
    assert "no run has scores yet; see gankit eval --help" in said.out
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


def test_runs_with_equal_names_are_named_by_their_paths(trained_run, gankit_with):
    Path("x").mkdir()
    Path("y").mkdir()
    trained_run("x/run")
    trained_run("y/run")
    said = gankit_with("compare", "x/run", "y/run")
    assert {"x/run", "y/run"} <= set(rows(said.out))


@pytest.mark.parametrize(
    ("path", "message"),
    [("nothing", "nothing: no such run directory"), (".", r"\.: is not a run directory: it lacks recipe\.yaml")],
)
def test_a_directory_without_a_run(gankit_with, path, message):
    said = gankit_with("compare", path)
    assert said.code == 2
    assert re.fullmatch(f"error: {message}\n", said.err)


def test_a_damaged_log(trained_run, gankit_with):
    trained_run("a")
    Path("a/evaluations.jsonl").write_text("nonsense\n")
    said = gankit_with("compare", "a")
    assert said.code == 2
    assert re.fullmatch(r"error: a/evaluations\.jsonl: cannot be read: .*\n", said.err)


def test_a_figure_that_cannot_be_written(trained_run, gankit_with):
    trained_run("a")
    said = gankit_with("compare", "a", "--out", "a/recipe.yaml/x.png")
    assert said.code == 2
    assert "a/recipe.yaml/x.png: cannot be written" in said.err


def test_a_run_without_logged_losses(trained_run, gankit_with):
    trained_run("a")
    Path("a/metrics.jsonl").unlink(missing_ok=True)
    assert rows(gankit_with("compare", "a").out)["a"][5:] == ["-", "-"]
