"""Output that cannot be written: it changes neither a run nor the exit code of a command."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from gankit.cli.console import print_message
from gankit.cli.main import main
from gankit.cli.streams import forgiving_streams


def pipe_without_reader():
    reader, writer = os.pipe()
    os.close(reader)
    return writer


def closed_terminal():
    master, slave = os.openpty()
    os.close(master)
    return slave


OUTPUTS = {
    "pipe": pipe_without_reader,
    "terminal": closed_terminal,
    "full": lambda: os.open("/dev/full", os.O_WRONLY),
}


@pytest.fixture
def exit_code(monkeypatch):
    """``exit_code(output, *words)``: of a command whose streams both fail at every write."""

    def run(output, *words):
        # replaced here, not during the setup: pytest replaces both streams again when the test begins
        streams = [os.fdopen(OUTPUTS[output](), "w", buffering=1) for _ in range(2)]
        code = 0
        with monkeypatch.context() as patch:
            patch.setattr(sys, "argv", ["gankit", *map(str, words)])
            patch.setattr(sys, "stdout", streams[0])
            patch.setattr(sys, "stderr", streams[1])
            try:
                main()
            except SystemExit as end:
                code = end.code or 0
        for stream in streams:
            stream.close()
        return code

    return run


@pytest.mark.parametrize("bar", [False, True], ids=["lines", "bar"])
@pytest.mark.parametrize("output", OUTPUTS)
def test_a_run_trains_to_its_end(exit_code, tiny, monkeypatch, output, bar):
    if bar:
        monkeypatch.setenv("FORCE_COLOR", "1")
    assert exit_code(output, "run", *tiny, "--out", "run") == 0
    record = json.loads(Path("run/run.json").read_text())
    assert record["ended"]["reason"] == "done"
    assert Path("run/checkpoints/step-00000003").is_dir()


@pytest.mark.parametrize("output", OUTPUTS)
def test_other_commands_end_as_usual(exit_code, tiny, output):
    assert exit_code(output, "list", *tiny[1:]) == 0
    assert exit_code(output, "check", *tiny) == 0
    assert exit_code(output, "check", "nowhere.yaml") == 2


def test_a_real_process_exits_without_a_message(start, tiny, tmp_path):
    """Where Python flushes its streams once more at the end."""
    color = {"FORCE_COLOR": "1"}  # a progress bar is still drawn when the run ends
    assert start("run", *tiny, "--out", "run", stdout="/dev/full", env=color).status == 0
    assert (tmp_path / "log.txt").read_text() == ""


def test_letters_that_the_terminal_lacks_are_escaped(monkeypatch, tmp_path):
    with (tmp_path / "out").open("w", encoding="ascii") as out:
        monkeypatch.setattr(sys, "stdout", out)
        with forgiving_streams():
            print("käfer")
    assert (tmp_path / "out").read_text() == "k\\xe4fer\n"


def test_output_that_can_be_written_is(monkeypatch, tmp_path):
    with (tmp_path / "out").open("w") as out:
        monkeypatch.setattr(sys, "stdout", out)
        monkeypatch.setattr(sys, "stderr", None)
        with forgiving_streams():
            print("one")
            print_message("lost")
        print("two")
    assert (tmp_path / "out").read_text() == "one\ntwo\n"
