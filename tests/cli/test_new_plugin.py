"""gankit new plugin, and docs/plugin_guide.md, whose commands are run one after the other."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

import gankit
from gankit.cli.new import Kind

ROOT = Path(__file__).parents[2]
KINDS = get_args(Kind)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(command: list[str], folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=folder, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("kind", KINDS)
def test_a_package_of_each_kind(cli, kind, folder):
    """Its recipe uses its component, all names are replaced, and ruff accepts it."""
    said = cli("new", "plugin", "My.first-plugin", "--kind", kind, "--out", "new/here")
    assert (said.code, said.err) == (0, "")
    package = folder / "new" / "here"
    for file in package.rglob("*"):
        assert not re.search("plugin.name|KINDS", f"{file.name} {file.read_text() if file.is_file() else ''}")
    runtime = gankit.Runtime([package / "my_first_plugin" / "__init__.py"])
    checked = runtime.load_checked(package / "recipe.yaml")
    used = {selected.entry.name for selected in checked.components.values()}
    assert ("my_first_plugin" in used) != (kind == "metric")  # which the callback `evaluate` names
    if ruff := shutil.which("ruff"):
        for command in ("check", "format --check"):
            done = run([ruff, *command.split(), "--no-cache", "."], package)
            assert done.returncode == 0, done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_its_own_tests_pass(cli, kind, folder):
    cli("new", "plugin", "some-plugin", "--kind", kind)
    package = folder / "some-plugin"
    paths = os.pathsep.join(filter(None, [str(package), os.environ.get("PYTHONPATH")]))
    for command in ("pytest -q", "gankit plugins check some_plugin"):
        done = run([sys.executable, "-m", *command.split()], package, PYTHONPATH=paths)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("my gan", "'my gan': is not the name of a package"),
        ("-gan", "No such option"),
        ("gan-", "is not the name of a package"),
        ("", "is not the name of a package"),
        ("../gan", "is not the name of a package"),
        ("2gan", "its module would be called '2gan'"),
        ("class", "its module would be called 'class'"),
        ("torch", "a module 'torch' is installed already"),
        ("json", "a module 'json' is installed already"),
        ("Gankit.DCGAN", "a module 'gankit_dcgan' is installed already"),
        ("dcgan", "the generator 'dcgan' of plugin 'gankit_dcgan' exists"),
        ("tests", "choose another name"),
    ],
)
def test_names_that_are_refused(cli, folder, name, message, plain):
    said = cli("new", "plugin", name, "--kind", "generator")
    assert said.code == 2
    assert message in plain(said.err)
    assert list(folder.iterdir()) == []


def test_nothing_is_overwritten(cli, folder):
    (folder / "my-gan").mkdir()
    said = cli("new", "plugin", "my-gan", "--kind", "loss")
    assert (said.code, said.err) == (2, "error: my-gan: exists; give a new folder with --out\n")
    assert list((folder / "my-gan").iterdir()) == []


def test_an_unknown_kind(cli, folder):
    assert cli("new", "plugin", "my-gan", "--kind", "codecs").code == 2
    assert list(folder.iterdir()) == []


@pytest.mark.slow
def test_the_guide(folder):
    """Its commands. Packages are installed into a folder and built without network; the training ends after two steps."""
    text = (ROOT / "docs" / "plugin_guide.md").read_text(encoding="utf-8")
    lines = "\n".join(re.findall(r"^```sh\n(.*?)^```", text, flags=re.S | re.M)).splitlines()
    site, working = folder / "site", folder
    paths = os.pathsep.join(filter(None, [str(site), os.environ.get("PYTHONPATH")]))
    replaced = {
        'pip install -e ".[dev]"': f"{sys.executable} -m pip install -q --no-deps --no-build-isolation --target {site} .",
        "gankit run recipe.yaml": f"{sys.executable} -m gankit run recipe.yaml train.steps=2",
        "python -m build": f"{sys.executable} -m build --no-isolation",
    }
    for line in filter(None, lines):
        if line.startswith("cd "):
            working = working / line.removeprefix("cd ")
            continue
        command = replaced.get(line, re.sub("^(gankit|pytest|ruff) ?", rf"{sys.executable} -m \1 ", line))
        done = run(command.split(), working, PYTHONPATH=paths)
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
    assert (working / "results" / "my_gan" / "recipe.yaml").is_file()
    assert {path.suffix for path in (working / "dist").iterdir()} == {".whl", ".gz"}
