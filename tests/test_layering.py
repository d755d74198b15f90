"""Who may import whom, read off the syntax tree; and what is cheap to import."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import gankit

ROOT = Path(__file__).parent.parent
CORE = ROOT / "gankit"
PLUGINS = ROOT / "plugins"

# Imports point down only: a file may import its own layer and those above it in this list.
LAYERS = (
    (
        "errors",
        "interfaces",
        "schedule",
        "jsonl",
        "pictures",
        "files",
        "yaml_text",
        "frugal",
        "image_sizes",
        "class_labels",
        "box_filter",
        "device",
    ),
    ("document", "registry", "validation", "recipe", "data", "training", "evaluation"),
    ("hookspecs",),
    ("plugins", "trial", "check", "assembly", "runtime", "generator", "scoring", "testing"),
    ("cli",),
)
WITHOUT_TORCH = (
    "gankit", "gankit.errors", "gankit.interfaces", "gankit.schedule", "gankit.jsonl", "gankit.files", "gankit.document",
    "gankit.registry", "gankit.recipe", "gankit.hookspecs", "gankit.plugins", "gankit.cli.main",
)  # fmt: skip


def files(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.py"))


def part_of(path: Path) -> str:
    """The file or folder directly under ``gankit/`` that a file belongs to."""
    return path.relative_to(CORE).parts[0].removesuffix(".py")


def level(part: str) -> int:
    return next(index for index, layer in enumerate(LAYERS) if part in layer)


def imports(path: Path, package: str) -> Iterator[tuple[str, str]]:
    """Module and name (or "") of each import that happens, wherever in the file it stands, with absolute names."""

    def visit(node: ast.AST) -> Iterator[tuple[str, str]]:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            for other in node.orelse:
                yield from visit(other)
            return
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            around = package.split(".")[: len(package.split(".")) - (node.level - 1)] if node.level else []
            module = ".".join([*around, *([node.module] if node.module else [])])
            yield from ((module, alias.name) for alias in node.names)
        for child in ast.iter_child_nodes(node):
            yield from visit(child)

    yield from visit(ast.parse(path.read_text()))


def package_of(path: Path, root: Path) -> str:
    return ".".join(path.relative_to(root).parts[:-1])


@pytest.mark.parametrize("path", files(CORE), ids=lambda path: str(path.relative_to(ROOT)))
class TestCore:
    def test_imports_point_down(self, path):
        if path.parent == CORE and path.stem in ("__init__", "__main__"):
            return  # one loads names when asked; the other is the command line
        own = level(part_of(path))
        for module, name in imports(path, package_of(path, ROOT)):
            if module.partition(".")[0] != "gankit":
                continue
            parts = module.split(".")[1:]
            below = parts[0] if parts else name
            if not parts and name in ("__version__", *gankit.__all__):
                continue
            assert level(below) <= own, f"{path.name} imports {below}, which stands above it"

    def test_it_imports_no_plugin(self, path):
        plugins = {folder.name for folder in PLUGINS.iterdir()}
        assert not [module for module, _ in imports(path, package_of(path, ROOT)) if module.split(".")[0] in plugins]

    def test_it_names_no_component_of_a_plugin(self, path):
        """Words in code, that is; documentation may give examples."""
        kinds = ("generators", "discriminators", "losses", "regularizers", "augmentations", "datasets", "optimizers")
        registries = gankit.Runtime().registries.by_kind()
        names = {entry.name for kind in kinds for entry in registries[kind]}
        tree = ast.parse(path.read_text())
        documentation = {
            id(node.value)
            for node in ast.walk(tree)
            if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        }
        words = {
            node.value
            for node in ast.walk(tree)
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documentation
        }
        assert not words & names


def test_every_file_of_the_core_has_a_layer():
    parts = {part_of(path) for path in files(CORE)} - {"__init__", "__main__"}
    assert parts <= {part for layer in LAYERS for part in layer}


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
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "gankit":
                assert node.attr in gankit.__all__, f"gankit does not export {node.attr}"


@pytest.mark.parametrize(
    "folder", sorted(path for path in PLUGINS.iterdir() if path.is_dir()), ids=lambda path: path.name
)
def test_a_plugin_is_imports_and_registrations(folder):
    tree = ast.parse((folder / "__init__.py").read_text())
    documentation, *statements = tree.body
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
        tree = ast.parse(path.read_text())
        calls = {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
        allowed = {"os._exit"} if path == CORE / "data" / "worker.py" else set()  # a process of its own
        assert not calls & {"print", "exit", "sys.exit", "os._exit", "input", "signal.signal"} - allowed, path


def loaded_after(statement: str) -> set[str]:
    script = f"import sys\n{statement}\nprint(*sys.modules)"
    return set(
        subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    )


def test_what_needs_no_torch_imports_none():
    """One process for all of them, for each would be as guilty alone."""
    loaded = loaded_after("import " + ", ".join(WITHOUT_TORCH))
    assert set(WITHOUT_TORCH) <= loaded
    assert not loaded & {"torch", "torchvision", "numpy", "PIL", "matplotlib", "kornia", "safetensors"}


def test_reading_a_recipe_imports_no_torch():
    recipe = ROOT / "recipes" / "dcgan_cifar10.yaml"
    assert "torch" not in loaded_after(f"import gankit\ngankit.Recipe.load({str(recipe)!r})")


def test_import_gankit_imports_next_to_nothing():
    assert not loaded_after("import gankit") & {"pydantic", "yaml", "pluggy", "torch"}


def test_importing_every_plugin_costs_no_more_than_torch():
    plugins = sorted(path.name for path in PLUGINS.iterdir() if path.is_dir())
    loaded = loaded_after("import " + ", ".join(plugins))
    assert not loaded & {"torchvision", "kornia", "matplotlib", "rich", "typer", "torch._dynamo"}
