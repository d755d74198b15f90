"""Broken plugins: each is reported, and does not affect the others."""

from __future__ import annotations

import re
import sys
from types import SimpleNamespace
from typing import Any

import pytest

import gankit
from gankit import PluginError, Runtime


def runtime_with(*plugins: Any) -> Runtime:
    return Runtime(plugins=plugins, discover=False)


def names(runtime: Runtime) -> dict[str, list[str]]:
    return {registry.kind: [entry.name for entry in registry] for registry in runtime.registries if len(registry)}


BROKEN = [
    ("def f(:\n", r"SyntaxError: .*line 1"),
    ("import no_such_module_anywhere\n", r"ModuleNotFoundError: No module named 'no_such_module_anywhere' \(.*mine.py:1\)"),
    ("import sys\nsys.exit(3)\n", r"SystemExit: 3 \(.*mine.py:2\)"),
    ("1/0\n", r"ZeroDivisionError: division by zero \(.*mine.py:1\)"),
    ("raise BaseExceptionGroup('x', [ValueError('a\\nb')])\n", "ExceptionGroup"),
    ("", "has no hook; mark a function named register or run_callbacks with @gankit.hookimpl"),
    ("def register(registries): ...\n", "has no hook; mark a function named register"),
    ("import gankit\n@gankit.hookimpl\ndef registr(registries): ...\n", "unknown hook 'registr'; did you mean 'register'?"),
    ("import gankit\n@gankit.hookimpl\ndef register(regs): ...\n", r"Argument\(s\) \{'regs'\} are declared in the hookimpl .*; the hooks are register\(registries\) and run_callbacks\(recipe\)"),
    ("import gankit\n@gankit.hookimpl\ndef register(registries):\n    registries.losess\n", r"AttributeError: .*'losess'.* \(.*mine.py:4\)"),
    ("import gankit, json\n@gankit.hookimpl\ndef register(registries):\n    json.loads('{')\n", r"JSONDecodeError: .* \(.*mine.py:4\)"),
    ("import gankit, sys\n@gankit.hookimpl\ndef register(registries):\n    sys.exit('bye')\n", r"SystemExit: bye \(.*mine.py:4\)"),
    ("import gankit\n@gankit.hookimpl\ndef register(registries):\n    registries.losses.add('x', 3)\n", "losses: 'x': 3 is not callable"),
    ("import gankit\n@gankit.hookimpl\ndef register(registries):\n    registries.losses.add('x', dict)\n    registries.losses.add('x', dict)\n", "losses: 'x': its signature cannot be read|losses: 'x': \\*args"),
]  # fmt: skip


class TestBroken:
    @pytest.mark.parametrize(("text", "message"), BROKEN)
    def test_broken_file_is_reported_in_one_line(self, write_plugin, text, message):
        modules = set(sys.modules)
        path = write_plugin(text)
        with pytest.raises(PluginError, match=message) as error:
            runtime_with(path)
        assert str(error.value).startswith(f"plugin 'mine' ({path}): ")
        assert len(str(error.value).splitlines()) == 1
        if "has no hook" not in message and "hookimpl" not in text:  # the import failed
            assert not [name for name in set(sys.modules) - modules if "mine" in name]

    @pytest.mark.parametrize(
        ("given", "message"),
        [
            ("nothing.py", r"plugin 'nothing' \(nothing.py\): no such file"),
            ("./folder", r"plugin 'folder' \(folder\): is a folder; give a .py file or the name of an importable package"),
            ("no_such_module", r"plugin 'no_such_module' \(a module\): ModuleNotFoundError: No module named 'no_such_module'"),
            ("mine", r"plugin 'mine' \(a module\): no such module; did you mean the file 'mine.py'?"),
            ("", "plugin '' .*neither the path of a .py file nor the name of a module"),
            (".x", "plugin '.x' .*neither the path of a .py file nor the name of a module"),
            (None, "plugin 'NoneType' .*has no hook"),
            (3, "plugin 'int' .*has no hook"),
            (SimpleNamespace(), "plugin 'SimpleNamespace' .*has no hook"),
        ],
    )  # fmt: skip
    def test_invalid_plugins(self, loss_plugin, write_plugin, monkeypatch, given, message):
        folder = write_plugin(loss_plugin("x")).parent
        (folder / "folder").mkdir()
        monkeypatch.chdir(folder)
        with pytest.raises(PluginError, match=message):
            runtime_with(given)

    def test_object_with_failing_attributes(self):
        class Failing:
            @property
            def register(self) -> None:
                raise RuntimeError("not today")

        with pytest.raises(PluginError, match="plugin 'Failing'"):
            runtime_with(Failing())

    def test_class_instead_of_an_instance(self, tiny_plugin):
        class Mine:
            @gankit.hookimpl
            def register(self, registries: gankit.Registries) -> None: ...

        with pytest.raises(PluginError, match="plugin 'Mine' .*is a class; pass an instance"):
            runtime_with(Mine)

    def test_failed_registration_registers_nothing(self, loss_plugin, write_plugin, tiny_plugin):
        half = write_plugin(loss_plugin("half") + "    raise ValueError('failed later')\n")
        runtime = runtime_with(tiny_plugin)
        before = names(runtime)
        with pytest.raises(PluginError, match="ValueError: failed later"):
            runtime.load_plugin(half)
        assert names(runtime) == before
        assert [loaded.name for loaded in runtime.plugins] == ["tiny_plugin"]
        runtime.load_plugin(write_plugin(loss_plugin("half")))  # fixed
        assert "half" in runtime.registries.losses

    @pytest.mark.parametrize("order", [(0, 1), (1, 0)])
    def test_duplicate_name_reports_both_plugins(self, loss_plugin, write_plugin, order):
        paths = [write_plugin(loss_plugin("same"), "one.py"), write_plugin(loss_plugin("same"), "two.py")]
        first, second = (paths[index] for index in order)
        with pytest.raises(
            PluginError,
            match=rf"losses: 'same' of plugin '{second.stem}' is already registered by plugin '{first.stem}'",
        ):
            runtime_with(first, second)

    def test_keyboard_interrupt_is_not_caught(self, write_plugin):
        with pytest.raises(KeyboardInterrupt):
            runtime_with(write_plugin("raise KeyboardInterrupt\n"))


