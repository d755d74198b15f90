"""Output that cannot be written: it changes neither a run nor the exit code of a command."""

from __future__ import annotations

import json
import os
import subprocess
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


@pytest.fixture(params=OUTPUTS)
def broken(request, monkeypatch):
    """Both streams fail at every write."""
    streams = []
    for name in ("stdout", "stderr"):
        streams.append(os.fdopen(OUTPUTS[request.param](), "w", buffering=1))
        monkeypatch.setattr(sys, name, streams[-1])
    yield
    for stream in streams:
        stream.close()


def exit_code(monkeypatch, *words):
    monkeypatch.setattr(sys, "argv", ["gankit", *map(str, words)])
    try:
        main()
    except SystemExit as end:
        return end.code or 0
    return 0


def test_a_run_trains_to_its_end(broken, tiny, monkeypatch):
    assert exit_code(monkeypatch, "run", *tiny, "--out", "run") == 0
    record = json.loads(Path("run/run.json").read_text())
    assert record["ended"]["reason"] == "done"
    assert Path("run/checkpoints/step-00000003").is_dir()


def test_other_commands_end_as_usual(broken, tiny, monkeypatch):
    assert exit_code(monkeypatch, "list", *tiny[1:]) == 0
    assert exit_code(monkeypatch, "check", *tiny) == 0
    assert exit_code(monkeypatch, "check", "nowhere.yaml") == 2


@pytest.mark.parametrize("bar", [False, True], ids=["lines", "bar"])
def test_a_real_process_exits_without_a_message(tiny, bar):
    """Where Python flushes its streams once more at the end."""
    environment = {**os.environ, **({"FORCE_COLOR": "1"} if bar else {})}
    words = [sys.executable, "-m", "gankit", "run", *map(str, tiny), "--out", "run"]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(words, stdout=full, stderr=subprocess.PIPE, env=environment, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


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
