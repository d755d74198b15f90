"""gankit completion: what it offers, and that the shells ask for it and insert it."""

from __future__ import annotations

import os
import pty
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import gankit

ROOT = Path(__file__).parents[2]
SHELLS = ("bash", "zsh", "fish")


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def folder(cache, tmp_path, monkeypatch):
    """A working directory with a recipe and a run, and a cache that the tests share."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "some recipes").mkdir()
    shutil.copy(ROOT / "recipes" / "quickstart.yaml", tmp_path)
    (tmp_path / "notes.txt").touch()
    run = tmp_path / "results" / "first"
    run.mkdir(parents=True)
    shutil.copy(tmp_path / "quickstart.yaml", run / "recipe.yaml")
    (tmp_path / "results" / "other").mkdir()
    return tmp_path


@pytest.fixture
def offered(cli):
    """``offered(word, ...)``: the words that the last one may become."""

    def complete(*words: str) -> list[str]:
        said = cli("completion", "bash", "--", *words)
        assert (said.code, said.err) == (0, "")
        return [line.partition("\t")[0] for line in said.out.splitlines()]

    return complete


class TestWords:
    def test_commands(self, offered):
        assert offered("ru") == ["run"]
        assert {"run", "resume", "check", "completion"} <= {*offered("")}
        assert offered("nothing") == offered("nothing", "") == []

    def test_options(self, offered):
        assert offered("run", "--p") == ["--plugin"]
        assert {"--out", "--plugin", "--help"} == {*offered("run", "--")}
        assert offered("eval", "results/first", "--device", "c") == ["cpu", "cuda"]

    def test_recipes(self, offered):
        assert offered("run", "") == ["quickstart.yaml", "results/", "some recipes/"]
        assert offered("check", "results/first/") == ["results/first/recipe.yaml"]
        assert offered("run", "--out", "somewhere", "q") == ["quickstart.yaml"]

    def test_runs_and_models(self, offered):
        assert offered("resume", "") == ["results/first"]
        assert offered("sample", "") == ["results/first", "builtin:cifar10"]
        assert offered("compare", "results/first", "r") == ["results/first"]

    def test_kinds_and_names(self, offered):
        assert offered("list", "lo") == ["losses"]
        assert offered("show", "t") == ["train"]
        names = [entry.name for entry in gankit.Runtime().registries.losses]
        assert offered("show", "loss", "") == offered("show", "losses", "") == names
        assert offered("eval", "results/first", "--metrics", "fd,ps") == ["fd,psnr"]

    def test_plugins(self, offered, tiny_plugin_file):
        assert "tiny" in offered("show", "generators", "--plugin", str(tiny_plugin_file), "")
        assert "tiny" not in offered("show", "generators", "")


class TestOverrides:
    @pytest.mark.parametrize(
        ("word", "expected"),
        [
            ("load", ["loader=", "loader."]),
            ("loader.fl", ["loader.flip="]),
            ("loader.flip=", ["loader.flip=true", "loader.flip=false"]),
            ("generator.w", ["generator.width="]),
            ("generator.style", []),
            ("loss=h", ["loss=hinge"]),
            ("generator.name=sty", ["generator.name=stylegan2"]),
            ("callbacks.check", ["callbacks.checkpoint=", "callbacks.checkpoint."]),
            ("callbacks.checkpoint.k", ["callbacks.checkpoint.keep="]),
            ("optimizers.generator.lr.sh", ["optimizers.generator.lr.shape="]),
            ("optimizers.generator.lr.shape=c", ["optimizers.generator.lr.shape=cosine"]),
            ("train.game=a", ["train.game=adversarial", "train.game=apa"]),
            ("extends", []),
            ("nothing.at", []),
            ("nothing=", []),
        ],
    )
    def test_keys_and_values(self, offered, word, expected):
        assert offered("run", "quickstart.yaml", word) == expected
        assert offered("resume", "results/first", "train.steps=5", word) == expected

    def test_parameters_of_the_component_that_an_earlier_word_selects(self, offered):
        assert "generator.style_dim=" in offered("run", "quickstart.yaml", "generator=stylegan2", "generator.")

    def test_without_a_readable_recipe(self, offered, folder):
        (folder / "bad.yaml").write_text("a: [")
        for name in ("bad.yaml", "missing.yaml"):
            assert "generator.style_dim=" in offered("run", name, "generator.s")


def test_the_cache_follows_the_plugin(offered, folder):
    """A changed plugin file gives other names; unchanged ones are not imported again."""
    plugin = folder / "mine.py"
    source = "import gankit\n\n@gankit.hookimpl\ndef register(registries):\n    registries.losses.add('NAME', lambda: None)\n"
    for name in ("first_loss", "second_loss"):
        plugin.write_text(source.replace("NAME", name))
        os.utime(plugin, ns=(0, len(name)))
        assert [word for word in offered("show", "losses", "--plugin", "mine.py", "") if "_loss" in word] == [name]


def completion_process(shell: str, *words: str) -> list[str]:
    """The output of a new process, and the modules that it has imported."""
    script = (
        "import sys; from gankit.cli.main import main\n"
        "try: main()\nexcept SystemExit: pass\n"
        "print('torch' in sys.modules, 'numpy' in sys.modules)"
    )
    command = [sys.executable, "-c", script, "completion", shell, "--", *words]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()


@pytest.mark.parametrize("shell", SHELLS)
def test_a_warm_cache_needs_no_torch(shell, offered):
    offered("run", "quickstart.yaml", "loss=")
    line, imported = completion_process(shell, "run", "quickstart.yaml", "loss=hin")
    assert line.startswith("loss=hinge\t")
    assert imported == "False False"


def test_an_unknown_shell(cli):
    assert cli("completion", "tcsh").code == 2


# zsh takes a tab literally if more input is waiting, as it does here
ZSH_RC = """\
autoload -U compinit
compinit -u
zstyle ':completion:*' insert-tab false
eval "$(gankit completion zsh)"
"""
SET_UP = {
    "bash": (["bash", "--noprofile", "--rcfile", "{rc}", "-i"], 'eval "$(gankit completion bash)"\n'),
    "zsh": (["zsh", "-d", "-i"], ZSH_RC),
    "fish": (["fish", "--no-config", "--interactive", "--init-command", "gankit completion fish | source"], ""),
}


@pytest.fixture
def typed(folder, cache, monkeypatch):
    """``typed(shell, line)``: the words that an interactive shell passes to gankit for a line with tabs."""
    program = folder / "bin" / "gankit"
    program.parent.mkdir()
    program.write_text(
        f'#!/bin/sh\n[ "$1" = completion ] && exec {sys.executable} -m gankit "$@"\nprintf "<%s>" "$@" > "$SEEN"\n'
    )
    program.chmod(0o755)
    seen = folder / "seen"
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("SEEN", str(seen))
    monkeypatch.setenv("ZDOTDIR", str(folder / "bin"))
    monkeypatch.setenv("HOME", str(folder / "bin"))
    monkeypatch.setenv("TERM", "dumb")

    def type_line(shell: str, line: str) -> str:
        command, rc = SET_UP[shell]
        if shutil.which(shell) is None:
            pytest.skip(f"{shell} is not installed")
        file = folder / "bin" / (".zshrc" if shell == "zsh" else "rc")
        file.write_text(rc)
        child, terminal = pty.fork()
        if child == 0:
            os.execvp(command[0], [word.format(rc=file) for word in command])
        os.write(terminal, f"{line}\nexit\n".encode())
        with open(terminal, "rb", buffering=0) as output:  # noqa: PTH123  # a descriptor
            while True:
                try:
                    if not output.read(1024):
                        break
                except OSError:  # the shell has ended
                    break
        os.waitpid(child, 0)
        return seen.read_text()

    return type_line


@pytest.mark.parametrize("shell", SHELLS)
class TestInteractiveShells:
    @pytest.mark.parametrize(
        ("line", "words"),
        [
            ("gankit che\tquick\tloss=hin\t", "<check><quickstart.yaml><loss=hinge>"),
            ("gankit run quickstart.yaml generator.w\t7 loader.fl\ttr\t", "<run><quickstart.yaml><generator.width=7><loader.flip=true>"),
            ("gankit sample built\t--co\t3", "<sample><builtin:cifar10><--count><3>"),
            ("gankit run quickstart.yaml --out no\t", "<run><quickstart.yaml><--out><notes.txt>"),
        ],
    )  # fmt: skip
    def test_tab(self, typed, shell, line, words):
        assert typed(shell, line) == words
