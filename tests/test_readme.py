"""Every command and example in the README and the documents is executed here; only lengths and sizes are cut."""

from __future__ import annotations

import re
import shlex
import shutil
import sys
from pathlib import Path

import pytest

import gankit
from gankit.cli.main import main

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PLUGINS = (ROOT / "docs/plugins.md").read_text(encoding="utf-8")
SHORT = ["train.steps=2", "loader.batch_size=4", "generator.name=dcgan", "discriminator.width=4"]
STAND_IN = "dataset={name: shapes, count: 16, size: 16}"
SET_UP = "python3 -m venv .venv && .venv/bin/pip install -q -e "


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.S | re.M)


COMMANDS = [line for block in blocks(README, "sh") for line in block.splitlines()]


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder like the checkout's, in which the commands run one after the other, as a reader would."""
    home = tmp_path_factory.mktemp("home")
    shutil.copytree(ROOT / "recipes", home / "recipes")
    (home / "my_gan.py").write_text(blocks(README, "python")[0])
    return home


def run(words: list[str], monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(sys, "argv", words)
    try:
        main()
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


def shortened(command: str) -> list[str]:
    """The command with its run cut to two steps on stand-in pictures; a plugin's own generator stays."""
    words = shlex.split(command)
    if words[1] == "eval":
        return [*("16" if word == "10000" else word for word in words), "kid.subset_size=8"]
    if words[1] == "bench":
        return [*words, "--steps", "2", "loader.batch_size=4", "discriminator.width=4", STAND_IN]
    if words[1] not in ("run", "check"):
        return words
    extra = [word for word in SHORT if not ("--plugin" in words and word.startswith("generator."))]
    given = [word.partition("=")[0] for word in words]
    extra = [word for word in extra if word.partition("=")[0] not in given]
    if "train.epochs" in given:  # an epoch of the stand-in is short
        extra.remove("train.steps=2")
    folder = [f"dataset.path={ROOT / 'docs/images'}", "loader.batch_size=1"]
    own = folder if "image_folder" in command else [STAND_IN]
    return [*words, *extra, *own]


@pytest.mark.parametrize("command", [c for c in COMMANDS if c.startswith("gankit ")])
def test_commands(command, home, monkeypatch, capsys):
    monkeypatch.chdir(home)
    assert run(shortened(command), monkeypatch) == 0, capsys.readouterr().err
    words = shlex.split(command)
    if words[1] in ("sample", "compare"):
        assert Path(words[words.index("--out") + 1]).stat().st_size > 1000


def test_the_two_commands_are_those_that_the_whole_check_runs():
    commands = [command for command in COMMANDS if not command.startswith("gankit ")]
    assert commands == [
        f"{SET_UP}. && .venv/bin/gankit run recipes/quickstart.yaml",
        f'{SET_UP}".[dev]" && .venv/bin/python -m pytest -n 2',
    ]
    check = (ROOT / ".ci/run").read_text(encoding="utf-8")
    assert all(command in check.splitlines() for command in commands)


def test_the_embedding_example(home, monkeypatch, capsys):
    monkeypatch.chdir(home)
    exec(blocks(README, "python")[1].replace("train.steps=200", "train.steps=100"), {})
    assert capsys.readouterr().out.startswith("100 ")
    assert (home / "sixteen.png").is_file()
    assert (home / "results/mine/checkpoints/step-00000100").is_dir()


def test_the_example_error_is_what_is_printed(tmp_path):
    text = (
        (ROOT / "recipes/dcgan_cifar10.yaml")
        .read_text()
        .replace("generator: {name: dcgan, width", "generator: {name: dcgan, widht")
    )
    (tmp_path / "x.yaml").write_text(text)
    with pytest.raises(gankit.RecipeError) as caught:
        gankit.Runtime().load(tmp_path / "x.yaml")
    example = re.search(r"`recipes/x.yaml:\d+:\d+: (.*?)`", README)
    assert example is not None
    assert str(caught.value).endswith(example[1])


def test_the_table_of_components_is_complete():
    """Write it anew with: python -c "from tests.test_readme import table; print(table())"."""
    shown = re.search(r"<!-- built-in -->\n(.*?)<!-- /built-in -->", README, flags=re.S)
    assert shown is not None
    assert shown[1] == table()


def table() -> str:
    runtime = gankit.Runtime()
    ours = {plugin.name for plugin in runtime.plugins if plugin.name.startswith("gankit_")} | {"gankit"}
    lines = ["| kind | names |", "|---|---|"]
    for registry in runtime.registries:
        if names := [f"`{entry.name}`" for entry in registry if entry.plugin in ours]:
            lines.append(f"| {registry.kind} | {', '.join(names)} |")
    return "\n".join(lines) + "\n"


def test_every_recipe_and_link_is_there():
    links = re.findall(r"\]\(([^)#]+)\)", README)
    assert {f"recipes/{path.name}" for path in (ROOT / "recipes").glob("*.yaml")} <= set(links)
    assert [link for link in links if "://" not in link and not (ROOT / link).exists()] == []


def test_the_documents_plugin_trains_and_is_scored(tmp_path, monkeypatch, capsys):
    source, checks, scores = blocks(PLUGINS, "python")
    (tmp_path / "my_gan.py").write_text(source)
    runtime = gankit.Runtime(plugins=[tmp_path / "my_gan.py"])
    overrides = [
        "image.size=16",
        "dataset=stripes",
        "loss=least_squares",
        "regularizers=[{name: zero_centred, interval: 2}]",
        "callbacks=[{name: stop_when_bored, after: 3}, {name: checkpoint, every: 3}]",
        "generator.width=4",
        "discriminator.width=4",
    ]
    trainer = runtime.assemble(runtime.load(ROOT / "recipes/quickstart.yaml", overrides), tmp_path / "run")
    trainer.fit()
    assert (trainer.state.step, trainer.ending) == (3, "bored")
    monkeypatch.syspath_prepend(tmp_path)
    exec(checks, {})
    (tmp_path / "my_scores.py").write_text(scores)
    plugins = ["--plugin", str(tmp_path / "my_gan.py"), "--plugin", str(tmp_path / "my_scores.py")]
    words = ["--metrics", "gap", "--features", "colours", "--samples", "6", *plugins]
    monkeypatch.setenv("GANKIT_DATA_DIR", str(tmp_path / "data"))
    assert run(["gankit", "eval", str(tmp_path / "run"), *words], monkeypatch) == 0, capsys.readouterr().err
    assert " gap_colours " in capsys.readouterr().out
