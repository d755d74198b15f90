"""Plugins from files, modules, objects and installed packages."""

from __future__ import annotations

import pickle
import re
import sys
from typing import Any

import pytest

import gankit
from gankit import Runtime


def runtime_with(*plugins: Any) -> Runtime:
    return Runtime(plugins=plugins, discover=False)


def names(runtime: Runtime) -> dict[str, list[str]]:
    return {registry.kind: [entry.name for entry in registry] for registry in runtime.registries if len(registry)}


class TestSources:
    def test_file_as_string_or_path(self, loss_plugin, write_plugin):
        path = write_plugin(loss_plugin("mine"))
        for given in (path, str(path)):
            runtime = runtime_with(given)
            (loaded,) = runtime.plugins
            assert (loaded.name, loaded.source, loaded.components) == ("mine", str(path), {"losses": ["mine"]})
            assert runtime.registries.losses.get("mine").plugin == "mine"

    def test_relative_path(self, loss_plugin, write_plugin, monkeypatch):
        monkeypatch.chdir(write_plugin(loss_plugin("mine")).parent)
        assert names(runtime_with("mine.py"))["losses"] == names(runtime_with("./mine.py"))["losses"] == ["mine"]

    def test_module_by_name(self):
        runtime = runtime_with("gankit_losses")
        assert "bce" in runtime.registries.losses
        assert runtime.plugins[0].name == "gankit_losses"

    def test_module_and_object(self, tiny_plugin):
        class Mine:
            @gankit.hookimpl
            def register(self, registries: gankit.Registries) -> None:
                registries.losses.add("mine", tiny_plugin.TinyLoss)

        runtime = runtime_with(tiny_plugin, Mine())
        assert [loaded.name for loaded in runtime.plugins] == ["tiny_plugin", "Mine"]
        assert [entry.name for entry in runtime.registries.losses] == ["mine", "tiny"]

    def test_two_instances_of_a_class(self, tiny_plugin):
        class Mine:
            def __init__(self, name: str) -> None:
                self.name = name

            @gankit.hookimpl
            def register(self, registries: gankit.Registries) -> None:
                registries.losses.add(self.name, tiny_plugin.TinyLoss)

        assert names(runtime_with(Mine("a"), Mine("b")))["losses"] == ["a", "b"]

    def test_duplicates_are_loaded_once(self, loss_plugin, write_plugin, tiny_plugin):
        path = write_plugin(loss_plugin("mine"))
        assert len(runtime_with(path, path, tiny_plugin, tiny_plugin, "gankit_losses", "gankit_losses").plugins) == 3
        assert len([p for p in Runtime(plugins=["gankit_losses"]).plugins if p.name == "gankit_losses"]) == 1

    def test_two_files_with_the_same_name(self, loss_plugin, write_plugin, tmp_path):
        (tmp_path / "other").mkdir()
        one = write_plugin(loss_plugin("one"))
        other = write_plugin(loss_plugin("other"), "other/mine.py")
        assert names(runtime_with(one, other))["losses"] == ["one", "other"]

    def test_file_does_not_hide_a_module(self, loss_plugin, write_plugin):
        before = sys.modules.get("json")
        runtime_with(write_plugin(loss_plugin("mine"), "json.py"))
        import json

        assert json is before

    def test_edited_file_is_loaded_again_without_bytecode_files(self, loss_plugin, write_plugin):
        path = write_plugin(loss_plugin("one"))
        first = runtime_with(path)
        write_plugin(loss_plugin("two"))  # same length, within the same second
        assert names(runtime_with(path))["losses"] == ["two"]
        assert names(first)["losses"] == ["one"]
        assert [file.name for file in path.parent.iterdir()] == ["mine.py"]

    def test_classes_of_a_file_can_be_pickled(self, loss_plugin, write_plugin):
        path = write_plugin(loss_plugin("mine"))
        for runtime in [runtime_with(path), runtime_with(path)]:
            entry = runtime.registries.losses.get("mine")
            assert type(pickle.loads(pickle.dumps(entry.factory()))) is entry.factory

    def test_hash_depends_on_the_python_files(self, loss_plugin, write_plugin):
        path = write_plugin(loss_plugin("mine"))
        before = runtime_with(path).plugins[0].sha256()
        write_plugin(loss_plugin("more"))
        after = runtime_with(path).plugins[0].sha256()
        assert re.fullmatch("[0-9a-f]{64}", before)
        assert before != after


class TestRuntimes:
    def test_runtimes_are_independent(self, loss_plugin, write_plugin, tiny_plugin):
        one, other = runtime_with(tiny_plugin), runtime_with(write_plugin(loss_plugin("mine")))
        assert set(names(one)) > {"generators"}
        assert names(other) == {"losses": ["mine"], "games": ["adversarial"]}
        other.registries.losses.add("late", tiny_plugin.TinyLoss)
        assert "late" not in one.registries.losses
        assert "late" not in runtime_with(tiny_plugin).registries.losses

    @pytest.mark.parametrize("backwards", [False, True])
    def test_loading_order_does_not_matter(self, backwards):
        plugins = ["gankit_losses", "gankit_dcgan", "gankit_callbacks"]
        runtime = runtime_with(*(reversed(plugins) if backwards else plugins))
        assert names(runtime) == names(runtime_with(*plugins))
        assert [list(registry) for registry in runtime.registries]
