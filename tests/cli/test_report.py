"""``gankit report`` of a run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--features", "pixel"], r"--features: no feature is called 'pixel'; did you mean 'pixels'\?"),
        (["--device", "cuda:99"], r"--device: 'cuda:99' is not available"),
    ],
)
def test_options_that_do_not_exist_are_refused(refused, trained_run, tiny_plugin_file, tmp_path, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    run = trained_run()
    assert re.match(message, refused("report", run, "--plugin", tiny_plugin_file, *words))


def test_without_the_data_the_page_is_written_without_neighbors(cli, trained_run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    said = cli("report", trained_run())
    assert (said.code, said.out) == (0, "written to run/report.html\n")
    assert said.err.startswith("warning: the nearest real images are left out: ")
    assert Path("run/report.html").stat().st_size
