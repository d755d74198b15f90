"""Import a plugin from a file, with the modules next to it.

A plugin file imports its neighbors as a script does (``from networks import G``) or as a module of a package
(``from .networks import G``). ``sys.path`` does not change, and two plugins never share a neighbor: each file gets a
package of its own in ``sys.modules``, and its import statements look there first.
"""

from __future__ import annotations

import builtins
import hashlib
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from .plugin_neighbors import Neighbors

PREFIX = "_gankit_plugin_"  # of the names of these packages
PLUGIN = "__gankit_plugin__"  # in such a package: the path of the plugin file


def import_file(path: Path) -> ModuleType:
    """The module of a plugin file. A file that was loaded before is loaded again if it or a neighbor has changed."""
    neighbors = Neighbors(path)
    # All runtimes share the module, as pickling requires. The content is part of the name: edited files get another.
    digest = hashlib.sha256(str(path.resolve()).encode() + b"".join(file.read_bytes() for file in neighbors.files()))
    base = f"{PREFIX}{path.stem}_{digest.hexdigest()[:12]}"
    name = f"{base}.{neighbors.own_name}"
    if name not in sys.modules:
        try:
            PluginImports(base, neighbors).load(neighbors.own_name)
        except BaseException:
            for loaded in [known for known in sys.modules if known == base or known.startswith(f"{base}.")]:
                del sys.modules[loaded]
            raise
        vars(sys.modules[base])[PLUGIN] = path.resolve()
    return sys.modules[name]


def loaded_plugin_files() -> dict[str, Path]:
    """The plugin files that this process has loaded, by the names of their packages."""
    loaded = {name: getattr(module, PLUGIN, None) for name, module in sys.modules.items() if name.startswith(PREFIX)}
    return {name: path for name, path in loaded.items() if path is not None}


def load_plugin_files(files: Mapping[str, Path]) -> None:
    """Load plugin files in another process under the same names, by which pickle looks up their classes.

    Args:
        files: of `loaded_plugin_files`.
    """
    for base, path in files.items():
        neighbors = Neighbors(path)
        PluginImports(base, neighbors).load(neighbors.own_name)


def source_files(module: Any) -> list[Path]:
    """The Python files of a plugin's module, sorted: of a file, with its neighbors; or of a whole package."""
    file = getattr(module, "__file__", None)
    if file is None:
        return []
    path = Path(file)
    if module.__name__.startswith(PREFIX):
        return Neighbors(path).files()
    return sorted(path.parent.rglob("*.py")) if path.name == "__init__.py" else [path]


class PluginImports:
    """The import statement of a plugin file and its neighbors, in a package named ``base``."""

    def __init__(self, base: str, neighbors: Neighbors) -> None:
        self._base, self._neighbors = base, neighbors

    def __call__(
        self,
        name: str,
        globals: Mapping[str, Any] | None = None,
        locals: Mapping[str, Any] | None = None,
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> ModuleType:
        """Import a module; has the interface of `builtins.__import__`."""
        package = str((globals or {}).get("__package__") or "").removeprefix(self._base).removeprefix(".")
        full = self._neighbors.full_name(name, level, package)
        if full is None:
            return builtins.__import__(name, globals, locals, fromlist or (), level)
        module = self.load(full)
        if not fromlist:  # ``import a.b`` binds a
            return self.load(full.removesuffix(name) + name.partition(".")[0])
        for item in getattr(module, "__all__", ()) if "*" in fromlist else fromlist:
            inner = f"{full}.{item}" if full else item
            if hasattr(module, item):
                continue
            if self._neighbors.file_of(inner) or self._neighbors.is_folder(inner):
                self.load(inner)
            elif not hasattr(module, "__file__") and (file := self._neighbors.file_of(full)):
                self._execute(module, file)
        return module

    def load(self, name: str) -> ModuleType:
        """The module of a dotted name, after the packages that it lies in. Raises: ModuleNotFoundError."""
        module = self._module("", None)
        parts = name.split(".") if name else []
        for end in range(1, len(parts) + 1):
            module = self._module(".".join(parts[:end]), module)
        return module

    def _module(self, name: str, parent: ModuleType | None) -> ModuleType:
        """The module of one name, whose package ``parent`` is loaded."""
        own_name = f"{self._base}.{name}" if name else self._base
        if own_name in sys.modules:
            return sys.modules[own_name]
        file = self._neighbors.file_of(name) if name else None
        is_package = file is None or file.name == "__init__.py"
        if file is None and not self._neighbors.is_folder(name):
            raise ModuleNotFoundError(f"No module named {name!r} next to the plugin", name=name)
        module = ModuleType(own_name)
        module.__package__ = own_name if is_package else own_name.rpartition(".")[0]
        if is_package:
            module.__path__ = []
        sys.modules[own_name] = module  # dataclasses and pickle look up modules there
        # the packages around the plugin run only if it imports what they define
        if file is not None and not self._neighbors.own_name.startswith(f"{name}."):
            try:
                self._execute(module, file)
            except BaseException:
                del sys.modules[own_name]
                raise
        if parent is not None:
            setattr(parent, name.rpartition(".")[2], module)
        return module

    def _execute(self, module: ModuleType, file: Path) -> None:
        module.__file__ = str(file)
        vars(module)["__builtins__"] = {**vars(builtins), "__import__": self}
        code = compile(file.read_bytes(), self._neighbors.shown(file), "exec", dont_inherit=True)
        exec(code, vars(module))
