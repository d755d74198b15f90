"""Training in a terminal: a pseudo-terminal is the standard output and error of the command."""

from __future__ import annotations

import os
import re
import sys
import threading
from types import SimpleNamespace

import pytest

from gankit.cli.progress_panel import BLOCKS

pyte = pytest.importorskip("pyte")
pty = pytest.importorskip("pty")

COLUMNS, LINES = 70, 30
PLUGIN = """
import os, signal, sys
import torch, gankit

class Eventful:
    def __init__(self, *, error: bool = False, interrupts: int = 0, nan: bool = False):
        self.error, self.interrupts, self.nan = error, interrupts, nan

    def on_step_end(self, run):
        step = run.state.step
        if run.not_finite() is not None:
            run.recover(go_on=True)
        elif step == 2:
            run.log(gankit.Finding("mode_collapse", "The generator has collapsed." + 20 * " lower the rate"))
            print("printed", end="")
            print(" in two parts")
            sys.stderr.write("a warning\\n")
            run.log(gankit.Evaluated({"fd": 20.0}, "fd", 20.0, 2))
            if self.nan:
                self.nan = False
                with torch.no_grad():
                    run.state.generator.linear.bias.fill_(float("nan"))
        elif step == 4:
            run.log(gankit.Recovered("mode_collapse", "mode collapse: no longer seen."))
            run.log(gankit.Evaluated({"fd": 30.0}, "fd", 20.0, 2))
            if self.error:
                raise gankit.GankitError("the disk is full")
            if self.interrupts:
                os.kill(os.getpid(), signal.SIGINT)
            if self.interrupts == 2:
                raise KeyboardInterrupt  # as gankit's handler of the second signal does

@gankit.hookimpl
def register(registries):
    registries.callbacks.add("eventful", Eventful)
"""


@pytest.fixture
def terminal(monkeypatch, tmp_path, tiny_recipe, tiny_plugin_file):
    """``terminal("run" or "resume", overrides, **options of the callback) -> screen, text, code``."""
    from gankit.cli.main import main

    (tmp_path / "eventful.py").write_text(PLUGIN)
    monkeypatch.setattr("gankit.cli.progress_panel.UPDATE_SECONDS", 0.0)
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"TERM": "xterm", "COLUMNS": str(COLUMNS), "LINES": str(LINES)}.items():
        monkeypatch.setenv(name, value)

    def run(command, *overrides, term="xterm", **options):
        monkeypatch.setenv("TERM", term)
        callbacks = [{"name": "eventful", **options}, {"name": "tiny", "save": True}]
        source = tiny_recipe(tmp_path, callbacks=callbacks, train={"steps": 6, "device": "cpu", "precision": "fp32"})
        plugins = ["--plugin", str(tiny_plugin_file), "--plugin", "eventful.py"]
        words = ["gankit", command, str(source) if command == "run" else "results/tiny", *overrides, *plugins]
        monkeypatch.setattr(sys, "argv", words)
        written: list[bytes] = []
        reader, writer = pty.openpty()
        with pytest.MonkeyPatch.context() as streams, os.fdopen(writer, "w", encoding="utf-8") as device:
            streams.setattr(sys, "stdout", device)
            streams.setattr(sys, "stderr", device)
            thread = threading.Thread(target=lambda: written.extend(iter(lambda: _read(reader), b"")))
            thread.start()
            with pytest.raises(SystemExit) as end:
                main()
            assert sys.stdout is sys.stderr is device
        thread.join()
        os.close(reader)
        screen = pyte.Screen(COLUMNS, LINES)
        text = b"".join(written).decode()
        pyte.Stream(screen).feed(text)
        rows = [row.rstrip() for row in screen.display]
        return SimpleNamespace(rows=[*filter(None, rows)], text=text, code=end.value.code or 0, screen=screen)

    return run


def _read(reader: int) -> bytes:
    try:
        return os.read(reader, 4096)
    except OSError:  # the other side is closed
        return b""


