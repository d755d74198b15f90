"""The help of all commands, the version, and misuse."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

import gankit

ROOT = Path(__file__).parents[2]
COMMANDS = (
    "run", "resume", "check", "list", "show", "schema", "plugins", "sample", "project", "directions", "explore", "eval",
    "import", "export", "search", "compare", "report", "doctor", "bench", "push", "completion", "new", "data",
)  # fmt: skip
DATA_COMMANDS = ("data show", "data pack", "data encode")


class TestHelp:
    def test_it_lists_all_commands(self, cli):
        for words in (["--help"], ["-h"]):
            said = cli(*words)
            assert said.code == 0
            assert all(f" {command} " in said.out for command in COMMANDS)
            assert "gankit run recipes/quickstart.yaml" in said.out

    def test_no_command_shows_the_help(self, cli):
        said = cli()
        assert said.code == 2
        assert "Usage" in said.out + said.err

    @pytest.mark.parametrize("command", [*COMMANDS, *DATA_COMMANDS])
    def test_each_command_has_examples_with_existing_recipes(self, cli, command):
        said = cli(*command.split(), "--help")
        assert said.code == 0
        examples = re.findall(rf"^ *(gankit {command}.*?) *$", said.out, re.MULTILINE)
        assert examples
        for recipe in re.findall(r"recipes/\S+\.yaml", said.out):
            assert (ROOT / recipe).exists(), f"{recipe} does not exist"
        assert "Traceback" not in said.err

    def test_the_examples_of_lookup_commands_work(self, cli, monkeypatch, tmp_path):
        monkeypatch.chdir(ROOT)
        for verb in ("check", "list", "show", "plugins"):
            for example in re.findall(rf"^ *gankit ({verb}.*?) *$", cli(verb, "--help").out, re.MULTILINE):
                if "my_gan" not in example:
                    assert cli(*example.split()).code == 0, example

    def test_version(self, cli):
        assert cli("--version") == (0, f"gankit {gankit.__version__}\n", "")

    @pytest.mark.parametrize(
        ("words", "message"),
        [
            (["lst"], "No such command 'lst'"),
            (["run"], "Missing argument"),
            (["list", "--nope"], "No such option"),
            (["sample", "x", "--count", "0"], "--count"),
            (["sample", "x", "--count", "many"], "--count"),
            (["sample", "x", "--seed", "-1"], "--seed"),
        ],
    )
    def test_misuse_exits_with_code_2(self, cli, words, message, plain):
        said = cli(*words)
        assert said.code == 2
        assert message in plain(said.err)
        assert "Traceback" not in said.err


def test_lookup_commands_build_no_networks(cli, monkeypatch):
    commands = (["list"], ["show", "losses", "bce"], ["plugins"])
    for words in commands:  # import the plugins
        cli(*words)
    built = []
    original = torch.nn.Module.__init__
    monkeypatch.setattr(
        torch.nn.Module, "__init__", lambda self, *args, **kwargs: built.append(self) or original(self, *args, **kwargs)
    )
    for words in commands:
        assert cli(*words).code == 0
    assert built == []
    torch.nn.Identity()
    assert len(built) == 1
