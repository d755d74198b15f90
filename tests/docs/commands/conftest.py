"""A folder like the checkout in which the commands of the documents run, with fewer steps, smaller networks and less data."""

from __future__ import annotations

import re
import shlex
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.request import urlopen

import pytest
from PIL import Image

import gankit
from gankit.cli.main import main
from gankit_callbacks import curve_plot

ROOT = Path(__file__).parents[3]
SETTINGS = ["train.steps=2", "loader.batch_size=4", "generator.width=4", "discriminator.width=4"]
DATASET = "{name: shapes, count: 16, size: 16}"
EVALUATE = "{name: evaluate, metrics: [kid], features: pixels, params: {kid: {subset_size: 4}}, samples: 8}"
SMALL_SEARCH = ["train.steps=2", "dataset={name: shapes, count: 128, size: 16}", "image.size=16", f"callbacks=[{EVALUATE}]"]
RUNS = ("quickstart", "dcgan_cifar10", "dcgan_cifar10_conditional", "stylegan2_cifar10", "stylegan2_cifar10_conditional")
Run = Callable[[list[str]], int]


def _draw_no_curves(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which takes most of the time of a short run, and has its own tests."""
    monkeypatch.setattr(curve_plot, "draw_curves", lambda *given: None)


@pytest.fixture(scope="session")
def run(_one_command_line: None) -> Run:
    """``run(words) -> exit code``: the command line in this process."""

    def command(words: list[str]) -> int:
        with pytest.MonkeyPatch.context() as monkeypatch:
            monkeypatch.setattr(sys, "argv", words)
            monkeypatch.setattr(sys, "excepthook", sys.excepthook)  # typer replaces it
            _draw_no_curves(monkeypatch)
            # takes most of the time of `gankit bench`, and has its own tests
            monkeypatch.setattr("gankit.profiling.flops.MATRIX_SECONDS", 0.01)
            monkeypatch.setattr("gankit.profiling.flops.MATRIX_SIDES", {"cpu": (64,)})
            # would wait for Ctrl-C
            monkeypatch.setattr("gankit.cli.explore.wait_until_interrupted", lambda address: urlopen(address).close())
            try:
                main()
            except SystemExit as stop:
                return int(stop.code or 0)
        return 0

    return command


@pytest.fixture(scope="session")
def finished_runs(
    run: Run,
    blocks: Callable[..., list[str]],
    block: Callable[..., str],
    sh_lines: Callable[[str], list[str]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """A folder like the checkout, with the runs, plugins and images that commands in the documents refer to."""
    folder = tmp_path_factory.mktemp("finished_runs")
    shutil.copytree(ROOT / "recipes", folder / "recipes")
    (folder / "my_gan.py").write_text(blocks("README.md")[0])
    (folder / "my_loss.py").write_text(blocks("docs/tutorial.md")[1])
    (folder / "wide.yaml").write_text(block("docs/tutorial.md", language="yaml"))
    (folder / "pictures").mkdir()
    shapes = gankit.Runtime().registries.datasets.get("shapes").factory(count=16, size=16)
    shapes.prepare()
    for index in range(16):
        gankit.save_grid(shapes[index][0][None], folder / f"pictures/{index}.png", 1)
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.chdir(folder)
        for recipe in RUNS:
            words = ["gankit", "run", f"recipes/{recipe}.yaml", "--out", f"results/{recipe}"]
            smaller = ["generator.style_dim=16", "latent.dim=16"] if "stylegan2" in recipe else []
            assert run([*words, *SETTINGS, *smaller, f"dataset={DATASET}"]) == 0
        _colorize(folder, run, block)
        _translate(folder, run, block, sh_lines("docs/translation.md"))
    shutil.copytree(folder / "results/dcgan_cifar10", folder / "results/dcgan_cifar10-2")
    for name in ("wide", "width48"):
        shutil.copytree(folder / "results/quickstart", folder / "results" / name)
    return folder


def _colorize(folder: Path, run: Run, block: Callable[..., str]) -> None:
    """The run of docs/data.md, whose images have partners."""
    (folder / "my_pairs.py").write_text(block("docs/data.md", "class Colorize"))
    (folder / "colorize.yaml").write_text(block("docs/data.md", "colorize", "yaml"))
    for name in ("data/pictures", "data/test_pictures"):
        shutil.copytree(folder / "pictures", folder / name)
    small = ["train.steps=2", "loader.batch_size=4", "image.size=16", "generator.width=4"]
    words = ["gankit", "run", "colorize.yaml", "--out", "results/colorize", "--plugin", "my_pairs.py"]
    assert run([*words, *small]) == 0


def _translate(folder: Path, run: Run, block: Callable[..., str], commands: list[str]) -> None:
    """The runs of docs/translation.md, its plugin, and gray photos to translate."""
    (folder / "my_baseline.py").write_text(block("docs/translation.md", "class Unchanged"))
    (folder / "photos").mkdir()
    for name in ("horses", "zebras"):
        shutil.copytree(folder / "pictures", folder / name)
    for index in range(2):
        Image.open(folder / f"pictures/{index}.png").convert("L").resize((50, 40)).save(folder / f"photos/{index}.jpg")
    for command in commands:
        if "colorize.yaml" in command or "my_baseline.py generator=" in command:
            assert run(shorten(command)) == 0


@pytest.fixture(scope="session")
def searched_runs(
    finished_runs: Path, run: Run, sh_lines: Callable[[str], list[str]], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A copy of that folder, with the latents and directions that the commands of docs/sampling.md find."""
    folder = tmp_path_factory.mktemp("searched_runs")
    shutil.copytree(finished_runs, folder, dirs_exist_ok=True)
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.chdir(folder)
        for command in sh_lines("docs/sampling.md"):
            if command.split()[1] in ("project", "directions"):
                assert run(shorten(command)) == 0
    return folder


@pytest.fixture
def checkout(finished_runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of that folder, as the working directory: no test sees what another one wrote."""
    folder = tmp_path / "checkout"
    shutil.copytree(finished_runs, folder)
    monkeypatch.chdir(folder)
    _draw_no_curves(monkeypatch)
    return folder


@pytest.fixture(scope="session")
def shortened() -> Callable[[str], list[str]]:
    """``shortened(command)``: its words, with fewer steps, small networks and generated data. A plugin's own generator stays."""
    return shorten


def shorten(command: str) -> list[str]:
    words = [word for word in shlex.split(command) if not word.startswith(("loader.batch_size=", "train.images="))]
    given = [word.partition("=")[0] for word in words]
    verb = words[1]
    if verb == "eval":
        if "--real" in words and "gray" not in command:
            words[words.index("--real") + 1] = DATASET
        words += ["--samples", "11", *(["memorization.k=5"] if "memorization" in command else [])]  # the last one counts
        return [*words, "kid.subset_size=8"] if {"fd,kid,prdc", "kid,prdc"} & {*words} else words
    if verb == "resume":
        return [re.sub(r"^train\.(epochs|steps)=.*", "train.steps=3", word) for word in words]
    if verb == "sample":
        return [word.replace("cat,dog", "0,1").replace("50000", "20") for word in words]
    if verb == "directions" and "--rename" not in words:
        return [*words, "--count", "2"]
    if verb == "project":
        return [*words, "--steps", "2"]
    if verb == "search":
        return [*words, "--trials", "2", "--jobs", "0", *SMALL_SEARCH]
    if verb == "data":
        return [*words, f"dataset={DATASET}"] if words[2] == "encode" or "recipes/" in command else words
    if verb == "explore":
        return [*words, "--port", "0", "--no-open"]
    if verb == "bench":
        return [*words, "--steps", "2", *SETTINGS[1:], f"dataset={DATASET}"]
    if verb not in ("run", "check"):
        return words
    words = [re.sub(r"^train\.steps=.*", "train.steps=2", word) for word in words]
    words = [re.sub(r"^train\.epochs=.*", "train.epochs=1", word) for word in words]
    extra = [word for word in SETTINGS if word.partition("=")[0] not in given]
    if "--plugin" in words:
        extra.remove("generator.width=4")
    if {"train.epochs", "train.steps"} & set(given):  # an epoch of the generated data is short
        extra = [word for word in extra if word != "train.steps=2"]
    if "cut_folders" in command:
        data = ["image.size=64", "regularizers.patch_nce.channels=[3, 8, 16, 16, 16]"]
    elif re.search("pix2pix_cifar10|srgan_cifar10", command):
        data = [f"dataset.dataset={DATASET}", f"dataset.held_out={DATASET}"]
    elif "dataset.path=pictures64.zip" in words:
        data = []
    elif "image_folder" in command:
        data = [f"dataset.path={ROOT / 'docs/images'}", "loader.batch_size=1"]
    elif "FakeData" in command:
        data = []
    else:
        data = [f"dataset={DATASET}"]
    return [*words, *extra, *data]
