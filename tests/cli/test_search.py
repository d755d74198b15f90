"""``gankit search`` as a user sees it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
PLUGINS = ["--plugin", TESTS / "tiny_plugin.py", "--plugin", TESTS / "evaluation" / "scorers_plugin.py"]
EVALUATE = {"name": "evaluate", "metrics": ["gap"], "features": "colours", "samples": 8, "keep_best": False}
SPACE = "optimizers.generator.lr: {log: [1.0e-4, 1]}\ngenerator: {choice: [tiny]}\n"


@pytest.fixture
def search(cli, tiny_recipe, tmp_path, monkeypatch):
    """``search(space, *options, callbacks=[...])``: the command in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("gankit.search.search_page.draw_plots", lambda *given: [])

    def run(space=SPACE, *options, callbacks=(EVALUATE,)):
        tiny_recipe(tmp_path, callbacks=[*callbacks], report=False)
        (tmp_path / "space.yaml").write_text(space)
        return cli("search", "tiny.yaml", "space.yaml", "train.steps=2", "--jobs", 0, *PLUGINS, *options)

    return run


def test_output(search, cli):
    pytest.importorskip("optuna")
    said = search(SPACE, "--trials", 2, "--seed", 3)
    assert said.code == 0, said.err
    lines = said.out.splitlines()
    assert lines[0].startswith("trial 0  complete  ")
    assert "(best: " in lines[1]
    assert "generator=tiny" in lines[1]
    assert "gap_colours" in said.out
    assert "results/search-tiny/best.yaml" in said.out
    assert lines[-1] == "report: results/search-tiny/report.html"
    assert cli("run", "results/search-tiny/best.yaml", *PLUGINS, "--out", "best").code == 0
    overrides = [line.strip() for line in lines if line.startswith("  optimizers.")]
    check = cli("check", "results/search-tiny/base.yaml", *overrides, *PLUGINS)
    assert check.code == 0, check.err
    assert cli("report", "results/search-tiny").out == "written to results/search-tiny/report.html\n"
    assert "Best recipe" in Path("results/search-tiny/report.html").read_text()
    assert search(SPACE, "--trials", 2, "--seed", 3).out.splitlines()[0].split() == ["trial", "gap_colours", "changes"]


def test_mistakes(search, cli):
    pytest.importorskip("optuna")
    for said, message in (
        (search("generator.width: {int: [1, 2]}"), "error: space.yaml:1:18: generator.width: unknown parameter; known: gain"),
        (search(callbacks=[]), "the recipe computes no scores to search by: it lacks the callback evaluate"),
        (search(SPACE, "--objective", "gap"), "have no score 'gap' with a known direction; known: gap_colours"),
        (search(SPACE, "--sampler", "magic"), "'magic' is not one of"),
        (search(SPACE, "--storage", "nowhere"), "the storage cannot be opened"),
        (cli("search", "tiny.yaml", "nowhere.yaml", *PLUGINS), "nowhere.yaml: no such file"),
        (cli("search", "tiny.yaml", ".", *PLUGINS), "is a folder; give the search space file in it"),
    ):
        assert said.code == 2
        assert message in said.err
        assert "Traceback" not in said.err
    assert not Path("results").exists() or not [*Path("results").glob("*/trial-*")]


def test_no_complete_trial(search):
    pytest.importorskip("optuna")
    said = search(SPACE, "--trials", 1, "--objective", "other", "--better", "higher")
    assert said.code == 2
    assert "trial 0  failed: the run has no finite score 'other'" in said.out
    assert "1 trial, of which none is complete; see results/search-tiny/report.html" in said.err


def test_without_optuna(cli, tiny_recipe, tmp_path, monkeypatch):
    for name in [name for name in sys.modules if name.startswith("gankit.search.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "optuna", None)
    said = cli("search", tiny_recipe(tmp_path), tmp_path / "space.yaml", *PLUGINS)
    assert said.code == 2
    assert "error: gankit search needs the package 'optuna'" in said.err
    assert "run: pip install 'gankit[search]'" in said.err
