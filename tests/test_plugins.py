"""Plugins: from files, modules, objects and installed packages; broken ones, which take nothing else down."""

from __future__ import annotations

import pickle
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent
from types import SimpleNamespace
from typing import Any

import pytest

import gankit
from gankit import PluginError, Runtime

GOOD = """
import gankit

class Loss:
    '''A loss.'''
    def discriminator(self, turn): ...
    def generator(self, turn): ...

@gankit.hookimpl
def register(registries):
    registries.losses.add("{name}", Loss)
"""


@pytest.fixture
def plugin(tmp_path: Path) -> Callable[..., Path]:
    """``plugin(text, file="mine.py") -> path``."""

    def write(text: str, file: str = "mine.py") -> Path:
        path = tmp_path / file
        path.write_text(dedent(text))
        return path

    return write


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """``install(distribution, module, text)``: a package as pip would leave it, with its line for gankit."""
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(site)

    def put(distribution: str, module: str, text: str | None, group: str = "gankit", metadata: bool = True) -> None:
        info = site / f"{distribution}-1.0.dist-info"
        info.mkdir()
        (info / "entry_points.txt").write_text(f"[{group}]\n{module} = {module}\n")
        if metadata:
            (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
        if text is not None:
            (site / f"{module}.py").write_text(dedent(text))
        modules.append(module)

    modules: list[str] = []
    yield put
    for module in modules:
        sys.modules.pop(module, None)


def bare(*plugins: Any) -> Runtime:
    return Runtime(plugins=plugins, discover=False)


def names(runtime: Runtime) -> dict[str, list[str]]:
    return {registry.kind: [entry.name for entry in registry] for registry in runtime.registries if len(registry)}


class TestSources:
    def test_a_file_as_text_or_path(self, plugin):
        path = plugin(GOOD.format(name="mine"))
        for given in (path, str(path)):
            runtime = bare(given)
            (loaded,) = runtime.plugins
            assert (loaded.name, loaded.source, loaded.components) == ("mine", str(path), {"losses": ["mine"]})
            assert runtime.registries.losses.get("mine").plugin == "mine"

    def test_a_file_beside_the_working_directory(self, plugin, monkeypatch):
        monkeypatch.chdir(plugin(GOOD.format(name="mine")).parent)
        assert names(bare("mine.py"))["losses"] == names(bare("./mine.py"))["losses"] == ["mine"]

    def test_a_module_by_its_name(self):
        runtime = bare("gankit_losses")
        assert "bce" in runtime.registries.losses
        assert runtime.plugins[0].name == "gankit_losses"

    def test_a_module_and_an_object(self, tiny_plugin):
        class Mine:
            @gankit.hookimpl
            def register(self, registries: gankit.Registries) -> None:
                registries.losses.add("mine", tiny_plugin.TinyLoss)

        runtime = bare(tiny_plugin, Mine())
        assert [loaded.name for loaded in runtime.plugins] == ["tiny_plugin", "Mine"]
        assert [entry.name for entry in runtime.registries.losses] == ["mine", "tiny"]

    def test_two_objects_of_one_class(self, tiny_plugin):
        class Mine:
            def __init__(self, name: str) -> None:
                self.name = name

            @gankit.hookimpl
            def register(self, registries: gankit.Registries) -> None:
                registries.losses.add(self.name, tiny_plugin.TinyLoss)

        assert names(bare(Mine("a"), Mine("b")))["losses"] == ["a", "b"]

    def test_what_is_given_twice_is_loaded_once(self, plugin, tiny_plugin):
        path = plugin(GOOD.format(name="mine"))
        assert len(bare(path, path, tiny_plugin, tiny_plugin, "gankit_losses", "gankit_losses").plugins) == 3
        assert len([p for p in Runtime(plugins=["gankit_losses"]).plugins if p.name == "gankit_losses"]) == 1

    def test_two_files_of_one_name_are_two_plugins(self, plugin, tmp_path):
        (tmp_path / "other").mkdir()
        one = plugin(GOOD.format(name="one"))
        other = plugin(GOOD.format(name="other"), "other/mine.py")
        assert names(bare(one, other))["losses"] == ["one", "other"]

    def test_a_file_hides_no_module(self, plugin):
        before = sys.modules.get("json")
        bare(plugin(GOOD.format(name="mine"), "json.py"))
        import json

        assert json is before

    def test_a_changed_file_is_read_anew_and_leaves_nothing_behind(self, plugin):
        path = plugin(GOOD.format(name="one"))
        first = bare(path)
        plugin(GOOD.format(name="two"))  # of the same length, within the same second
        assert names(bare(path))["losses"] == ["two"]
        assert names(first)["losses"] == ["one"]
        assert [file.name for file in path.parent.iterdir()] == ["mine.py"]  # no compiled code beside the user's

    def test_classes_of_a_file_can_be_pickled_by_every_runtime(self, plugin):
        path = plugin(GOOD.format(name="mine"))
        for runtime in [bare(path), bare(path)]:
            entry = runtime.registries.losses.get("mine")
            assert type(pickle.loads(pickle.dumps(entry.factory()))) is entry.factory

    def test_the_hash_is_that_of_the_python_files(self, plugin):
        path = plugin(GOOD.format(name="mine"))
        before = bare(path).plugins[0].sha256()
        plugin(GOOD.format(name="more"))
        after = bare(path).plugins[0].sha256()
        assert re.fullmatch("[0-9a-f]{64}", before)
        assert before != after


BROKEN = [
    ("def f(:\n", r"SyntaxError: .*line 1"),
    ("import no_such_module_anywhere\n", r"ModuleNotFoundError: No module named 'no_such_module_anywhere' \(.*mine.py:1\)"),
    ("import sys\nsys.exit(3)\n", r"SystemExit: 3 \(.*mine.py:2\)"),
    ("1/0\n", r"ZeroDivisionError: division by zero \(.*mine.py:1\)"),
    ("raise BaseExceptionGroup('x', [ValueError('a\\nb')])\n", "ExceptionGroup"),
    ("", "has no hook; mark a function named register or run_callbacks with @gankit.hookimpl"),
    ("def register(registries): ...\n", "has no hook; mark a function named register"),
    ("import gankit\n@gankit.hookimpl\ndef registr(registries): ...\n", "unknown hook 'registr'; did you mean 'register'?"),
    ("import gankit\n@gankit.hookimpl\ndef register(regs): ...\n", r"Argument\(s\) \{'regs'\} are declared in the hookimpl"),
    ("import gankit\n@gankit.hookimpl\ndef register(registries):\n    registries.losess\n", r"AttributeError: .*'losess'.* \(.*mine.py:4\)"),
    ("import gankit, json\n@gankit.hookimpl\ndef register(registries):\n    json.loads('{')\n", r"JSONDecodeError: .* \(.*mine.py:4\)"),
    ("import gankit, sys\n@gankit.hookimpl\ndef register(registries):\n    sys.exit('bye')\n", r"SystemExit: bye \(.*mine.py:4\)"),
    ("import gankit\n@gankit.hookimpl\ndef register(registries):\n    registries.losses.add('x', 3)\n", "losses: 'x': 3 is not callable"),
    ("import gankit\n@gankit.hookimpl\ndef register(registries):\n    registries.losses.add('x', dict)\n    registries.losses.add('x', dict)\n", "losses: 'x': its signature cannot be read|losses: 'x': \\*args"),
]  # fmt: skip


class TestBroken:
    @pytest.mark.parametrize(("text", "message"), BROKEN)
    def test_a_file_tells_its_fault_in_one_line(self, plugin, text, message):
        modules = set(sys.modules)
        path = plugin(text)
        with pytest.raises(PluginError, match=message) as error:
            bare(path)
        assert str(error.value).startswith(f"plugin 'mine' ({path}): ")
        assert len(str(error.value).splitlines()) == 1
        if "has no hook" not in message and "hookimpl" not in text:  # the import itself failed
            assert not [name for name in set(sys.modules) - modules if "mine" in name]

    @pytest.mark.parametrize(
        ("given", "message"),
        [
            ("nothing.py", r"plugin 'nothing' \(nothing.py\): no such file"),
            ("./folder", r"plugin 'folder' \(folder\): is a folder; give a .py file or the name of an importable package"),
            ("no_such_module", r"plugin 'no_such_module' \(a module\): ModuleNotFoundError: No module named 'no_such_module'"),
            ("mine", r"plugin 'mine' \(a module\): no such module; did you mean the file 'mine.py'?"),
            ("", "plugin '' .*ValueError: Empty module name"),
            (".x", "plugin '.x' .*TypeError"),
            (None, "plugin 'NoneType' .*has no hook"),
            (3, "plugin 'int' .*has no hook"),
            (SimpleNamespace(), "plugin 'SimpleNamespace' .*has no hook"),
        ],
    )  # fmt: skip
    def test_what_is_no_plugin(self, plugin, monkeypatch, given, message):
        folder = plugin(GOOD.format(name="x")).parent
        (folder / "folder").mkdir()
        monkeypatch.chdir(folder)
        with pytest.raises(PluginError, match=message):
            bare(given)

    def test_an_object_whose_attributes_fail(self):
        class Mean:
            @property
            def register(self) -> None:
                raise RuntimeError("not today")

        with pytest.raises(PluginError, match="plugin 'Mean'"):
            bare(Mean())

    def test_a_class_in_place_of_an_object(self, tiny_plugin):
        class Mine:
            @gankit.hookimpl
            def register(self, registries: gankit.Registries) -> None: ...

        with pytest.raises(PluginError, match="plugin 'Mine' .*is a class; pass an instance"):
            bare(Mine)

    def test_registering_half_way_registers_nothing(self, plugin, tiny_plugin):
        half = plugin(GOOD.format(name="half") + "    raise ValueError('and then')\n")

        class Both:
            """Tells what is registered after the failure."""

        runtime = bare(tiny_plugin)
        before = names(runtime)
        with pytest.raises(PluginError, match="ValueError: and then"):
            runtime.load_plugin(half)
        assert names(runtime) == before
        assert [loaded.name for loaded in runtime.plugins] == ["tiny_plugin"]
        runtime.load_plugin(plugin(GOOD.format(name="half")))  # mended
        assert "half" in runtime.registries.losses

    @pytest.mark.parametrize("order", [(0, 1), (1, 0)])
    def test_a_duplicate_name_tells_both_plugins_whatever_the_order(self, plugin, order):
        paths = [plugin(GOOD.format(name="same"), "one.py"), plugin(GOOD.format(name="same"), "two.py")]
        first, second = (paths[index] for index in order)
        with pytest.raises(
            PluginError,
            match=rf"losses: 'same' of plugin '{second.stem}' is already registered by plugin '{first.stem}'",
        ):
            bare(first, second)

    def test_an_interrupt_is_no_fault_of_the_plugin(self, plugin):
        with pytest.raises(KeyboardInterrupt):
            bare(plugin("raise KeyboardInterrupt\n"))


class TestInstalled:
    def test_ours_all_load(self):
        runtime = Runtime()
        assert runtime.broken == []
        assert {loaded.name for loaded in runtime.plugins} >= {"gankit_dcgan", "gankit_losses", "gankit_callbacks"}

    def test_a_good_one_registers(self, install):
        install("stranger", "strange_plugin", GOOD.format(name="strange"))
        runtime = Runtime()
        assert runtime.registries.losses.get("strange").plugin == "strange_plugin"
        (loaded,) = [loaded for loaded in runtime.plugins if loaded.name == "strange_plugin"]
        assert (loaded.source, loaded.components) == ("stranger 1.0", {"losses": ["strange"]})
        assert "strange" not in Runtime(discover=False).registries.losses

    @pytest.mark.parametrize(
        ("text", "message"), [*BROKEN, (None, "ModuleNotFoundError: No module named 'bad_plugin'")]
    )
    def test_a_broken_one_disables_only_itself(self, install, text, message):
        install("bad", "bad_plugin", text)
        install("good", "good_plugin", GOOD.format(name="good"))
        runtime = Runtime()
        (broken,) = runtime.broken
        assert (broken.name, broken.source) == ("bad_plugin", "bad 1.0")
        assert re.search(message.replace("mine.py", "bad_plugin.py"), broken.reason)
        assert broken.reason.startswith("plugin 'bad_plugin' (bad 1.0): ")
        assert "good" in runtime.registries.losses
        assert "bce" in runtime.registries.losses

    def test_a_name_that_is_taken_breaks_the_later_of_the_alphabet(self, install):
        install("z", "z_plugin", GOOD.format(name="same"))
        install("a", "a_plugin", GOOD.format(name="same"))
        runtime = Runtime()
        assert runtime.registries.losses.get("same").plugin == "a_plugin"
        assert [broken.name for broken in runtime.broken] == ["z_plugin"]
        assert "'same' of plugin 'z_plugin' is already registered by plugin 'a_plugin'" in runtime.broken[0].reason

    def test_a_package_without_metadata(self, install):
        install("nameless", "nameless_plugin", GOOD.format(name="nameless"), metadata=False)
        runtime = Runtime()
        assert "nameless" in runtime.registries.losses

    def test_the_hint_in_a_recipe_that_may_need_the_broken_one(self, install, tmp_path, tiny_recipe, tiny_plugin):
        install("bad", "bad_plugin", "1/0\n")
        with pytest.raises(gankit.RecipeError, match=r"no loss is called 'theirs'[\s\S]*'bad_plugin'"):
            Runtime(plugins=[tiny_plugin]).load(tiny_recipe(tmp_path, loss="theirs"))


class TestRuntimes:
    def test_two_know_nothing_of_each_other(self, plugin, tiny_plugin):
        one, other = bare(tiny_plugin), bare(plugin(GOOD.format(name="mine")))
        assert set(names(one)) > {"generators"}
        assert names(other) == {"losses": ["mine"], "games": ["adversarial"]}
        other.registries.losses.add("late", tiny_plugin.TinyLoss)
        assert "late" not in one.registries.losses
        assert "late" not in bare(tiny_plugin).registries.losses

    @pytest.mark.parametrize("backwards", [False, True])
    def test_the_order_of_loading_does_not_matter(self, backwards):
        plugins = ["gankit_losses", "gankit_dcgan", "gankit_callbacks"]
        runtime = bare(*(reversed(plugins) if backwards else plugins))
        assert names(runtime) == names(bare(*plugins))
        assert [list(registry) for registry in runtime.registries]


class TestRunCallbacks:
    class Tracker:
        def on_run_end(self, run: gankit.Run) -> None: ...

    def recipe(self, tmp_path, tiny_recipe, runtime) -> gankit.Recipe:
        return runtime.load(tiny_recipe(tmp_path))

    def test_every_plugins_are_gathered_by_name(self, tmp_path, tiny_recipe, tiny_plugin):
        tracker = self.Tracker

        class One:
            @gankit.hookimpl
            def run_callbacks(self) -> list[Any]:
                return [tracker(), tiny_plugin.TinyCallback()]

        class Other:
            @gankit.hookimpl
            def run_callbacks(self, recipe: gankit.Recipe) -> None:
                assert recipe.name == "tiny"

        for order in ([One(), Other()], [Other(), One()]):
            runtime = bare(tiny_plugin, *order)
            trainer = runtime.assemble(self.recipe(tmp_path, tiny_recipe, runtime))
            assert [type(callback).__name__ for callback in trainer.callbacks] == [
                "TinyCallback",
                "Tracker",
                "TinyCallback",
            ]

    @pytest.mark.parametrize("fault", ["1/0", "return 3", "return [3]"])
    def test_a_fault_is_told_with_the_plugin(self, plugin, tmp_path, tiny_recipe, tiny_plugin, fault):
        mine = plugin(f"import gankit\n@gankit.hookimpl\ndef run_callbacks():\n    {fault}\n")
        runtime = bare(tiny_plugin, mine)
        recipe = self.recipe(tmp_path, tiny_recipe, runtime)
        with pytest.raises(gankit.GankitError, match="plugin 'mine'|callback 'int'"):
            runtime.assemble(recipe)


class TestTraining:
    """A stranger's generator, loss, data set and callback train, wherever they come from."""

    def train(self, runtime: Runtime, recipe: Path, tmp_path: Path) -> None:
        trainer = runtime.assemble(runtime.load(recipe), run_dir=tmp_path / "run")
        trainer.fit()
        assert trainer.state.step == 3
        told = (tmp_path / "run" / "calls.txt").read_text().splitlines()
        assert told == ["start 0", "step 1", "step 2", "step 3", "end 3", "checkpoint 3"]
        assert tuple(trainer.sample(5).shape) == (5, 3, 16, 16)

    def test_from_a_single_file(self, tiny_plugin_file, tiny_recipe, tmp_path):
        self.train(Runtime(plugins=[tiny_plugin_file]), tiny_recipe(tmp_path), tmp_path)

    def test_from_an_installed_package(self, install, tiny_plugin_file, tiny_recipe, tmp_path):
        install("tiny-gan", "tiny_gan", tiny_plugin_file.read_text())
        self.train(Runtime(), tiny_recipe(tmp_path), tmp_path)
        record = (tmp_path / "run" / "run.json").read_text()
        assert '"tiny_gan"' in record
        assert "tiny-gan 1.0" in record

    def test_from_a_single_file_on_the_command_line(self, cli, tiny_plugin_file, tiny_recipe, tmp_path):
        said = cli("run", tiny_recipe(tmp_path), "--plugin", tiny_plugin_file, "--out", tmp_path / "run")
        assert said.code == 0, said.err
        assert (tmp_path / "run" / "calls.txt").exists()
        said = cli("sample", tmp_path / "run", "--out", tmp_path / "x.png")
        assert said.code == 2
        assert f"it was trained with plugin 'tiny_plugin' ({tiny_plugin_file}): pass it (--plugin)" in said.err
        assert cli("sample", tmp_path / "run", "--out", tmp_path / "x.png", "--plugin", tiny_plugin_file).code == 0


def test_importing_everything_changes_nothing_global():
    script = """
    import random, signal, sys, threading, warnings, os
    import numpy as np, torch
    def state():
        return (
            torch.get_rng_state().tolist(), np.random.get_state()[1].tolist(), random.getstate(), torch.get_default_dtype(),
            torch.get_num_threads(), torch.are_deterministic_algorithms_enabled(), torch.is_grad_enabled(),
            torch.get_float32_matmul_precision(), torch.backends.cudnn.benchmark, list(warnings.filters), sys.excepthook,
            sys.path[:], sys.getrecursionlimit(), threading.active_count(), dict(os.environ), os.getcwd(),
            [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)], torch.multiprocessing.get_sharing_strategy(),
        )
    import pydantic, pluggy, yaml, safetensors, sympy  # sympy: torch brings it in when it computes on the meta device
    before = state()
    import gankit
    runtime = gankit.Runtime()
    runtime.load(sys.argv[1])
    import gankit.testing
    for name in gankit.__all__:
        getattr(gankit, name)
    after = state()
    assert not runtime.broken, runtime.broken
    for index, (one, other) in enumerate(zip(before, after)):
        assert one == other, (index, str(one)[:200], str(other)[:200])
    """
    recipe = Path(__file__).parent.parent / "recipes" / "dcgan_cifar10.yaml"
    done = subprocess.run([sys.executable, "-c", dedent(script), recipe], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
