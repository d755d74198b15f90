"""Commands of other packages."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest


class TestCommandsOfOtherPackages:
    """Entry points of the group ``gankit.commands``."""

    @pytest.fixture
    def install(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, str], None]]:
        def put(verb: str, text: str) -> None:
            info = tmp_path / "site" / f"{verb}_tools-2.0.dist-info"
            info.mkdir(parents=True)
            (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {verb}-tools\nVersion: 2.0\n")
            (info / "entry_points.txt").write_text(f"[gankit.commands]\n{verb} = {verb}_tools:verb\n")
            (tmp_path / "site" / f"{verb}_tools.py").write_text(text)
            monkeypatch.syspath_prepend(tmp_path / "site")
            modules.append(f"{verb}_tools")

        modules: list[str] = []
        yield put
        for module in modules:
            sys.modules.pop(module, None)

    FUNCTION = (
        "import gankit, typer\n"
        "def verb(word: str, times: int = 1):\n"
        "    '''Prints a word.'''\n"
        "    if word == 'bad': raise gankit.GankitError('a bad word')\n"
        "    typer.echo(' '.join([word] * times))\n"
    )

    def test_the_help_lists_it_and_calling_imports_it(self, cli, install):
        install("echo", self.FUNCTION)
        said = cli("--help")
        assert re.search(r"echo +\(from echo-tools 2.0\)", said.out)
        assert "echo_tools" not in sys.modules
        assert cli("list", "losses").code == 0
        assert "echo_tools" not in sys.modules
        assert cli("echo", "hello", "--times", "2") == (0, "hello hello\n", "")
        assert "echo_tools" in sys.modules

    def test_its_own_help_and_errors(self, cli, install, plain):
        install("echo", self.FUNCTION)
        said = cli("echo", "--help")
        assert said.code == 0
        assert "Prints a word." in said.out
        assert "--times" in plain(said.out)
        assert cli("echo", "bad") == (2, "", "error: a bad word\n")
        assert cli("echo").code == 2

    def test_a_typer_application(self, cli, install):
        install(
            "zoo",
            "import typer\nverb = typer.Typer()\n"
            "@verb.command()\ndef cat(): typer.echo('meow')\n"
            "@verb.command()\ndef dog(): typer.echo('woof')\n",
        )
        assert cli("zoo", "dog") == (0, "woof\n", "")

    def test_a_broken_command_does_not_affect_others(self, cli, install):
        install("broken", "import no_such_module\n")
        assert cli("--help").code == 0
        assert cli("list", "losses").code == 0
        said = cli("broken")
        assert said.code == 2
        assert said.err == (
            "error: command 'broken' of broken-tools 2.0: ModuleNotFoundError: No module named 'no_such_module'\n"
        )

    def test_built_in_commands_cannot_be_replaced(self, cli, install, plain):
        install("list", "raise RuntimeError\n")
        assert cli("list", "losses").code == 0
        assert len(re.findall(r"^. list ", plain(cli("--help").out), re.MULTILINE)) == 1
