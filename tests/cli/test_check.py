"""``gankit check``."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DCGAN = ROOT / "recipes" / "dcgan_cifar10.yaml"


class TestCheck:
    def test_it_prints_every_default(self, cli):
        said = cli("check", DCGAN, "train.epochs=3", "loss.label_smoothing=0.1")
        assert said.code == 0
        assert said.err == ""
        assert "dcgan_cifar10.yaml is valid" in said.out
        assert re.search(r"^ *loss +bce +label_smoothing=0.1 *$", said.out, re.MULTILINE)
        assert "eps=1e-08" in said.out
        assert "epochs: 3" in said.out
        assert "flip=false" in said.out
        assert "betas=[0.5, 0.999]" in said.out

    def test_brackets_are_printed_literally(self, cli, tiny, tmp_path):
        (tmp_path / "[bold]x[red].yaml").write_text((tmp_path / "tiny.yaml").read_text())
        said = cli("check", "[bold]x[red].yaml", *tiny[1:])
        assert "[bold]x[red].yaml is valid" in said.out

    @pytest.mark.usefixtures("narrow")
    def test_a_narrow_terminal(self, cli, plain):
        said = cli("check", DCGAN)
        assert said.code == 0
        assert max(map(len, plain(said.out).splitlines())) <= 50

    def test_it_writes_nothing(self, cli, tiny, tmp_path):
        before = sorted(path.name for path in tmp_path.iterdir())
        assert cli("check", *tiny).code == 0
        assert sorted(path.name for path in tmp_path.iterdir()) == before

    @pytest.mark.parametrize("words", [["dcgan_cifar10_kornia"], ["dcgan_image_folder", "dataset.path=images"]])
    def test_recipes_are_valid(self, cli, words):
        """Others are checked without a command by the tests of the recipes."""
        said = cli("check", ROOT / "recipes" / f"{words[0]}.yaml", *words[1:])
        assert (said.code, said.err) == (0, "")


class TestBeforeTheDataIsPrepared:
    """Faults that need no data are found before the data, which do not even exist here."""

    @pytest.fixture
    def recipe(self, tiny_recipe, tmp_path):
        return tiny_recipe(tmp_path, dataset={"name": "image_folder", "path": "nowhere"})

    @pytest.mark.parametrize("verb", ["check", "run"])
    def test_missing_initial_weights(self, cli, recipe, tiny_plugin_file, verb):
        said = cli(verb, recipe, "initialize=absent", "--plugin", tiny_plugin_file)
        assert said.code == 2
        assert "initialize: absent: no such run or checkpoint" in said.err
        assert "image" not in said.err

    @pytest.mark.parametrize("verb", ["check", "run"])
    def test_initial_weights_of_other_networks(self, cli, recipe, tiny_recipe, tiny_plugin_file, tmp_path, verb):
        first = tiny_recipe(tmp_path, file="first.yaml", callbacks=[{"name": "checkpoint"}])
        out = tmp_path / "out"
        assert cli("run", first, "--out", out, "--plugin", tiny_plugin_file).code == 0
        fits = cli("check", recipe, f"initialize={out}", "--plugin", tiny_plugin_file)
        assert fits.code == 0, fits.err
        said = cli(verb, recipe, f"initialize={out}", "latent.dim=7", "--plugin", tiny_plugin_file)
        assert said.code == 2
        assert "does not fit the generator: 1 of another shape: generator.linear.weight [768, 4] instead of [768, 7]" in said.err
        assert "nowhere" not in said.err

    def test_a_run_directory_that_cannot_be_written(self, cli, recipe, tiny_plugin_file, tmp_path):
        (tmp_path / "file").touch()
        said = cli("run", recipe, "--out", tmp_path / "file" / "run", "--plugin", tiny_plugin_file)
        assert said.code == 2
        assert "file/run: cannot be written" in said.err
        assert "nowhere" not in said.err
