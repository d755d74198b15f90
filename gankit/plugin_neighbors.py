"""The modules next to a plugin file: which imports mean them, and which files they are in.

The standard library and gankit itself are never looked for among the neighbors.
"""

from __future__ import annotations

import ast
import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path


class Neighbors:
    """The modules that a plugin file can import from its own folder, or from the package that it belongs to.

    Attributes:
        own_name: the dotted name of the file in its package; the file's stem if the folder is not a package.
    """

    def __init__(self, path: Path) -> None:
        self._given, self._path = path, path.resolve()
        self._root = self._path.parent
        while (self._root / "__init__.py").is_file():
            self._root = self._root.parent
        parts = self._path.relative_to(self._root).with_suffix("").parts
        self.own_name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        folder = ".".join(parts[:-1])
        self._places = [f"{folder}.", ""] if folder else [""]

    def files(self) -> list[Path]:
        """The file and all neighbors that it imports, directly or not, sorted. Raises: SyntaxError: of the file."""
        found: dict[Path, None] = {}
        names = [self.own_name]
        while names:
            file = self.file_of(name := names.pop())
            if file is None or file in found:
                continue
            found[file] = None
            try:
                tree = ast.parse(file.read_bytes(), self.shown(file))
            except SyntaxError:
                if file == self._path:
                    raise
                continue  # its import reports it
            package = name if file.name == "__init__.py" else name.rpartition(".")[0]
            for imported, level in _imports(tree):
                if (full := self.full_name(imported, level, package)) is not None:
                    parts = full.split(".")
                    names += [".".join(parts[: end + 1]) for end in range(len(parts))]
        return sorted(found)

    def full_name(self, name: str, level: int, package: str) -> str | None:
        """The dotted name of the module that an import statement means; None if it is not a neighbor.

        Args:
            name: as in the statement.
            level: the number of leading dots.
            package: of the module with the statement.
        """
        if level:
            parts = package.split(".") if package else []
            if level > len(parts) + 1:  # beyond the root, as Python reports
                return None
            return ".".join([*parts[: len(parts) - level + 1], *([name] if name else [])])
        top = name.partition(".")[0]
        if top in sys.stdlib_module_names or top == "gankit":
            return None
        return next((place + name for place in self._places if self._is_neighbor(place + top, top)), None)

    def file_of(self, name: str) -> Path | None:
        """The file of a module; None for a folder without ``__init__.py``, and for a module that does not exist."""
        stem = self._stem(name)
        files = (stem / "__init__.py", stem.parent / f"{stem.name}.py")
        return next((file for file in files if file.is_file()), None)

    def shown(self, file: Path) -> str:
        """The path of a file for messages: relative if the plugin's was given so."""
        folder = self._path.parent
        return str(self._given.parent / file.relative_to(folder) if file.is_relative_to(folder) else file)

    def is_folder(self, name: str) -> bool:
        """Whether there is a folder of this dotted name; the empty name stands for the root."""
        return self._stem(name).is_dir()

    def _stem(self, name: str) -> Path:
        return self._root.joinpath(*name.split(".")) if name else self._root

    def _is_neighbor(self, name: str, top: str) -> bool:
        if self.file_of(name) is not None:
            return True
        # like Python, prefer an installed package to a folder that may hold anything
        return self.is_folder(name) and top not in sys.modules and importlib.util.find_spec(top) is None


def _imports(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """The names in a module's import statements, also of those inside functions, with the number of leading dots."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, 0) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (
                (".".join(part for part in (node.module, alias.name) if part), node.level) for alias in node.names
            )
