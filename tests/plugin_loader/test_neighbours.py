"""Plugin files that import modules next to them."""

from __future__ import annotations

import pickle
import sys

import pytest

import gankit
from gankit import Runtime

LOSS = """
    class Loss:
        name = "{0}"
        def discriminator(self, turn): ...
        def generator(self, turn): ...
"""
PLUGIN = """
    import gankit
    {0}
    @gankit.hookimpl
    def register(registries):
        registries.losses.add("mine", {1})
"""


def runtime_with(*plugins):
    return Runtime(plugins=plugins, discover=False)


def loss(path):
    return runtime_with(path).registries.losses.get("mine").factory


@pytest.fixture
def write(write_plugin, tmp_path):
    def write(file, text):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        return write_plugin(text, file)

    return write


@pytest.mark.parametrize(
    ("statement", "factory"),
    [
        ("from networks import Loss", "Loss"),
        ("from networks import *", "Loss"),
        ("import networks", "networks.Loss"),
        ("import networks as other", "other.Loss"),
        ("from .networks import Loss", "Loss"),
        ("from . import networks", "networks.Loss"),
        ("import parts.inner", "parts.inner.Loss"),
        ("from parts import inner", "inner.Loss"),
        ("from parts.outer import Loss", "Loss"),
        ("from .parts.outer import Loss", "Loss"),
        ("try:\n        import nowhere\n    except ImportError:\n        from networks import Loss", "Loss"),
    ],
)
def test_every_kind_of_import(write, statement, factory):
    write("networks.py", LOSS.format("neighbour"))
    write("parts/__init__.py", "")
    write("parts/inner.py", LOSS.format("neighbour"))
    write("parts/outer.py", "from .inner import Loss")
    before = sys.path[:], sys.meta_path[:], {name for name in sys.modules if "networks" in name.split(".")[0]}
    assert loss(write("mine.py", PLUGIN.format(statement, factory))).name == "neighbour"
    assert before == (
        sys.path,
        sys.meta_path,
        {name for name in sys.modules if "networks" in name.split(".")[0]},
    )


def test_two_folders_have_neighbours_of_the_same_name(write):
    for folder in ("one", "other"):
        write(f"{folder}/networks.py", LOSS.format(folder))
    one, other = (write(f"{f}/mine.py", PLUGIN.format("import networks", "networks.Loss")) for f in ("one", "other"))
    assert (loss(one).name, loss(other).name, loss(one).name) == ("one", "other", "one")


def test_an_import_inside_a_function_happens_when_it_is_called(write):
    write("networks.py", LOSS.format("late"))
    late = "def make():\n        from networks import Loss\n        return Loss()"
    factory = loss(write("mine.py", PLUGIN.format(late, "make")))
    assert factory().name == "late"


def test_a_neighbour_does_not_hide_gankit_or_the_standard_library(write):
    for name in ("json", "gankit"):
        write(f"{name}.py", "raise AssertionError")
    write("networks.py", LOSS.format("good"))
    assert loss(write("mine.py", PLUGIN.format("import json\n    from networks import Loss", "Loss"))).name == "good"


def test_a_folder_without_init_does_not_hide_an_installed_package(write):
    write("yaml/notes.txt", "")
    write("parts/networks.py", LOSS.format("folder"))
    text = PLUGIN.format("import yaml\n    yaml.safe_load\n    from parts.networks import Loss", "Loss")
    assert loss(write("mine.py", text)).name == "folder"


class TestInAPackage:
    """The file lies in a folder with ``__init__.py``."""

    @pytest.mark.parametrize(
        ("statement", "name"),
        [
            ("from .networks import Loss", "inner"),
            ("from networks import Loss", "inner"),
            ("from ..shared import Loss", "shared"),
            ("from package.shared import Loss", "shared"),
            ("from .. import Loss", "of the package"),
        ],
    )
    def test_it_imports_from_the_package(self, write, statement, name):
        write("package/__init__.py", LOSS.format("of the package"))
        write("package/shared.py", LOSS.format("shared"))
        write("package/inner/__init__.py", "")
        write("package/inner/networks.py", LOSS.format("inner"))
        assert loss(write("package/inner/mine.py", PLUGIN.format(statement, "Loss"))).name == name

    def test_the_package_runs_only_if_it_is_asked_for(self, write):
        write("package/__init__.py", "raise AssertionError")
        write("package/networks.py", LOSS.format("good"))
        assert loss(write("package/mine.py", PLUGIN.format("from .networks import Loss", "Loss"))).name == "good"
        with pytest.raises(gankit.PluginError, match="AssertionError"):
            loss(write("package/mine.py", PLUGIN.format("from . import Loss", "Loss")))


def test_an_edited_neighbour_is_loaded_again_and_changes_the_hash(write):
    path = write("mine.py", PLUGIN.format("from networks import Loss", "Loss"))
    seen = set()
    for name in ("one", "two"):
        write("networks.py", "from deeper import Loss")
        write("deeper.py", LOSS.format(name))
        runtime = runtime_with(path)
        assert runtime.registries.losses.get("mine").factory.name == name
        seen.add(runtime.plugins[0].sha256())
    assert len(seen) == 2
    write("unrelated.py", "")
    assert runtime_with(path).plugins[0].sha256() in seen
    assert not list(path.parent.rglob("__pycache__"))


def test_classes_of_a_neighbour_can_be_pickled(write):
    write("networks.py", LOSS.format("mine"))
    factory = loss(write("mine.py", PLUGIN.format("from networks import Loss", "Loss")))
    assert type(pickle.loads(pickle.dumps(factory()))) is factory


@pytest.mark.parametrize(
    ("neighbour", "statement", "message"),
    [
        ("1 / 0", "import networks", r"ZeroDivisionError: division by zero \(.*networks.py:1\)"),
        ("x = (", "import networks", r"SyntaxError: .*networks.py"),
        ("", "from networks import Loss", r"ImportError: cannot import name 'Loss' .*networks.* \(.*mine.py:3\)"),
        ("", "import network", r"ModuleNotFoundError: No module named 'network' \(.*mine.py:3\)"),
        ("", "from .network import Loss", r"ModuleNotFoundError: No module named 'network' .*\(.*mine.py:3\)"),
        ("", "from ..networks import Loss", r"ImportError: attempted relative import beyond top-level package"),
    ],
)
def test_a_broken_neighbour_is_reported(write, neighbour, statement, message):
    write("networks.py", neighbour)
    before = set(sys.modules)
    with pytest.raises(gankit.PluginError, match=message):
        loss(write("mine.py", PLUGIN.format(statement, "networks.Loss")))
    assert not [name for name in set(sys.modules) - before if "mine" in name]


def test_the_command_line_loads_it(write, cli):
    write("networks.py", LOSS.format("mine"))
    path = write("mine.py", PLUGIN.format("from networks import Loss", "Loss"))
    said = cli("show", "losses", "mine", "--plugin", path)
    assert said.code == 0, said.err