class TestInstalled:
    def test_bundled_plugins_load(self):
        runtime = Runtime()
        assert runtime.broken == []
        assert {loaded.name for loaded in runtime.plugins} >= {"gankit_dcgan", "gankit_losses", "gankit_callbacks"}

    def test_installed_plugin_is_found(self, loss_plugin, install_plugin):
        install_plugin("other", "other_plugin", loss_plugin("other"))
        runtime = Runtime()
        assert runtime.registries.losses.get("other").plugin == "other_plugin"
        (loaded,) = [loaded for loaded in runtime.plugins if loaded.name == "other_plugin"]
        assert (loaded.source, loaded.components) == ("other 1.0", {"losses": ["other"]})
        assert "other" not in Runtime(discover=False).registries.losses

    @pytest.mark.parametrize(
        ("text", "message"), [*BROKEN, (None, "ModuleNotFoundError: No module named 'bad_plugin'")]
    )
    def test_broken_plugin_does_not_affect_others(self, loss_plugin, install_plugin, text, message):
        install_plugin("bad", "bad_plugin", text)
        install_plugin("good", "good_plugin", loss_plugin("good"))
        runtime = Runtime()
        (broken,) = runtime.broken
        assert (broken.name, broken.source) == ("bad_plugin", "bad 1.0")
        assert re.search(message.replace("mine.py", "bad_plugin.py"), broken.reason)
        assert broken.reason.startswith("plugin 'bad_plugin' (bad 1.0): ")
        assert "good" in runtime.registries.losses
        assert "bce" in runtime.registries.losses

    def test_duplicate_name_breaks_the_alphabetically_later_plugin(self, loss_plugin, install_plugin):
        install_plugin("z", "z_plugin", loss_plugin("same"))
        install_plugin("a", "a_plugin", loss_plugin("same"))
        runtime = Runtime()
        assert runtime.registries.losses.get("same").plugin == "a_plugin"
        assert [broken.name for broken in runtime.broken] == ["z_plugin"]
        assert "'same' of plugin 'z_plugin' is already registered by plugin 'a_plugin'" in runtime.broken[0].reason

    def test_package_without_metadata(self, loss_plugin, install_plugin):
        install_plugin("nameless", "nameless_plugin", loss_plugin("nameless"), metadata=False)
        runtime = Runtime()
        assert "nameless" in runtime.registries.losses

    def test_recipe_error_mentions_broken_plugins(self, install_plugin, tmp_path, tiny_recipe, tiny_plugin):
        install_plugin("bad", "bad_plugin", "1/0\n")
        with pytest.raises(gankit.RecipeError, match=r"no loss is called 'theirs'[\s\S]*'bad_plugin'"):
            Runtime(plugins=[tiny_plugin]).load(tiny_recipe(tmp_path, loss="theirs"))
