"""The time that a command takes, against a Python process that only imports torch."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import RECIPES

GANKIT = [str(Path(sys.executable).with_name("gankit"))]
if not Path(GANKIT[0]).is_file():
    GANKIT = [found] if (found := shutil.which("gankit")) else [sys.executable, "-m", "gankit"]
COMMANDS = {
    "python": [sys.executable, "-c", "pass"],
    "help": [*GANKIT, "--help"],
    **{f"check {path.stem}": [*GANKIT, "check", str(path)] for path in sorted(RECIPES.glob("*.yaml"))},
}


@pytest.mark.parametrize("command", COMMANDS)
def test_start(command, compare, benchmark, amount):
    def ask(words):
        subprocess.run(words, check=True, stdout=subprocess.DEVNULL)

    compare(
        lambda: ask(COMMANDS[command]),
        lambda: ask([sys.executable, "-c", "import torch"]),
        against='python -c "import torch"',
        rounds=min(amount.rounds, 10),
    )
    info = benchmark.extra_info
    info["milliseconds_beyond_import_torch"] = round(info["milliseconds"] - info["other_milliseconds"], 1)
