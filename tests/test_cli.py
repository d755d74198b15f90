"""The command line: each verb, its exit code, its help, and how it looks on a narrow terminal and in a pipe."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from PIL import Image

import gankit

ROOT = Path(__file__).parent.parent
DCGAN = ROOT / "recipes" / "dcgan_cifar10.yaml"
VERBS = ("run", "resume", "check", "list", "show", "plugins", "sample")


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a terminal of 50 columns."""
    for name, value in {"FORCE_COLOR": "1", "COLUMNS": "50", "TERM": "xterm"}.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def tiny(tiny_recipe: Callable[..., Path], tiny_plugin_file: Path, tmp_path: Path) -> list[object]:
    """The tiny recipe and what it needs, as words of a command."""
    return [tiny_recipe(tmp_path).name, "--plugin", tiny_plugin_file]


def plain(text: str) -> str:
    """Without colours."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)


class TestHelp:
    def test_of_the_whole(self, cli):
        for words in (["--help"], ["-h"]):
            said = cli(*words)
            assert said.code == 0
            assert all(f" {verb} " in said.out for verb in VERBS)
            assert "gankit run recipes/quickstart.yaml" in said.out

    def test_no_verb_at_all_shows_the_help(self, cli):
        said = cli()
        assert said.code == 2
        assert "Usage" in said.out + said.err

    @pytest.mark.parametrize("verb", VERBS)
    def test_of_each_verb_with_real_examples(self, cli, verb):
        said = cli(verb, "--help")
        assert said.code == 0
        examples = re.findall(rf"^ *(gankit {verb}.*?) *$", said.out, re.MULTILINE)
        assert examples
        for recipe in re.findall(r"recipes/\S+\.yaml", said.out):
            assert (ROOT / recipe).exists(), f"{recipe} is no recipe of ours"
        assert "Traceback" not in said.err

    def test_the_examples_of_check_list_and_show_work(self, cli, monkeypatch, tmp_path):
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
    def test_misuse_ends_with_2(self, cli, words, message):
        said = cli(*words)
        assert said.code == 2
        assert message in plain(said.err)
        assert "Traceback" not in said.err


class TestList:
    def test_a_line_each_in_a_pipe(self, cli):
        said = cli("list")
        assert said.code == 0
        registries = gankit.Runtime().registries
        lines = said.out.splitlines()
        assert lines[0].split()[:3] == ["kind", "name", "plugin"]
        found = [tuple(line.split()[:3]) for line in lines[1:]]
        assert found == [(r.kind, entry.name, entry.plugin) for r in registries for entry in r]
        assert all(registry_line.split(maxsplit=3)[3] for registry_line in lines[1:])

    @pytest.mark.parametrize("kind", ["losses", "loss"])
    def test_one_kind_in_the_plural_or_singular(self, cli, kind):
        lines = cli("list", kind).out.splitlines()[1:]
        assert {line.split()[0] for line in lines} == {"losses"}

    def test_a_kind_without_components(self, cli, monkeypatch):
        monkeypatch.setattr("gankit.cli.listing.make_runtime", lambda plugins: gankit.Runtime(discover=False))
        assert cli("list", "metrics") == (0, "there are no metrics\n", "")

    def test_an_unknown_kind(self, cli):
        assert cli("list", "lossess") == (2, "", "error: no kind is called 'lossess'; did you mean 'losses'?\n")

    def test_a_plugin_of_ones_own(self, cli, tiny_plugin_file):
        assert "TinyGenerator" not in cli("list").out
        assert " tiny " in cli("list", "generators", "--plugin", tiny_plugin_file).out

    @pytest.mark.usefixtures("narrow")
    def test_a_narrow_terminal_cuts_no_name(self, cli):
        said = cli("list", "losses")
        lines = plain(said.out).splitlines()
        assert max(map(len, lines)) <= 50
        for entry in gankit.Runtime().registries.losses:
            assert any(f" {entry.name} " in line for line in lines)
        assert "…" not in said.out


class TestShow:
    def test_what_it_is_and_takes(self, cli):
        said = cli("show", "generators", "dcgan")
        assert said.code == 0
        assert "dcgan  (generators, plugin gankit_dcgan)" in said.out
        assert "arXiv 1511.06434" in said.out
        assert re.search(r"^ *width +integer > 0 +64 *$", said.out, re.MULTILINE)

    def test_types_and_defaults_as_a_recipe_writes_them(self, cli):
        out = cli("show", "optimizer", "adam").out
        assert re.search(r"^ *lr +number or \{start:, end:, over_images:, shape:\} +0.0002 *$", out, re.MULTILINE)
        assert re.search(
            r"^ *betas +\[number or .*\] +\[0.5, 0.999\] *$|^ *betas .*\[0.9, 0.999\] *$", out, re.MULTILINE
        )
        out = cli("show", "datasets", "cifar10").out
        assert re.search(r"^ *root +string or null +null *$", out, re.MULTILINE)
        assert re.search(r'^ *split +train \| test +"train" *$', out, re.MULTILINE)
        assert re.search(r"^ *download +boolean +true *$", out, re.MULTILINE)

    def test_nothing_to_set(self, cli):
        assert "It takes no parameters." in cli("show", "losses", "hinge").out

    def test_required_parameters(self, cli):
        assert re.search(r"^ *path +string +required *$", cli("show", "datasets", "image_folder").out, re.MULTILINE)

    def test_every_component_can_be_shown(self, cli):
        for registry in gankit.Runtime().registries:
            for entry in registry:
                said = cli("show", registry.kind, entry.name)
                assert said.code == 0
                assert all(f" {field} " in said.out for field in entry.schema.model_fields)

    @pytest.mark.parametrize(
        ("words", "message"),
        [
            (["generators", "dcgam"], "error: no generator is called 'dcgam'; did you mean 'dcgan'?\n"),
            (["generater", "dcgan"], "error: no kind is called 'generater'; did you mean 'generators'?\n"),
            (["metrics", "fid"], "error: no metric is called 'fid'; did you mean 'fd'?\n"),
        ],
    )
    def test_what_is_not_there(self, cli, words, message):
        assert cli("show", *words) == (2, "", message)

    @pytest.mark.usefixtures("narrow")
    def test_a_narrow_terminal(self, cli):
        said = cli("show", "optimizers", "adam")
        assert said.code == 0
        assert max(map(len, plain(said.out).splitlines())) <= 50
        assert "weight_decay" in said.out


class TestPlugins:
    def test_where_they_come_from_and_what_they_register(self, cli, tiny_plugin_file):
        said = cli("plugins", "--plugin", tiny_plugin_file)
        assert said.code == 0
        assert re.search(
            r"^ *gankit_dcgan +gankit \S+ +generators: dcgan; discriminators: dcgan *$", said.out, re.MULTILINE
        )
        assert re.search(rf"^ *tiny_plugin +{re.escape(str(tiny_plugin_file))} +generators: ", said.out, re.MULTILINE)

    def test_a_broken_one_is_told_by_every_verb_and_stops_none(self, cli, tmp_path, monkeypatch):
        info = tmp_path / "site" / "bad-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: bad\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text("[gankit]\nworse_plugin = worse_plugin\n")
        (tmp_path / "site" / "worse_plugin.py").write_text("raise RuntimeError('with [brackets]')\n")
        monkeypatch.syspath_prepend(tmp_path / "site")
        said = cli("plugins")
        assert said.code == 0
        assert "bad 1.0" in said.out
        assert "did not load: plugin 'worse_plugin' (bad 1.0): RuntimeError: with [brackets]" in said.out
        said = cli("list", "losses")
        assert said.code == 0
        assert said.err.startswith("warning: plugin 'worse_plugin' (bad 1.0): RuntimeError: with [brackets]")
        assert said.err.endswith("; it is left out\n")
        assert cli("check", DCGAN).code == 0
        said = cli("check", DCGAN, "loss=theirs")
        assert said.code == 2
        assert "'worse_plugin'" in said.err
        assert "worse_plugin" not in sys.modules


class TestCheck:
    def test_it_shows_every_default(self, cli):
        said = cli("check", DCGAN, "train.epochs=3", "loss.label_smoothing=0.1")
        assert said.code == 0
        assert said.err == ""
        assert "dcgan_cifar10.yaml is fit to run" in said.out
        assert re.search(r"^ *loss +bce +label_smoothing=0.1 *$", said.out, re.MULTILINE)
        assert "eps=1e-08" in said.out
        assert "epochs: 3" in said.out
        assert "flip=false" in said.out
        assert "betas=[0.5, 0.999]" in said.out

    def test_brackets_are_shown_as_they_are(self, cli, tiny, tmp_path):
        (tmp_path / "[bold]x[red].yaml").write_text((tmp_path / "tiny.yaml").read_text())
        said = cli("check", "[bold]x[red].yaml", *tiny[1:])
        assert "[bold]x[red].yaml is fit to run" in said.out

    @pytest.mark.usefixtures("narrow")
    def test_a_narrow_terminal(self, cli):
        said = cli("check", DCGAN)
        assert said.code == 0
        assert max(map(len, plain(said.out).splitlines())) <= 50

    def test_it_touches_nothing(self, cli, tiny, tmp_path):
        before = sorted(path.name for path in tmp_path.iterdir())
        assert cli("check", *tiny).code == 0
        assert sorted(path.name for path in tmp_path.iterdir()) == before

    def test_recipes_of_ours_pass(self, cli):
        for recipe in sorted((ROOT / "recipes").glob("dcgan_*.yaml")):
            words = ["dataset.path=images"] if "image_folder" in recipe.name else []
            said = cli("check", recipe, *words)
            assert said.code == 0, said.err


class TestRuns:
    def test_run_resume_and_sample(self, cli, tiny):
        said = cli("run", *tiny)
        assert (said.code, said.err) == (0, "")
        lines = said.out.splitlines()
        assert lines[0] == "preparing tiny ..."
        assert lines[1] == "tiny: 3 steps into results/tiny/"
        assert re.fullmatch(r"step 1/3  [\d,]+ images/s  loss D [\d.]+ G [\d.]+  0:00 left", lines[2])
        assert lines[-1] == "done: step 3, 24 images; see results/tiny/"

        said = cli("resume", "results/tiny", *tiny[1:])
        assert said.code == 0
        assert said.out == "results/tiny: is finished: 3 steps; to train longer: train.steps=N\n"
        said = cli("resume", "results/tiny", "train.steps=5", *tiny[1:])
        assert said.code == 0
        assert "done: step 5, 40 images" in said.out

        pictures = []
        for seed in (0, 0, 1):
            said = cli("sample", "results/tiny", "--count", 6, "--seed", seed, "--out", "deep/grid.png", *tiny[1:])
            assert said.code == 0
            assert said.out == f"deep/grid.png: 6 pictures of results/tiny/checkpoints/step-00000005, seed {seed}\n"
            pictures.append(Path("deep/grid.png").read_bytes())
        assert pictures[0] == pictures[1] != pictures[2]
        said = cli("sample", "results/tiny/checkpoints/step-00000003", "truncation=0", "--out", "zero.png", *tiny[1:])
        assert said.code == 0

    def test_a_second_run_gets_a_directory_of_its_own(self, cli, tiny):
        assert "into results/tiny/" in cli("run", *tiny).out
        assert "into results/tiny-2/" in cli("run", *tiny).out
        assert "into results/tiny-3/" in cli("run", *tiny).out

    def test_overrides_reach_the_run(self, cli, tiny):
        said = cli("run", tiny[0], "train.epochs=1", "name=mine", *tiny[1:])
        assert "mine: 4 steps into results/mine/" in said.out
        assert yaml.safe_load(Path("results/mine/recipe.yaml").read_text())["train"]["epochs"] == 1

    def test_what_fails_later_ends_with_1(self, cli, tiny, tmp_path):
        Path("late.py").write_text(
            "import gankit\n"
            "class Late:\n"
            "    def on_step_end(self, run):\n"
            "        if run.state.step == 2: raise gankit.GankitError('the disk is full')\n"
            "        run.save()\n"
            "@gankit.hookimpl\n"
            "def run_callbacks(recipe): return [Late()]\n"
        )
        said = cli("run", *tiny, "--plugin", "late.py", "--out", "mine")
        assert said.code == 1
        assert said.err == "error: the disk is full; callback 'Late', on_step_end\n"
        assert "to go on from mine/checkpoints/step-00000001:\n  gankit resume mine --plugin" in said.out
        assert "--plugin late.py" in said.out

    @pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
    def test_a_signal_saves_and_says_how_to_go_on(self, cli, tiny, number, code):
        Path("stop.py").write_text(
            "import gankit, os\n"
            "class Stop:\n"
            "    def on_step_end(self, run):\n"
            f"        if run.state.step == 2: os.kill(os.getpid(), {int(number)})\n"
            "@gankit.hookimpl\n"
            "def run_callbacks(recipe): return [Stop()]\n"
        )
        before = signal.getsignal(number)
        said = cli("run", tiny[0], "train.steps=9", *tiny[1:], "--plugin", "stop.py")
        assert signal.getsignal(number) is before
        assert said.code == code
        assert f"warning: {number.name}: ending after this step and saving" in said.err
        assert f"stopped after step 2: {number.name}" in said.out
        resume = said.out.splitlines()[-1].split()
        assert resume[:3] == ["gankit", "resume", "results/tiny"]
        Path("stop.py").write_text("import gankit\n@gankit.hookimpl\ndef run_callbacks(recipe): return []\n")
        said = cli(*resume[1:])
        assert said.code == 0, said.err
        assert "done: step 9" in said.out

    def test_an_interrupt_before_the_first_step(self, cli, tiny):
        Path("slow.py").write_text(
            "import gankit\n"
            "class Slow:\n"
            "    def __init__(self): raise KeyboardInterrupt\n"
            "@gankit.hookimpl\n"
            "def register(registries): registries.losses.add('slow', Slow)\n"
        )
        said = cli("run", tiny[0], "loss=slow", *tiny[1:], "--plugin", "slow.py")
        assert said.code == 130
        assert said.err == "error: interrupted before the first step\n"


class TestVerbsOfOthers:
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
        "    '''Says a word.'''\n"
        "    if word == 'bad': raise gankit.GankitError('a bad word')\n"
        "    typer.echo(' '.join([word] * times))\n"
    )

    def test_one_is_named_in_the_help_and_loaded_when_called(self, cli, install):
        install("echo", self.FUNCTION)
        said = cli("--help")
        assert re.search(r"echo +\(from echo-tools 2.0\)", said.out)
        assert "echo_tools" not in sys.modules
        assert cli("list", "losses").code == 0
        assert "echo_tools" not in sys.modules
        assert cli("echo", "hello", "--times", "2") == (0, "hello hello\n", "")
        assert "echo_tools" in sys.modules

    def test_its_own_help_and_errors(self, cli, install):
        install("echo", self.FUNCTION)
        said = cli("echo", "--help")
        assert said.code == 0
        assert "Says a word." in said.out
        assert "--times" in plain(said.out)
        assert cli("echo", "bad") == (2, "", "error: a bad word\n")
        assert cli("echo").code == 2

    def test_a_whole_application(self, cli, install):
        install(
            "zoo",
            "import typer\nverb = typer.Typer()\n"
            "@verb.command()\ndef cat(): typer.echo('meow')\n"
            "@verb.command()\ndef dog(): typer.echo('woof')\n",
        )
        assert cli("zoo", "dog") == (0, "woof\n", "")

    def test_a_broken_one_hurts_nobody_else(self, cli, install):
        install("broken", "import no_such_module\n")
        assert cli("--help").code == 0
        assert cli("list", "losses").code == 0
        said = cli("broken")
        assert said.code == 2
        assert said.err == (
            "error: the verb 'broken' of broken-tools 2.0: ModuleNotFoundError: No module named 'no_such_module'\n"
        )

    def test_ours_cannot_be_replaced(self, cli, install):
        install("list", "raise RuntimeError\n")
        assert cli("list", "losses").code == 0
        assert len(re.findall(r"^. list ", plain(cli("--help").out), re.MULTILINE)) == 1


class TestProcesses:
    """The few things that only a process of its own shows."""

    def run(self, *words: str, **more: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "gankit", *words], capture_output=True, text=True, check=False, **more
        )

    def test_python_m_gankit(self):
        assert self.run("--version").stdout == f"gankit {gankit.__version__}\n"
        done = self.run("check", "nowhere.yaml")
        assert (done.returncode, done.stdout, done.stderr) == (2, "", "error: nowhere.yaml: no such file\n")

    def test_help_is_quick_and_imports_no_torch(self):
        script = "import sys; from gankit.cli.main import main; sys.argv = ['gankit', '--help']\n"
        script += (
            "try: main()\nexcept SystemExit: print([m for m in ('torch', 'numpy', 'pydantic') if m in sys.modules])"
        )
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
        assert done.stdout.splitlines()[-1] == "[]"

    def test_a_reader_that_leaves_early(self):
        reader, writer = os.pipe()
        os.close(reader)
        done = subprocess.run(
            [sys.executable, "-m", "gankit", "list"], stdout=writer, stderr=subprocess.PIPE, check=False
        )
        os.close(writer)
        assert b"Traceback" not in done.stderr

    def test_a_real_signal_ends_a_run_whole(self, tiny, tmp_path):
        words = [str(tiny[0]), "train.steps=100000", "--plugin", str(tiny[2]), "--out", "mine"]
        process = subprocess.Popen([sys.executable, "-m", "gankit", "run", *words], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("step 1/"):
                break
        process.send_signal(signal.SIGTERM)
        rest = process.stdout.read()
        assert process.wait(30) == 143
        assert "stopped after step" in rest
        assert "gankit resume mine" in rest
        assert len(list(Path("mine/checkpoints").iterdir())) == 1


def test_nothing_waits_long(cli):
    """Verbs that only look things up take no time beyond the imports."""
    begun = time.process_time()
    for words in (["list"], ["show", "losses", "bce"], ["plugins"]):
        cli(*words)
    assert time.process_time() - begun < 5


class TestPictures:
    """``gankit sample`` with classes and walks."""

    @pytest.fixture
    def conditional(self, cli, tiny_recipe, tiny_plugin_file, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        recipe = tiny_recipe(tmp_path, conditional=True)
        assert cli("run", recipe, "train.steps=2", "--plugin", tiny_plugin_file, "--out", "run").code == 0
        return "run", "--plugin", tiny_plugin_file

    def test_a_row_a_class(self, cli, conditional):
        said = cli("sample", *conditional, "--classes", "b,0", "--count", 6)
        assert (said.code, said.err) == (0, "")
        rows = gankit.load_generator("run", plugins=[str(conditional[2])]).sample(6, labels=[1, 1, 1, 0, 0, 0])
        gankit.save_grid(rows, "expected.png", columns=3)
        assert Path("grid.png").read_bytes() == Path("expected.png").read_bytes()
        assert cli("sample", *conditional, "--classes", "all", "--count", 4, "--out", "all.png").code == 0

    def test_a_walk_as_rows_and_as_an_animation(self, cli, conditional):
        said = cli("sample", *conditional, "--interpolate", 5, "--count", 3, "--out", "walk.gif", "truncation=0.5")
        assert (said.code, said.err) == (0, "")
        assert said.out.startswith("walk.gif: a walk over 3 latents, 5 steps each, of run/checkpoints/step-00000002")
        with Image.open("walk.gif") as picture:
            assert (picture.n_frames, picture.info["loop"], picture.info["duration"]) == (15, 0, 50)
        assert cli("sample", *conditional, "--interpolate", 5, "--classes", "a", "--out", "rows.png").code == 0
        generator = gankit.load_generator("run", plugins=[str(conditional[2])])
        walk = generator.interpolate(8, 5, labels=[0] * 8)
        assert walk.shape == (8, 5, *walk.shape[2:])
        assert torch.equal(walk[:, 0], generator.sample(8, labels=[0] * 8))
        gankit.save_grid(walk.flatten(0, 1), "expected.png", columns=5)
        assert Path("rows.png").read_bytes() == Path("expected.png").read_bytes()

    @pytest.mark.parametrize(
        ("words", "message"),
        [
            (["--classes", "bb"], "--classes: there is no class 'bb'"),
            (["--classes", "2"], "--classes: there is no class '2'"),
            (["--classes", "a,b", "--count", 1], "--count 1: is fewer than the 2 classes asked for"),
            (["--classes", "a", "labels=[0]"], "labels and --classes both"),
            (["--out", "walk.gif"], "add --interpolate"),
            (["--out", "grid.jpg"], "written as .png"),
            (["--interpolate", 4, "--count", 1], "at least 2 latents"),
            (["steps=3"], "steps: is no option of the network; use --interpolate"),
        ],
    )
    def test_what_cannot_be(self, cli, conditional, words, message):
        said = cli("sample", *conditional, *words)
        assert said.code == 2
        assert message in said.err.replace("\n", " ")
        assert "Traceback" not in said.err

    def test_an_unconditional_one_has_no_classes(self, cli, tiny):
        assert cli("run", *tiny).code == 0
        assert "unconditional" in cli("sample", "results/tiny", "--classes", "a", *tiny[1:]).err
