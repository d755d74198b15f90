"""Values that come from outside: paths, output formats, sampling options and class names."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import get_args, get_type_hints

import pytest
import torch
from PIL import Image

import gankit
import gankit.io
from gankit.cli.console import parse_path, parse_run_or_checkpoint
from gankit.cli.main import make_app
from gankit.errors import PluginError, RecipeError

ROOT = Path(__file__).parents[2]
QUICKSTART = ROOT / "recipes" / "quickstart.yaml"
NO_USER = "'~nosuchuser' stands for a home folder, but there is none"

PATHS = """
from pathlib import Path
import gankit

class Photos:
    spec, split, classes = gankit.ImageSpec(16, 16, 3), "train", None

    def __init__(
        self, *, one: Path = Path("~/default"), maybe: Path | None = None, many: tuple[Path, ...] = (),
        named: dict[str, Path] = {},
    ) -> None: ...
    def prepare(self) -> None: ...
    def __len__(self) -> int: ...
    def __getitem__(self, index: int): ...

@gankit.hookimpl
def register(registries: gankit.Registries) -> None:
    registries.datasets.add("photos", Photos)
"""


@pytest.fixture
def home(tmp_path, monkeypatch):
    """The home folder of this test."""
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    return folder


@pytest.fixture
def conditional(trained_run, tiny_plugin_file):
    """A conditional run, and the options to load it."""
    trained_run("run", conditional=True)
    return "run", "--plugin", tiny_plugin_file


class TestPaths:
    def test_every_path_of_every_command_is_parsed_alike(self):
        found = []
        for command in make_app().registered_commands:
            hints = get_type_hints(command.callback, include_extras=True)
            for name in inspect.signature(command.callback).parameters:
                value, *described = get_args(hints[name]) or (hints[name],)
                if "Path" in str(value):
                    found.append(f"{command.name} {name}")
                    (parser,) = (option.parser for option in described)
                    assert parser in (parse_path, parse_run_or_checkpoint), found[-1]
        assert {"run recipe", "run directory", "sample source", "eval recipe", "compare runs", "doctor run"} <= {*found}

    def test_the_home_folder(self, cli, tiny, home):
        assert cli("run", *tiny, "--out", "~/run").code == 0
        assert cli("doctor", "~/run").code == 0
        assert cli("sample", "~/run", "--out", "~/grid.png", *tiny[1:]).code == 0
        assert {path.name for path in home.iterdir()} == {"run", "grid.png"}
        assert not Path("~").exists()

    def test_the_home_folder_in_recipes_and_plugins(self, cli, home):
        (home / "paths.py").write_text(PATHS)
        (home / "parent.yaml").write_text(QUICKSTART.read_text())
        Path("child.yaml").write_text("extends: ~/parent.yaml\n")
        words = [f"dataset={{name: photos, maybe: ~/b, many: [~/c, {home}/d], named: {{e: ~/f}}}}", "initialize=~/run"]
        recipe = gankit.Runtime(["~/paths.py"]).load_checked("child.yaml", words).recipe
        assert recipe.initialize == home / "run"
        assert recipe.dataset.params == {
            "one": str(home / "default"),
            "maybe": str(home / "b"),
            "many": [str(home / "c"), str(home / "d")],
            "named": {"e": str(home / "f")},
        }

    @pytest.mark.parametrize("key", ["one=", "maybe=", "many.0=", "initialize="])
    def test_an_unknown_home_folder_in_a_recipe(self, home, key):
        (home / "paths.py").write_text(PATHS)
        key = key if key == "initialize=" else f"dataset.{key}"
        with pytest.raises(RecipeError, match=NO_USER):
            gankit.Runtime([home / "paths.py"]).load(
                QUICKSTART, ["dataset={name: photos, many: [a]}", f"{key}~nosuchuser/x"]
            )

    def test_an_unknown_home_folder_elsewhere(self, cli, monkeypatch):
        Path("child.yaml").write_text("extends: ~nosuchuser/x.yaml\n")
        assert cli("check", "child.yaml").err == (
            f"error: child.yaml:1:10: extends: ~nosuchuser/x.yaml: {NO_USER}; write the complete path, or ./~nosuchuser "
            "for a folder of that name\n"
        )
        with pytest.raises(PluginError, match=NO_USER):
            gankit.Runtime(["~nosuchuser/x.py"])
        monkeypatch.setenv("GANKIT_DATA_DIR", "~nosuchuser")
        with pytest.raises(gankit.GankitError, match=f"GANKIT_DATA_DIR: ~nosuchuser: {NO_USER}"):
            gankit.io.data_root()

    @pytest.mark.parametrize(
        ("given", "message"), [("", "give a path"), ("~nosuchuser/x", "stands for"), (5000 * "x", "too long")]
    )
    @pytest.mark.parametrize(
        "words", [["check"], ["doctor"], ["resume"], ["sample"], ["eval"], ["compare"], ["compare", "run", "--out"]]
    )
    def test_a_path_that_cannot_be_used(self, cli, words, given, message):
        said = cli(*words, given)
        assert said.code == 2
        assert message in " ".join(said.err.replace("│", "").split())
        assert len(said.err) < 1500

    def test_a_path_of_a_dataset_that_is_too_long(self):
        with pytest.raises(RecipeError, match=r"dataset.path: x+\.\.\.: cannot be used as a path: File name too long"):
            gankit.Runtime().load(QUICKSTART, ["dataset={name: image_folder}", f"dataset.path={300 * 'x'}"])


class TestText:
    @pytest.mark.parametrize(
        ("word", "quoted"),
        [("name=2024", "2024"), ("dataset.path=2024", "2024"), ("dataset.path=1.5", "1.5"), ("loader.cache=false", "false")],
    )
    def test_a_number_in_place_of_text(self, cli, word, quoted):
        said = cli("check", QUICKSTART, "dataset={name: image_folder, path: x}", word)
        key = word.partition("=")[0]
        assert said.code == 2
        assert f"put it in quotes to make it text: \"{quoted}\", on the command line '{key}=\"{quoted}\"'\n" in said.err
        assert "quotes" not in cli("check", QUICKSTART, "name=[1]").err
        assert cli("check", QUICKSTART, "dataset={name: image_folder, path: x}", 'dataset.path="2024"').code == 0

    def test_long_values_are_shortened(self, cli):
        word = 5000 * "x"
        for words in (["list", word], ["show", "losses", word], ["check", QUICKSTART, f"name={word}"]):
            said = cli(*words)
            assert said.code == 2
            assert "xxx..." in said.err
            assert len(said.err) < 700


class TestFormats:
    @pytest.mark.parametrize(
        ("suffix", "form"), [("png", "PNG"), ("jpg", "JPEG"), ("JPEG", "JPEG"), ("webp", "WEBP"), ("tiff", "TIFF")]
    )
    def test_the_suffix_chooses_the_format(self, cli, conditional, suffix, form):
        with Path("run/metrics.jsonl").open("a") as log:  # two points make a curve
            log.write(2 * '{"step": 3, "images": 24, "seconds": 1.0, "generator_loss": 0.5}\n')
        assert cli("sample", *conditional, "--count", 4, "--out", f"a.{suffix}").code == 0
        assert cli("compare", conditional[0], *conditional, "--count", 4, "--out", f"b.{suffix}").code == 0
        for file in (f"a.{suffix}", f"b.{suffix}", f"b_curves.{suffix}"):
            with Image.open(file) as image:
                assert image.format == form

    @pytest.mark.parametrize(
        ("command", "name", "fault"),
        [
            ("sample", "x.bmp", "has the suffix .bmp"),
            ("compare", "x.foo", "has the suffix .foo"),
            ("compare", "x", "has no suffix"),
        ],
    )
    def test_an_unknown_suffix(self, cli, conditional, command, name, fault):
        said = cli(command, *conditional, "--out", name)
        assert (said.code, said.out) == (2, "")
        assert said.err == f"error: {name}: {fault}; an image is written as .png, .jpg, .jpeg, .webp, .tif, .tiff\n"
        with pytest.raises(gankit.GankitError, match=r"an animation is written as \.gif"):
            gankit.io.save_animation([], name)


class TestSampling:
    @pytest.mark.parametrize(
        ("value", "fault"),
        [
            ("abc", "a number; got 'abc'"),
            ("nan", "a finite number; got 'nan'"),
            (".inf", "a finite number; got inf"),
            ("1e400", "a finite number; got inf"),
            ("[1]", "a number; got [1]"),
            ("null", "a number; got null"),
            ("true", "a number; got true"),
        ],
    )
    def test_a_bad_value_of_an_option(self, cli, conditional, scorers_plugin_file, value, fault):
        message = f"error: run/checkpoints/step-00000003: sampling option 'truncation': should be {fault}\n"
        assert cli("sample", *conditional, f"truncation={value}") == (2, "", message)
        scoring = ("--metrics", "gap", "--features", "colours", "--plugin", scorers_plugin_file, "--samples", 4)
        said = cli("eval", *conditional, *scoring, "--option", f"truncation={value}")
        assert (said.code, said.err) == (2, message)
        assert cli("sample", *conditional, "truncation=-2").code == 0

    def test_a_valid_value_that_the_network_fails_with(self, tiny_runtime, tiny_plugin, trained_run, monkeypatch):
        trained_run("run")

        def forward(self, z, labels=None, *, shift: int = 0):
            return torch.zeros(len(z), 3, 16, 16)[:, :, :, [shift]].expand(-1, -1, -1, 16)

        monkeypatch.setattr(tiny_plugin.TinyGenerator, "forward", forward)
        generator = tiny_runtime.load_generator("run")
        with pytest.raises(ValueError, match="sampling with shift=99 fails: IndexError: index 99 is out of bounds"):
            generator.sample(2, shift=99)
        with pytest.raises(ValueError, match="sampling with shift=99 fails"):
            generator.interpolate(2, 2, shift=99)
        assert generator.sample(2, shift=1).shape == (2, 3, 16, 16)
        monkeypatch.setattr(tiny_plugin.TinyGenerator, "forward", lambda self, z, labels=None: z[99])
        with pytest.raises(IndexError):  # a fault of the network itself
            tiny_runtime.load_generator("run").sample(2)

    def test_class_names_with_commas(self, cli, tiny_recipe, tiny_plugin, tmp_path, monkeypatch):
        names = property(lambda self: ("a", "a,b", " c"), lambda self, value: None)
        monkeypatch.setattr(tiny_plugin.TinyDataset, "classes", names, raising=False)
        runtime = gankit.Runtime([tiny_plugin], discover=False)
        runtime.assemble(runtime.load_checked(tiny_recipe(tmp_path, conditional=True)), tmp_path / "run").fit()
        monkeypatch.setattr("gankit.cli.sample.make_runtime", lambda plugins: runtime)
        sample = runtime.load_generator(tmp_path / "run").sample
        for words, labels in (
            (["--classes", "a,b"], [1, 1]),
            (["--classes", "a,b", "--classes", "a"], [1, 0]),
            (["--classes", " c", "--classes", "0"], [2, 0]),
            (["--classes", "a, 1"], [0, 1]),
        ):
            assert cli("sample", "run", *words, "--count", 2).code == 0, words
            gankit.save_grid(sample(2, labels=labels), "expected.png", 1 if labels[0] != labels[1] else None)
            assert Path("grid.png").read_bytes() == Path("expected.png").read_bytes(), words
        assert "unknown class '99" in cli("sample", "run", "--classes", 5000 * "9").err

    def test_an_unknown_class_among_many(self):
        names = [f"class number {index}" for index in range(1000)]
        assert gankit.did_you_mean("class number 1x", names) == "; did you mean 'class number 1'?"
        message = gankit.did_you_mean("zebra", names)
        assert message.endswith(" and 980 more")
        assert len(message) < 500
