"""Finding and loading plugins: each by itself, so that a broken one takes nothing else down."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

import pluggy

from .errors import PluginError, RegistrationError
from .hookspecs import Hooks
from .recipe import Recipe
from .registry import Registries

GROUP = "gankit"


@dataclass(frozen=True)
class Plugin:
    """A plugin that loaded: its name, where it comes from, and what it registered, by kind."""

    name: str
    source: str
    module: object
    components: dict[str, list[str]]

    def sha256(self) -> str:
        """The hash of its Python files."""
        file = getattr(self.module, "__file__", None)
        if file is None:
            return ""
        path = Path(file)
        files = sorted(path.parent.rglob("*.py")) if path.name == "__init__.py" else [path]
        digest = hashlib.sha256()
        for source in files:
            digest.update(source.read_bytes())
        return digest.hexdigest()


@dataclass(frozen=True)
class BrokenPlugin:
    """A plugin that was found and could not be loaded, and why."""

    name: str
    source: str
    reason: str


class Plugins:
    """The plugins of one runtime, and the registries that they fill."""

    def __init__(self) -> None:
        self.registries = Registries()
        self.loaded: list[Plugin] = []
        self.broken: list[BrokenPlugin] = []
        self._manager = pluggy.PluginManager("gankit")
        self._manager.add_hookspecs(Hooks)

    def discover(self) -> None:
        """Load every installed plugin, in the order of their names; a broken one is remembered, not raised."""
        found = {(point.name, point.value): point for point in metadata.entry_points(group=GROUP)}
        for _, point in sorted(found.items()):
            source = f"{point.dist.name} {point.dist.version}" if point.dist else point.value
            try:
                module = _guarded(point.load, point.name, source)
                self._add(module, point.name, source)
            except PluginError as error:
                self.broken.append(BrokenPlugin(point.name, source, str(error)))

    def load(self, plugin: Any) -> None:
        """Load a module or object with hooks, or the one in a ``.py`` file or of a module's name.

        Raises:
            PluginError: it cannot be loaded.
        """
        if not isinstance(plugin, (str, Path)):
            name = getattr(plugin, "__name__", type(plugin).__name__)
            self._add(plugin, name, getattr(plugin, "__file__", None) or "given by the program")
        elif _is_file(str(plugin)):
            path = Path(plugin)
            self._add(_guarded(lambda: _import_file(path), path.name, str(path)), path.stem, str(path))
        else:
            module = _guarded(lambda: importlib.import_module(str(plugin)), str(plugin), str(plugin))
            self._add(module, str(plugin), getattr(module, "__file__", None) or str(plugin))

    def run_callbacks(self, recipe: Recipe) -> list[tuple[str, Any]]:
        """The callbacks that plugins add to every run, by the name of their class."""
        batches: list[Sequence[object] | None] = self._manager.hook.run_callbacks(recipe=recipe)
        callbacks = [callback for batch in batches for callback in batch or ()]
        return sorted(((type(callback).__name__, callback) for callback in callbacks), key=lambda named: named[0])

    def _add(self, module: object, name: str, source: str) -> None:
        if any(module is plugin.module for plugin in self.loaded):
            return
        staged = Registries().owned_by(name)
        try:
            self._manager.register(module, name=f"{name} ({source})")
            if not self._manager.get_hookcallers(module):
                raise PluginError(f"plugin '{name}' ({source}): has no hook; mark a function with @gankit.hookimpl")
            self._manager.check_pending()
            others = [other for other in self._manager.get_plugins() if other is not module]
            register = self._manager.subset_hook_caller("register", others)
            _guarded(lambda: register(registries=staged), name, source)
            self.registries.merge(staged)
        except (PluginError, RegistrationError, ValueError, pluggy.PluginValidationError) as error:
            if self._manager.is_registered(module):
                self._manager.unregister(module)
            reason = " ".join(str(error).split())
            raise PluginError(
                reason if isinstance(error, PluginError) else f"plugin '{name}' ({source}): {reason}"
            ) from None
        components = {registry.kind: [entry.name for entry in registry] for registry in staged if len(registry)}
        self.loaded.append(Plugin(name, source, module, components))


def _guarded(load: Any, name: str, source: str) -> Any:
    """What ``load`` returns; whatever it raises becomes a `PluginError` with its last line of code."""
    try:
        return load()
    except (PluginError, RegistrationError):
        raise
    except (Exception, SystemExit) as error:
        raise PluginError(f"plugin '{name}' ({source}): {type(error).__name__}: {error}{_where(error)}") from error


def _where(error: BaseException) -> str:
    """The last place in the plugin's own code that the error passed through."""
    if isinstance(error, SyntaxError):
        return ""  # its message has the place
    places = []
    step = error.__traceback__
    while step is not None:
        file = step.tb_frame.f_code.co_filename
        if not file.startswith("<frozen") and Path(file).parent != Path(__file__).parent:
            places.append(f" ({file}:{step.tb_lineno})")
        step = step.tb_next
    return places[-1] if places else ""


def _is_file(text: str) -> bool:
    return text.endswith(".py") or "/" in text or "\\" in text


def _import_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise PluginError(f"plugin '{path}': no such file")
    # a name of its own: two files of one name are two plugins, and neither hides an installed module
    name = f"_gankit_plugin_{path.stem}_{hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:8]}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise PluginError(f"plugin '{path}': is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and pickling look modules up there
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module
