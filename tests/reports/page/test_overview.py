"""The page of all runs in a folder."""

from __future__ import annotations

import re

import pytest

from gankit.reports.page.overview_page import find_runs


@pytest.fixture
def three_runs(write_run, metrics_line, record, webp, page_of, tmp_path):
    """Runs ``a``, ``b/c`` and ``d e`` of different lengths, recipes and scores; the last has no report."""
    for number, name in enumerate(("a", "b/c", "d e"), 1):
        directory = write_run(
            f"runs/{name}",
            recipe={"seed": number, "generator": {"name": "dcgan", "width": 8 * number}},
            record={"started_at": f"2026-01-0{number}T10:11:12+00:00"} | ({"ended": {"reason": "done"}} if number == 1 else {}),
            metrics=[metrics_line(step) for step in range(1, 50 * number + 1)],
            evaluations=[record(evaluated={"step": 1}, scores={"fd_x": 10.0 / number})] if number < 3 else [],
            events=[{"event": "finding", "finding": "mode_collapse", "step": 3}] if number == 2 else [],
            files={"report/step-00000001.webp": webp(400)},
        )
        if number < 3:
            page_of(directory)
    return tmp_path / "runs"


def test_table(three_runs, overview_of):
    page = overview_of(three_runs)
    headings = ["status", "steps", "images", "time", "images/s", "problems", "fd_x", "started"]
    assert page.data["headings"] == headings
    values = {run["name"]: dict(zip(headings, run["values"], strict=True)) for run in page.data["runs"]}
    assert [*values] == ["a", "b/c", "d e"]
    assert [run["steps"] for run in values.values()] == [50, 100, 150]
    assert [run["images/s"] for run in values.values()] == [pytest.approx(64)] * 3
    assert [run["problems"] for run in values.values()] == [0, 1, 0]
    assert [run["fd_x"] for run in values.values()] == [10, 5, None]
    assert values["a"]["status"] == "done"
    assert values["a"]["time"] == 50 / 8
    assert "mode collapse" in page.text
    assert "2026-01-02 10:11" in page.text


def test_settings_that_differ(three_runs, overview_of):
    assert overview_of(three_runs).data["settings"] == {"seed": ["1", "2", "3"], "generator.width": ["8", "16", "24"]}
    assert overview_of(three_runs).data["common"]["generator.name"] == "dcgan"


def test_links_and_thumbnails(three_runs, overview_of):
    page = overview_of(three_runs)
    assert [found["href"] for found in page.all("a")] == ["a/report.html", "b/c/report.html"]
    thumbnails = page.all("img")
    assert len(thumbnails) == 3
    assert len(thumbnails[0]["src"]) < 30_000


def test_curves_are_short(three_runs, overview_of):
    for run in overview_of(three_runs).data["runs"]:
        assert [series["label"] for series in run["chart"]["series"]] == ["loss D", "loss G"]
        assert 50 <= len(run["chart"]["steps"]) <= 60
        assert run["chart"]["steps"][-1] == run["values"][1]


def test_damaged_runs_are_listed(three_runs, write_run, overview_of):
    write_run("runs/broken log", files={"metrics.jsonl": b"{}\nno json\n"})
    (write_run("runs/broken recipe") / "recipe.yaml").write_text("name: [")
    page = overview_of(three_runs)
    assert len(page.data["runs"]) == 3
    assert "Runs that cannot be read" in page.text
    assert re.search(r"broken log/metrics.jsonl: cannot be read: .*delete the damaged line", page.text)
    assert "broken recipe/recipe.yaml:1" in page.text


def test_only_damaged_runs(write_run, overview_of, tmp_path):
    (write_run("runs/a") / "recipe.yaml").write_text("- 1")
    page = overview_of(tmp_path / "runs")
    assert "None of the runs in this folder can be read." in page.text
    assert not page.all("table", id="runs")


def test_a_run_without_anything(write_run, overview_of, tmp_path):
    write_run("runs/a")
    page = overview_of(tmp_path / "runs")
    assert page.data["settings"] == {}
    assert page.data["runs"][0]["values"][1:5] == [0, 0, 0, None]
    assert "1 run\n" in page.text


class TestFindRuns:
    def test_to_the_depth_of_three_but_not_in_runs_and_hidden_folders(self, write_run, tmp_path):
        for name in ("r/b", "r/a", "r/x/c", "r/x/y/d", "r/x/y/z/too_deep", "r/a/nested", "r/.hidden/e"):
            if name != "r/a/nested":
                write_run(name)
        write_run("r/a/nested")
        found = [path.relative_to(tmp_path / "r").as_posix() for path in find_runs(tmp_path / "r")]
        assert found == ["a", "b", "x/c", "x/y/d"]

    def test_links_to_runs_are_followed_but_not_links_to_folders(self, write_run, tmp_path):
        run = write_run("elsewhere/a")
        (tmp_path / "r").mkdir()
        (tmp_path / "r/link").symlink_to(run)
        (tmp_path / "r/folder").symlink_to(tmp_path / "elsewhere")
        (tmp_path / "r/circle").symlink_to(tmp_path / "r")
        (tmp_path / "r/dangling").symlink_to(tmp_path / "nothing")
        assert [path.name for path in find_runs(tmp_path / "r")] == ["link"]


class TestCommand:
    def test_a_page_of_something_else_is_not_replaced(self, cli, three_runs):
        page = three_runs / "report.html"
        page.write_text("<html><head><title>My results - gankit</title></head></html>")
        said = cli("report", three_runs)
        assert said.code == 2
        assert said.err == f"error: {page}: was not written by gankit and is not replaced; move, rename or delete this file\n"
        assert "My results" in page.read_text()
        page.unlink()
        assert cli("report", three_runs).code == cli("report", three_runs).code == 0

    def test_writes_the_page_of_a_folder(self, three_runs, cli):
        said = cli("report", three_runs)
        assert said.code == 0, said.err
        assert "report.html: 3 runs" in " ".join(said.out.split())
        assert "<h1>Runs in runs</h1>" in (three_runs / "report.html").read_text()

    def test_writes_the_page_of_a_run_without_checkpoints(self, three_runs, cli):
        said = cli("report", three_runs / "d e")
        assert (said.code, said.err) == (0, "")
        assert "<h1>d e</h1>" in (three_runs / "d e/report.html").read_text()

    @pytest.mark.parametrize(
        ("name", "message"),
        [
            ("missing", "no such run directory or folder"),
            ("file", "is not a folder"),
            ("empty", "is neither a run directory nor a folder of run directories"),
        ],
    )
    def test_other_folders(self, cli, tmp_path, name, message):
        (tmp_path / "empty").mkdir()
        (tmp_path / "file").write_text("")
        said = cli("report", tmp_path / name)
        assert said.code == 2
        assert message in " ".join(said.err.split())
        assert "Traceback" not in said.err
        assert not [*tmp_path.rglob("report.html")]
