"""CI runs the commands that the README gives for the set-up."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
SET_UP = "python3 -m venv .venv && .venv/bin/pip install -q -e "


def test_ci_runs_the_two_set_up_commands(sh_lines):
    commands = [command for command in sh_lines("README.md") if not command.startswith("gankit ")]
    assert commands == [
        f"{SET_UP}. && .venv/bin/gankit run recipes/quickstart.yaml",
        f'{SET_UP}".[dev]" && .venv/bin/python -m pytest -n 2',
    ]
    check = (ROOT / ".ci/run").read_text(encoding="utf-8")
    run_command, test_command = (command.replace(".venv", ".ci/venv") for command in commands)
    assert {f"{run_command} --out .ci/results/quickstart", test_command} <= {*check.splitlines()}


def test_ci_leaves_the_environment_and_the_results_of_the_developer_alone():
    check = (ROOT / ".ci/run").read_text(encoding="utf-8")
    code = [line for line in check.splitlines() if not line.startswith("#")]
    removed = [word for line in code if line.startswith("rm ") for word in line.split()[2:]]
    assert {".ci/venv", ".ci/results"} == {*removed}
    assert not re.findall(r"(?<!\.ci/)(?<!\w)(?:\.venv|results)/", "\n".join(code))
    ignored = (ROOT / ".gitignore").read_text().splitlines()
    assert {"/.ci/venv/", "/.ci/results/"} <= {*ignored}
