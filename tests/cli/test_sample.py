"""``gankit sample``: classes and interpolation."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image

import gankit


class TestSample:
    @pytest.fixture
    def conditional(self, cli, tiny_recipe, tiny_plugin_file, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        recipe = tiny_recipe(tmp_path, conditional=True)
        assert cli("run", recipe, "train.steps=2", "--plugin", tiny_plugin_file, "--out", "run").code == 0
        return "run", "--plugin", tiny_plugin_file

    def test_one_row_per_class(self, cli, conditional):
        said = cli("sample", *conditional, "--classes", "b,0", "--count", 6)
        assert (said.code, said.err) == (0, "")
        rows = gankit.load_generator("run", plugins=[str(conditional[2])]).sample(6, labels=[1, 1, 1, 0, 0, 0])
        gankit.save_grid(rows, "expected.png", columns=3)
        assert Path("grid.png").read_bytes() == Path("expected.png").read_bytes()
        said = cli("sample", *conditional, "--classes", "all", "--count", 4, "--device", "cpu", "--out", "all.png")
        assert said.code == 0

    def test_an_interpolation_as_rows_and_as_an_animation(self, cli, conditional):
        said = cli("sample", *conditional, "--interpolate", 5, "--count", 3, "--out", "latents.gif", "truncation=0.5")
        assert (said.code, said.err) == (0, "")
        assert said.out.startswith(
            "latents.gif: interpolation of 3 latents, 5 steps each, of run/checkpoints/step-00000002"
        )
        with Image.open("latents.gif") as picture:
            assert (picture.n_frames, picture.info["loop"], picture.info["duration"]) == (15, 0, 50)
        assert cli("sample", *conditional, "--interpolate", 5, "--classes", "a", "--out", "rows.png").code == 0
        generator = gankit.load_generator("run", plugins=[str(conditional[2])])
        images = generator.interpolate(8, 5, labels=[0] * 8)
        assert images.shape == (8, 5, *images.shape[2:])
        assert torch.equal(images[:, 0], generator.sample(8, labels=[0] * 8))
        gankit.save_grid(images.flatten(0, 1), "expected.png", columns=5)
        assert Path("rows.png").read_bytes() == Path("expected.png").read_bytes()
        words = ("--interpolate", 5, "--seed", 7, "--classes", "a", "--out", "rows.png")
        assert cli("sample", *conditional, *words).code == 0
        gankit.save_grid(generator.interpolate(8, 5, 7, labels=[0] * 8).flatten(0, 1), "expected.png", columns=5)
        assert Path("rows.png").read_bytes() == Path("expected.png").read_bytes()

    @pytest.mark.parametrize(
        ("words", "message"),
        [
            (["--classes", "bb"], "--classes: unknown class 'bb'"),
            (["--device", "cuda:99"], "--device: 'cuda:99' is not available"),
            (["--classes", "2"], "--classes: unknown class '2'"),
            (["--classes", "a,b", "--count", 1], "2 classes need at least 2 images, not 1"),
            (["--classes", "all,a"], "--classes: all stands for every class; give it alone"),
            (["truncation=1", "truncation=0.5"], "command line: truncation: is given 2 times; give it once"),
            (["--classes", "a", "labels=[0]"], "labels and --classes both"),
            (["--out", "latents.gif"], "add --interpolate"),
            (["--out", "grid.bmp"], "written as .png, .jpg"),
            (["--interpolate", 4, "--count", 1], "at least 2 latents"),
            (["steps=3"], "steps: is not a sampling option; use --interpolate"),
        ],
    )
    def test_invalid_options(self, cli, conditional, words, message):
        said = cli("sample", *conditional, *words)
        assert said.code == 2
        assert message in said.err.replace("\n", " ")
        assert "Traceback" not in said.err

    def test_an_unconditional_generator_has_no_classes(self, cli, tiny):
        assert cli("run", *tiny).code == 0
        assert "unconditional" in cli("sample", "results/tiny", "--classes", "a", *tiny[1:]).err