MESSAGE = "finding: The generator has collapsed." + 20 * " lower the rate"
PRINTED = [
    "preparing tiny ...",
    *(MESSAGE[start : start + COLUMNS].rstrip() for start in range(0, len(MESSAGE), COLUMNS)),
    "printed in two parts",
    "a warning",
    "step 2  fd 20",
    "recovered: mode collapse: no longer seen.",
    "step 4  fd 30",
]
"""The lines above the panel; `MESSAGE` is wrapped by the terminal, not by gankit."""


class TestRun:
    def test_messages_stand_above_the_panel(self, terminal):
        seen = terminal("run")
        assert seen.code == 0
        assert [*filter(None, PRINTED)] == seen.rows[: len(PRINTED)]
        name, bar, speed, loss, output, score, finding, done = seen.rows[len(PRINTED) :]
        assert name == "tiny  results/tiny/"
        assert bar.endswith("step 6/6  100%")
        assert speed.endswith("0:00 elapsed")
        assert loss.startswith("loss        D ")
        assert output.startswith("D's output  ")
        assert score == "score       fd 30 at step 4, best 20 at step 2"
        assert finding == "finding     mode collapse: recovered at step 4"
        assert done == "done: step 6, 48 images; see results/tiny/"
        assert not seen.screen.cursor.hidden

    def test_messages_are_written_unchanged(self, terminal):
        """Not even a line that is wider than the terminal is wrapped, so that it can be copied whole."""
        assert f"{MESSAGE.removeprefix('finding: ')}" in terminal("run").text.replace("\x1b[0m", "")

    def test_without_color(self, terminal, monkeypatch):
        assert "\x1b[33m" in terminal("run").text
        monkeypatch.setenv("NO_COLOR", "1")
        assert "\x1b[33m" not in terminal("run", "name=other").text

    def test_a_dumb_terminal_gets_lines(self, terminal):
        seen = terminal("run", term="dumb")
        assert "\x1b" not in seen.text
        assert "\nstep 6/6  " in seen.text.replace("\r", "")


class TestEndings:
    def test_an_error(self, terminal):
        seen = terminal("run", error=True)
        assert seen.code == 1
        assert not seen.screen.cursor.hidden
        start = seen.rows.index("tiny  results/tiny/")
        assert seen.rows[start + 1].endswith("step 4/6  66%")
        assert any("the disk is full" in row for row in seen.rows[start:])

    def test_ctrl_c(self, terminal):
        seen = terminal("run", interrupts=1)
        assert seen.code == 130
        assert not seen.screen.cursor.hidden
        start = seen.rows.index("tiny  results/tiny/")
        assert any(row.startswith("warning: SIGINT") for row in seen.rows[:start])
        assert seen.rows[start + 1].endswith("step 4/6  66%")
        assert "stopped after step 4: SIGINT" in seen.rows[start:]

    def test_ctrl_c_twice(self, terminal):
        seen = terminal("run", interrupts=2)
        assert seen.code == 130
        assert not seen.screen.cursor.hidden
        start = seen.rows.index("tiny  results/tiny/")
        assert any(row.startswith("error: interrupted twice") for row in seen.rows[start + 5 :])

    def test_a_resumed_run_shows_what_was_found_before(self, terminal, plain):
        terminal("run", "train.steps=3")
        seen = terminal("resume", "train.steps=4")
        text = plain(seen.text)
        first = text[text.index("tiny  results/tiny/") :].splitlines()
        assert first[1].rstrip().endswith("step 3/4  75%")
        assert first[2] == "score       fd 20 at step 2 (best)"
        assert first[3].startswith("finding     step 2: The generator has collapsed.")
        assert first[4].startswith("checkpoint  step-00000003")
        assert "finding     mode collapse: recovered at step 4" in seen.rows

    def test_a_run_that_returns_to_its_start(self, terminal, plain):
        """The counters go back, and the sparklines forget the steps that are repeated."""
        seen = terminal("run", nan=True)
        assert seen.code == 0
        text = plain(seen.text)
        steps = [int(step) for step in re.findall(r"step (\d)/6  ", text)]
        assert 0 in steps[steps.index(3) :]
        assert "warning: returned from step 3 to step 0" in seen.rows
        loss = next(row for row in seen.rows if row.startswith("loss"))
        assert sum(c in BLOCKS for c in loss) == 2 * 6
