"""Text of runs is shown as text: it adds no element, no attribute, no comment and no script to a page."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

HOSTILE = "</script></style></pre><img src=x onerror=alert(1)>\"'` onload=alert(1) <!--&lt;{{7*7}}{%x%}\u2028\u202e\x00\x1b\ud800"
AS_TEXT = HOSTILE.replace("\x00", "\ufffd").replace("\x1b", "\ufffd").replace("\ud800", "\ufffd")
FILE_NAME = "<img src=x onerror=alert(1)>\"'&#?%\x1b\udcff"


@pytest.fixture
def filled_run(write_run, metrics_line, record):
    """``filled_run(name, word)``: a run in which every text that a page shows is this word."""

    def write(name, word):
        evaluation = record(
            scores={word[:90]: 1.5},
            metrics={word[:90]: {"params": {}, "scores": [word[:90]], "better": {word[:90]: "lower"}}},
            features={"name": word, "params": {}, "hash": word, "resizer": word},
            real={"dataset": word, "params": {}, "split": word, "count": 9, "fingerprint": word},
            evaluated={"path": word, "step": 3},
            options={word: word}, precision=word, device=word, cautions=[word],
        )  # fmt: skip
        finding = {"event": "finding", "at": word, "finding": word, "message": word, "step": 2}
        neighbors = {"step": 1, "features": word, "among": 9, "samples": 2, "distance": 1, "real_distance": 2}
        return write_run(
            name,
            recipe={"generator": {"name": "dcgan", "text": word}},
            record={
                "device": word, "precision": word, "seed": word, "threads": word, "started_at": word, "world_size": 2,
                "versions": {word: word}, "plugins": {word: {"sha256": word, "source": word}},
                "data": {"summary": word, "classes": [word]}, "ended": {"reason": word, "step": 3},
                "recipe": [{"source": word}, {"source": word, "changes": {word: [word, {word: word}]}}],
            },
            metrics=[metrics_line(step, **{word: step, "peak_memory_mib": word}) for step in (1, 2, 3)],
            events=[
                {"event": "started", "at": word, "step": 0}, {"event": word, "at": word, "message": word, "step": 1},
                finding, {"event": "recovered", "finding": word, "step": 3}, finding | {"step": 3},
                {"event": "ended", "at": word, "reason": word, "step": 3},
                {"event": "failed", "at": word, "error": word, "step": 3},
                {"event": "overridden", "at": word, "settings": {word: 1}, "previous": {word: 0}, "step": 1},
                {"event": "changes_accepted", "at": word, "changes": [word], "step": 1},
            ],
            evaluations=[evaluation, evaluation.model_copy(update={"seed": 1})],
            files={"report/neighbors.json": json.dumps(neighbors).encode()},
        )  # fmt: skip

    return write


@pytest.fixture
def filled_runs(filled_run, webp):
    """A harmless run and a hostile one, of the same structure."""
    runs = filled_run("a/harmless", "word"), filled_run(f"b/{FILE_NAME}", HOSTILE)
    for run in runs:
        for name in ("real", "neighbors", "step-00000001", "step-00000002"):
            (run / "report" / f"{name}.webp").write_bytes(webp())
    return runs


def test_the_page_of_a_run(filled_runs, page_of):
    harmless, hostile = map(page_of, filled_runs)
    assert hostile.structure == harmless.structure
    assert hostile.text.count("</script>") == harmless.text.count("word")
    assert AS_TEXT in hostile.text
    assert HOSTILE in [series["label"] for chart in hostile.data["charts"] for series in chart["series"]]
    allowed = ("src", "href", "for", "id", "class", "content")
    for (tag, attributes), (_, expected) in zip(hostile.elements, harmless.elements, strict=True):
        same = {name: value for name, value in attributes.items() if name in allowed and not value.startswith("data:")}
        assert same == {name: expected[name] for name in same}, tag


def test_the_overview(filled_runs, overview_of, page_of):
    for run in filled_runs:
        page_of(run)
    harmless, hostile = (overview_of(run.parent) for run in filled_runs)
    assert hostile.structure == harmless.structure
    shown = FILE_NAME.replace("\x1b", "\ufffd").replace("\udcff", "\ufffd")
    assert shown in hostile.text
    assert hostile.data["runs"][0]["name"] == FILE_NAME
    assert f"Compare {shown}" in [found.get("aria-label") for found in hostile.all("input")]
    (link,) = hostile.all("a")
    assert link["href"] == "%3Cimg%20src%3Dx%20onerror%3Dalert%281%29%3E%22%27%26%23%3F%25%1B%FF/report.html"


def test_the_recipe_is_shown_as_it_is_written(write_run, page_of):
    directory = write_run(recipe={"generator": {"name": "dcgan", "text": "</pre><script>alert(1)</script>&amp;"}})
    page = page_of(directory)
    assert (directory / "recipe.yaml").read_text() in page.text


def test_links_cannot_leave_the_folder(write_run, overview_of, page_of):
    """A folder may be called as a URL begins."""
    directory = write_run("runs/javascript:alert(1)")
    page_of(directory)
    (link,) = overview_of(directory.parent).all("a")
    assert link["href"] == "javascript%3Aalert%281%29/report.html"


def test_pages_can_load_nothing(finished_run, page_of, overview_of):
    """Neither by an element nor, as the browser is told, by a script."""
    for page in (page_of(finished_run()), overview_of(Path())):
        (policy,) = page.all("meta", **{"http-equiv": "Content-Security-Policy"})
        assert policy["content"].startswith("default-src 'none'; img-src data:;")
        sources = [found[name] for _, found in page.elements for name in ("src", "href", "srcset", "action") if name in found]
        assert sources
        assert all(source.startswith(("data:", "#")) or source == "run/report.html" for source in sources)


@pytest.mark.parametrize("target", ["neighbors.webp", "real.webp", "step-00000100.webp", "fake_samples_epoch_000.png"])
def test_links_to_pictures_elsewhere_are_not_followed(finished_run, page_of, webp, tmp_path, target):
    """A run directory from elsewhere must not show private pictures of the user in a page that is sent on."""
    import base64

    secret = webp(seed=99)
    (tmp_path / "secret.webp").write_bytes(secret)
    directory = finished_run()
    link = directory / "report" / target if target.endswith("webp") else directory / target
    link.unlink(missing_ok=True)
    link.symlink_to(tmp_path / "secret.webp")
    assert base64.b64encode(secret).decode() not in page_of(directory).html


def test_a_linked_folder_of_pictures_is_not_followed(finished_run, page_of, overview_of, tmp_path):
    directory = finished_run("runs/a")
    (directory / "report").rename(tmp_path / "elsewhere")
    (directory / "report").symlink_to(tmp_path / "elsewhere")
    assert not page_of(directory).all("img")
    assert not overview_of(directory.parent).all("img")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_files_that_are_not_pictures(write_run, page_of, overview_of, webp):
    """Text, damaged and incomplete pictures, folders and pipes are left out; the others are shown."""
    directory = write_run("runs/a", files={
        "report/step-00000001.webp": b"<svg onload=alert(1)>",
        "report/step-00000002.webp": b"RIFF\x08\x00\x00\x00WEBP<script>",
        "report/step-00000003.webp": webp(),
        "report/step-00000004.webp/file": b"",
        "report/step-1.webp": webp(),
        "report/real.webp/file": b"",
        "report/step-00000006.webp": webp()[:60],
        "report/neighbors.json": b'{"step": 1, "features": "x", "among": 9, "samples": 2, "distance": 1, "real_distance": 2}',
    })  # fmt: skip
    os.mkfifo(directory / "report" / "step-00000005.webp")
    os.mkfifo(directory / "report" / "neighbors.webp")
    page = page_of(directory)
    assert [sample["label"] for sample in page.data["samples"]] == ["step 3"]
    assert len(page.all("img")) == 1
    assert overview_of(directory.parent).all("th", scope="row")
