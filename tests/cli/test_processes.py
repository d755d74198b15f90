"""Behavior that only a separate process shows."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import gankit


class TestProcesses:
    def run(self, *words: str, **more: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "gankit", *words], capture_output=True, text=True, check=False, **more
        )

    def test_python_m_gankit(self):
        assert self.run("--version").stdout == f"gankit {gankit.__version__}\n"
        done = self.run("check", "nowhere.yaml")
        assert (done.returncode, done.stdout, done.stderr) == (2, "", "error: nowhere.yaml: no such file\n")

    def test_help_imports_no_torch(self):
        script = "import sys; from gankit.cli.main import main; sys.argv = ['gankit', '--help']\n"
        script += (
            "try: main()\nexcept SystemExit: print([m for m in ('torch', 'numpy', 'pydantic') if m in sys.modules])"
        )
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
        assert done.stdout.splitlines()[-1] == "[]"

    def test_a_closed_pipe(self):
        reader, writer = os.pipe()
        os.close(reader)
        words = [sys.executable, "-m", "gankit", "--version"]
        done = subprocess.run(words, stdout=writer, stderr=subprocess.PIPE, check=False)
        os.close(writer)
        assert (done.returncode, done.stderr) == (0, b"")

    @pytest.mark.slow  # other tests send it within one process, and to a group
    def test_sigterm_saves_and_exits(self, tiny, tmp_path):
        words = [str(tiny[0]), "train.steps=100000", "--plugin", str(tiny[2]), "--out", "mine"]
        process = subprocess.Popen([sys.executable, "-m", "gankit", "run", *words], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("step 1/"):
                break
        process.send_signal(signal.SIGTERM)
        rest = process.stdout.read()
        assert process.wait(30) == 143
        assert "stopped after step" in rest
        assert "gankit resume mine" in rest
        assert len(list(Path("mine/checkpoints").iterdir())) == 1

    @pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
    def test_a_command_that_a_signal_ends_leaves_no_temporary_files(self, name):
        Path("pictures").mkdir()
        for index in range(3):
            Image.new("RGB", (16, 16), (index, 0, 0)).save(f"pictures/{index}.png")
        script = (
            "import os, signal, sys, zipfile\n"
            "from gankit.cli.main import main\n"
            f"zipfile.ZipFile.writestr = lambda *_, **__: os.kill(os.getpid(), signal.{name})\n"
            "sys.argv = ['gankit', 'data', 'pack', 'pictures', 'packed.zip']\n"
            "main()\n"
        )
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (128 + getattr(signal, name), "")
        assert [path.name for path in Path().iterdir()] == ["pictures"]
