"""``gankit check``."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DCGAN = ROOT / "recipes" / "dcgan_cifar10.yaml"


def plain(text: str) -> str:
    """Without color codes."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)


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
    def test_a_narrow_terminal(self, cli):
        said = cli("check", DCGAN)
        assert said.code == 0
        assert max(map(len, plain(said.out).splitlines())) <= 50

    def test_it_writes_nothing(self, cli, tiny, tmp_path):
        before = sorted(path.name for path in tmp_path.iterdir())
        assert cli("check", *tiny).code == 0
        assert sorted(path.name for path in tmp_path.iterdir()) == before

    def test_the_dcgan_recipes_are_valid(self, cli):
        for recipe in sorted((ROOT / "recipes").glob("dcgan_*.yaml")):
            words = ["dataset.path=images"] if "image_folder" in recipe.name else []
            said = cli("check", recipe, *words)
            assert said.code == 0, said.err
