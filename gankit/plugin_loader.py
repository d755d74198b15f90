"""Find and load plugins. A broken plugin does not affect the others."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import Any

import pluggy

from .errors import PluginError, RegistrationError
from .hookspecs import Hooks
from .messages import did_you_mean
from .recipe.model import Recipe
from .registry import Registries

GROUP = "gankit"


@dataclass(frozen=True)
class Plugin:
    """A loaded plugin.

    Attributes:
        name: of its entry point, file, module or class.
        source: its distribution and version, or its file.
        module: the module or object with its hooks.
        components: the names that it registered, by kind.
    """

    name: str
    source: str
    module: object
    components: dict[str, list[str]]

    def sha256(self) -> str:
        """The hash of its Python files, in hexadecimal; empty for an object without a file."""
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
    """An installed plugin that could not be loaded, with the reason."""

    name: str
    source: str
    reason: str


class PluginLoader:
    """The plugins of one runtime and the registries that they fill."""

    def __init__(self) -> None:
        self.registries = Registries()
        self.loaded: list[Plugin] = []
        self.broken: list[BrokenPlugin] = []
        self._manager = pluggy.PluginManager("gankit")
        self._manager.add_hookspecs(Hooks)

    def discover(self) -> None:
        """Load all installed plugins in alphabetical order. Those that fail are added to ``broken``."""
        found = {(point.name, point.value): point for point in metadata.entry_points(group=GROUP)}
        for _, point in sorted(found.items()):
            source = distribution_of(point)
            try:
                module = _call_plugin(point.load, point.name, source)
                self._add(module, point.name, source)
            except PluginError as error:
                self.broken.append(BrokenPlugin(point.name, source, str(error)))

    def load(self, plugin: Any) -> None:
        """Load a plugin: a module or object with hooks, the path of a ``.py`` file, or a module's name.

        Raises:
            PluginError: it cannot be loaded.
        """
        if not isinstance(plugin, (str, Path)):
            name = getattr(plugin, "__name__", type(plugin).__name__)
            self._add(plugin, name, getattr(plugin, "__file__", None) or "given by the program")
        elif _is_file(str(plugin)):
            path = Path(plugin)
            self._add(_call_plugin(lambda: _import_file(path), path.stem, str(path)), path.stem, str(path))
        else:
            module = _call_plugin(lambda: _import_module(str(plugin)), str(plugin), "a module")
            self._add(module, str(plugin), getattr(module, "__file__", None) or str(plugin))

    def run_callbacks(self, recipe: Recipe) -> list[tuple[str, Any]]:
        """The callbacks that plugins add to every run, with their class names and sorted by these.

        Raises:
            PluginError: a plugin's hook fails.
        """
        callbacks: list[object] = []
        for plugin in self.loaded:
            callbacks += _call_plugin(partial(self._callbacks_of, plugin.module, recipe), plugin.name, plugin.source)
        return sorted(((type(callback).__name__, callback) for callback in callbacks), key=lambda named: named[0])

    def _callbacks_of(self, module: object, recipe: Recipe) -> list[object]:
        returned: list[Sequence[object] | None] = self._hook_caller(module, "run_callbacks")(recipe=recipe)
        return [callback for callbacks in returned for callback in callbacks or ()]

    def _hook_caller(self, module: object, name: str) -> Any:
        """Calls the hook ``name`` of this plugin only."""
        return self._manager.subset_hook_caller(name, [m for m in self._manager.get_plugins() if m is not module])

    def _add(self, module: object, name: str, source: str) -> None:
        if any(module is plugin.module for plugin in self.loaded):
            return
        staged = Registries().owned_by(name)
        try:
            _call_plugin(lambda: self._register(module), name, source)
            _call_plugin(lambda: self._hook_caller(module, "register")(registries=staged), name, source)
            self.registries.merge(staged)
        except (PluginError, RegistrationError) as error:
            if self._manager.is_registered(module):
                self._manager.unregister(module)
            if isinstance(error, PluginError):
                raise
            raise PluginError(f"plugin '{name}' ({source}): {error}") from None
        components = {registry.kind: [entry.name for entry in registry] for registry in staged if len(registry)}
        self.loaded.append(Plugin(name, source, module, components))

    def _register(self, module: object) -> None:
        """Register the hooks of ``module``. Raises: PluginError: it has none, or one that gankit does not define."""
        if isinstance(module, type):
            raise PluginError("is a class; pass an instance")
        try:
            self._manager.register(module, name=f"plugin {len(self.loaded)}")  # pluggy requires unique names
        except pluggy.PluginValidationError as error:
            raise PluginError("; ".join(str(error).splitlines()[1:])) from None
        hooks = self._manager.get_hookcallers(module) or []
        known = [name for name in vars(Hooks) if not name.startswith("_")]
        for hook in hooks:
            if not hook.has_spec():
                raise PluginError(f"unknown hook '{hook.name}'{did_you_mean(hook.name, known)}")
        if not hooks:
            raise PluginError(f"has no hook; mark a function named {' or '.join(known)} with @gankit.hookimpl")


def _call_plugin(call: Callable[[], Any], name: str, source: str) -> Any:
    """The result of ``call``. Exceptions become a `PluginError` with the name and the failing line of the plugin."""
    try:
        return call()
    except RegistrationError:
        raise
    except (Exception, SystemExit) as error:
        kind = "" if isinstance(error, PluginError) else f"{type(error).__name__}: "
        reason = " ".join(str(error).split())
        place = "" if isinstance(error, (PluginError, SyntaxError)) else _plugin_line(error)
        raise PluginError(f"plugin '{name}' ({source}): {kind}{reason}{place}") from error


def _plugin_line(error: BaseException) -> str:
    """The innermost line of the plugin in the traceback, as `` (file:line)``."""
    lines: list[tuple[Path, int]] = []
    for frame, line in traceback.walk_tb(error.__traceback__):
        file = Path(name := frame.f_code.co_filename)
        if not name.startswith("<") and not any(file.is_relative_to(folder) for folder in _NOT_PLUGINS):
            lines.append((file, line))
    # the first of these files is the plugin's; later ones may be libraries that it calls
    own = [(file, line) for file, line in lines if file.is_relative_to(lines[0][0].parent)]
    return f" ({own[-1][0]}:{own[-1][1]})" if own else ""


# code between gankit and a plugin in a traceback
_NOT_PLUGINS = [Path(file).parent for file in (str(importlib.__file__), str(pluggy.__file__), __file__)]


def distribution_of(point: metadata.EntryPoint) -> str:
    """Name and version of the distribution that declares an entry point, or the entry point's value."""
    try:
        return f"{point.dist.name} {point.dist.version}" if point.dist else point.value
    except Exception:  # its metadata is damaged
        return point.value


def _is_file(text: str) -> bool:
    return text.endswith(".py") or "/" in text or "\\" in text


def _import_module(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name == name and Path(f"{name}.py").is_file():
            raise PluginError(f"no such module; did you mean the file '{name}.py'?") from None
        raise


def _import_file(path: Path) -> ModuleType:
    if path.is_dir():
        raise PluginError("is a folder; give a .py file or the name of an importable package")
    if not path.is_file():
        raise PluginError("no such file")
    # The module's name is unique, so that files of the same name do not collide or hide an installed module. It depends
    # on the content: all runtimes share the module, as pickling requires, and an edited file is loaded again.
    content = path.read_bytes()
    digest = hashlib.sha256(str(path.resolve()).encode() + content).hexdigest()
    name = f"_gankit_plugin_{path.stem}_{digest[:12]}"
    if name in sys.modules:
        return sys.modules[name]
    loader = SourceFileLoader(name, str(path))
    spec = importlib.util.spec_from_file_location(name, path, loader=loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and pickle look up modules there
    try:
        exec(loader.source_to_code(content, str(path)), vars(module))
    except BaseException:
        del sys.modules[name]
        raise
    return module
