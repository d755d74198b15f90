"""Plugins in a run: their callbacks and components, and no change of global state."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

import gankit
from gankit import Runtime


def runtime_with(*plugins: Any) -> Runtime:
    return Runtime(plugins=plugins, discover=False)


class TestRunCallbacks:
    class Tracker:
        def on_run_end(self, run: gankit.Run) -> None: ...

    def test_callbacks_are_sorted_by_class_name(self, tmp_path, tiny_recipe, tiny_plugin):
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
            runtime = runtime_with(tiny_plugin, *order)
            trainer = runtime.assemble(runtime.load_checked(tiny_recipe(tmp_path)))
            assert [type(callback).__name__ for callback in trainer.callbacks.named.values()] == [
                "TinyCallback",
                "Tracker",
                "TinyCallback",
            ]

    @pytest.mark.parametrize(
        ("fault", "message"),
        [
            ("1/0", "plugin 'mine' .*ZeroDivisionError"),
            ("return 3", "plugin 'mine' .*: run_callbacks returns an int; expected a list of callbacks"),
            ("return [int]", "plugin 'mine' .*: run_callbacks returns the class int; pass an instance"),
            ("return [3]", "callback 'int'"),
        ],
    )
    def test_failing_hook_is_reported_with_the_plugin(
        self, write_plugin, tmp_path, tiny_recipe, tiny_plugin, fault, message
    ):
        mine = write_plugin(f"import gankit\n@gankit.hookimpl\ndef run_callbacks():\n    {fault}\n")
        runtime = runtime_with(tiny_plugin, mine)
        recipe = runtime.load(tiny_recipe(tmp_path))
        with pytest.raises(gankit.GankitError, match=message):
            runtime.assemble(recipe)


class TestTraining:
    """A plugin's generator, loss, dataset and callback train, whether from a file or an installed package."""

    def train(self, runtime: Runtime, recipe: Path, tmp_path: Path) -> None:
        trainer = runtime.assemble(runtime.load_checked(recipe), run_dir=tmp_path / "run")
        trainer.fit()
        assert trainer.state.step == 3
        calls = (tmp_path / "run" / "calls.txt").read_text().splitlines()
        assert calls == ["start 0", "step 1", "step 2", "step 3", "end 3", "checkpoint 3"]
        assert tuple(trainer.sample(5).shape) == (5, 3, 16, 16)

    def test_from_a_file(self, tiny_plugin_file, tiny_recipe, tmp_path):
        self.train(Runtime(plugins=[tiny_plugin_file]), tiny_recipe(tmp_path), tmp_path)

    def test_from_an_installed_package(self, install_plugin, tiny_plugin_file, tiny_recipe, tmp_path):
        install_plugin("tiny-gan", "tiny_gan", tiny_plugin_file.read_text())
        self.train(Runtime(), tiny_recipe(tmp_path), tmp_path)
        record = (tmp_path / "run" / "run.json").read_text()
        assert '"tiny_gan"' in record
        assert "tiny-gan 1.0" in record

    def test_from_a_file_on_the_command_line(self, cli, tiny_plugin_file, tiny_recipe, tmp_path):
        result = cli("run", tiny_recipe(tmp_path), "--plugin", tiny_plugin_file, "--out", tmp_path / "run")
        assert result.code == 0, result.err
        assert (tmp_path / "run" / "calls.txt").exists()
        result = cli("sample", tmp_path / "run", "--out", tmp_path / "x.png")
        assert result.code == 2
        assert f"it was trained with plugin 'tiny_plugin' ({tiny_plugin_file}): pass it with --plugin" in result.err
        assert cli("sample", tmp_path / "run", "--out", tmp_path / "x.png", "--plugin", tiny_plugin_file).code == 0

    def test_a_package_of_the_same_name_is_another_plugin(
        self, cli, install_plugin, tiny_plugin_file, tiny_recipe, tmp_path
    ):
        file = tmp_path / "my_gan.py"
        file.write_text(tiny_plugin_file.read_text())
        assert cli("run", tiny_recipe(tmp_path), "--plugin", file, "--out", tmp_path / "run").code == 0
        install_plugin("my-gan", "my_gan", "import gankit\n\n@gankit.hookimpl\ndef register(registries): ...\n")
        assert "my-gan 1.0" in cli("plugins").out
        result = cli("sample", tmp_path / "run", "--out", tmp_path / "x.png")
        assert f"it was trained with plugin 'my_gan' ({file}): pass it with --plugin" in result.err

    def test_a_package_that_is_no_longer_installed(self, cli, install_plugin, tiny_plugin_file, tiny_recipe, tmp_path):
        install_plugin("tiny-gan", "tiny_gan", tiny_plugin_file.read_text())
        self.train(Runtime(), tiny_recipe(tmp_path), tmp_path)
        with pytest.raises(gankit.RecipeError, match=r"the run used plugin 'tiny_gan' \(tiny-gan 1.0\): install it"):
            Runtime(discover=False).resume(tmp_path / "run")


def test_imports_do_not_change_global_state():
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
    import pydantic, pluggy, yaml, safetensors, rich.style  # rich draws a random number when it is imported
    import sympy  # torch imports it when it runs on the meta device
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
    recipe = Path(__file__).parents[2] / "recipes" / "dcgan_cifar10.yaml"
    done = subprocess.run([sys.executable, "-c", dedent(script), recipe], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_of_two_files_with_the_same_name_both_are_recorded(tiny_plugin_file, tiny_recipe, loss_plugin, write_plugin, tmp_path):
    (tmp_path / "other").mkdir()
    loss = write_plugin(loss_plugin("mine"), f"other/{tiny_plugin_file.name}")
    runtime = Runtime(plugins=[tiny_plugin_file, loss], discover=False)
    trainer = runtime.assemble(runtime.load(tiny_recipe(tmp_path)), run_dir=tmp_path / "run")
    trainer.fit()
    before = json.loads((tmp_path / "run/run.json").read_text())["plugins"]
    assert str(loss) in before["tiny_plugin"]["source"]
    loss.write_text(loss.read_text() + "# changed\n")
    runtime = Runtime(plugins=[tiny_plugin_file, loss], discover=False)
    with pytest.raises(gankit.GankitError, match="tiny_plugin"):
        runtime.resume(tmp_path / "run", ["train.steps=5"])
