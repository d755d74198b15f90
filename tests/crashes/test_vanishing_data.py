"""Images that vanish or are damaged while a run reads them: one clear error, and the run goes on once they are back."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


@pytest.mark.parametrize(("kind", "workers"), [("folder", 2), ("file", 0)])
def test_data_that_vanishes(
    cli, tmp_path, monkeypatch, workers, kind, require_whole, outcome, tiny_recipe, writing_parts, tiny_plugin_file
):
    monkeypatch.chdir(tmp_path)
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    random = np.random.default_rng(0)
    for number in range(12):
        Image.fromarray(random.integers(0, 256, (20, 20, 3), dtype=np.uint8)).save(pictures / f"{number}.png")
    Path("vanish.py").write_text(
        "import gankit, pathlib\n"
        "class Vanish:\n"
        "    def on_step_end(self, run):\n"
        "        if run.state.step == 3 and pathlib.Path('armed').exists():\n"
        f"            pathlib.Path('pictures').rename('elsewhere') if {kind == 'folder'} else "
        "[path.rename('elsewhere.png') for path in pathlib.Path('pictures').glob('7.png')]\n"
        "@gankit.hookimpl\n"
        "def run_callbacks(recipe): return [Vanish()]\n"
    )
    recipe = tiny_recipe(
        tmp_path,
        **writing_parts,
        dataset={"name": "image_folder", "path": "pictures"},
        loader={"batch_size": 8, "cache": "none", "workers": workers},
        train={"steps": 12, "device": "cpu", "precision": "fp32"},
    )
    words = ["--plugin", tiny_plugin_file, "--plugin", "vanish.py"]
    assert cli("run", recipe.name, *words, "--out", "whole").code == 0
    Path("armed").touch()
    said = cli("run", recipe.name, *words, "--out", "run")
    assert said.code == 1
    assert said.err.startswith("error: ")
    assert "pictures" in said.err
    assert len(said.err.splitlines()) == 1
    assert ("no longer exists" in said.err) == (kind == "folder")
    assert said.err.endswith("; restore it\n")
    assert "gankit resume run --plugin" in said.out
    assert require_whole(tmp_path / "run") >= 2
    if kind == "folder":
        assert cli("resume", "run", *words).code == 2
        Path("elsewhere").rename(pictures)
    else:
        Path("elsewhere.png").rename(pictures / "7.png")
    Path("armed").unlink()
    assert cli("resume", "run", *words).code == 0
    assert outcome(tmp_path / "run") == outcome(tmp_path / "whole")


@pytest.mark.parametrize("fault", ["deleted", "cut", "emptied"])
def test_a_zip_that_vanishes(
    cli, tmp_path, monkeypatch, require_whole, tiny_recipe, writing_parts, tiny_plugin_file, fault
):
    """One that is open can be read to the end, and is missed on resuming; one that is damaged ends the run."""
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(0)
    with zipfile.ZipFile("pictures.zip", "w") as archive:
        for number in range(12):
            with archive.open(f"{number}.png", "w") as file:
                Image.fromarray(random.integers(0, 256, (20, 20, 3), dtype=np.uint8)).save(file, "PNG")
    shutil.copyfile("pictures.zip", "whole.zip")
    harm = {"deleted": "path.unlink()", "cut": "os.truncate(path, 500)", "emptied": "os.truncate(path, 0)"}[fault]
    Path("vanish.py").write_text(
        "import gankit, os, pathlib\n"
        "class Vanish:\n"
        "    def on_step_end(self, run):\n"
        "        path = pathlib.Path('pictures.zip')\n"
        f"        if run.state.step == 3: {harm}\n"
        "@gankit.hookimpl\n"
        "def run_callbacks(recipe): return [Vanish()]\n"
    )
    recipe = tiny_recipe(
        tmp_path,
        **writing_parts,
        dataset={"name": "image_folder", "path": "pictures.zip"},
        loader={"batch_size": 8, "cache": "none", "workers": 0},
        train={"steps": 6, "device": "cpu", "precision": "fp32"},
    )
    said = cli("run", recipe.name, "--plugin", tiny_plugin_file, "--plugin", "vanish.py", "--out", "run")
    words = ["run", "train.steps=8", "--plugin", tiny_plugin_file]
    if fault == "deleted":
        assert said.code == 0
        assert require_whole(tmp_path / "run") == 6
    else:
        assert said.code == 1
        assert said.err.startswith("error: ")
        assert "pictures.zip: " in said.err
        assert len(said.err.splitlines()) == 1
        assert require_whole(tmp_path / "run") >= 2
    refused = cli("resume", *words)
    assert refused.code == 2
    assert refused.err.count("\n") == 1
    assert (
        "does not exist" if fault == "deleted" else "nor a complete zip" if fault == "emptied" else "zip"
    ) in refused.err
    shutil.move("whole.zip", "pictures.zip")
    assert cli("resume", *words).code == 0
