"""The registered components for completion, kept in the user's cache, since importing the plugins takes seconds."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata, util
from pathlib import Path
from typing import Any

from .. import __version__
from ..files import write_text

MAX_FILES = 8  # for different plugins or installations


@dataclass(frozen=True)
class Components:
    """The registered components.

    Attributes:
        names: the summary of each component, by kind and name.
        singulars: the kinds by their singulars.
        sections: the sections of a recipe.
        schema: the JSON Schema of recipes.
    """

    names: dict[str, dict[str, str]]
    singulars: dict[str, str]
    sections: list[str]
    schema: dict[str, Any]

    def of_kind(self, kind: str) -> Iterator[tuple[str, str]]:
        """The names and summaries of a kind, given in the plural or the singular; those of no kind are none."""
        yield from self.names.get(self.singulars.get(kind, kind), {}).items()


def load_components(plugins: Sequence[str] = ()) -> Components:
    """The components of the installed plugins and of these, from the cache if no plugin has changed since."""
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "gankit"
    file = folder / f"components-{_fingerprint(plugins)}.json"
    if not file.is_file():
        write_text(file, json.dumps(_components_of(plugins)))
        for old in sorted(folder.glob("components-*.json"), key=lambda path: path.stat().st_mtime)[:-MAX_FILES]:
            old.unlink(missing_ok=True)
    return Components(**json.loads(file.read_text(encoding="utf-8")))


def _components_of(plugins: Sequence[str]) -> dict[str, Any]:
    from ..assembly.recipe_schema import recipe_schema
    from ..recipe.model import sections
    from ..runtime import Runtime

    registries = Runtime(plugins).registries
    return {
        "names": {registry.kind: {entry.name: entry.summary for entry in registry} for registry in registries},
        "singulars": {registry.singular: registry.kind for registry in registries},
        "sections": [*sections()],
        "schema": recipe_schema(registries),
    }


def _fingerprint(plugins: Sequence[str]) -> str:
    """Changes with the versions and source files of gankit and its plugins. Nothing is imported."""
    points = sorted((point.name, point.value) for point in metadata.entry_points(group="gankit"))
    modules = {"gankit", *(value.partition(":")[0] for _, value in points)}
    files: list[Path] = []
    for plugin in plugins:
        if plugin.endswith(".py") or "/" in plugin:
            files += Path(plugin).parent.glob("*.py")
        else:
            modules.add(plugin)
    for module in modules:
        spec = util.find_spec(module.partition(".")[0])
        if spec is not None and spec.submodule_search_locations:
            files += (file for folder in spec.submodule_search_locations for file in Path(folder).rglob("*.py"))
        elif spec is not None and spec.origin:
            files.append(Path(spec.origin))
    states = [(str(file), file.stat().st_mtime_ns) for file in sorted({*files})]
    about = [__version__, sys.version, points, list(plugins), str(Path.cwd()) if plugins else "", states]
    return hashlib.sha256(json.dumps(about).encode()).hexdigest()[:16]
