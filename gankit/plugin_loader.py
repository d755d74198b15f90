"""Find and load plugins. A broken plugin does not affect the others."""

from __future__ import annotations

import hashlib
import importlib
import inspect
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

import pluggy

from .calls import described
from .errors import PluginError, RegistrationError
from .files import user_path
from .hookspecs import Hooks
from .messages import did_you_mean, failing_line
from .plugin_files import import_file, source_files
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
        hooks: calls its hooks.
        components: the names that it registered, by kind.
    """

    name: str
    source: str
    module: object
    hooks: pluggy.HookRelay
    components: dict[str, list[str]]

    def sha256(self) -> str:
        """The hash of its Python files and of the neighbors that a plugin file imports; empty without a file."""
        files = source_files(self.module)
        return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest() if files else ""


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

    def discover(self) -> None:
        """Load all installed plugins in alphabetical order. Those that fail are added to ``broken``."""
        found = {(point.name, point.value): point for point in metadata.entry_points(group=GROUP)}
        for _, point in sorted(found.items()):
            source = distribution_of(point)
            try:
                self._add(partial(_load, point), point.name, source)
            except PluginError as error:
                self.broken.append(BrokenPlugin(point.name, source, str(error)))

    def load(self, plugin: Any) -> None:
        """Load a plugin: a module or object with hooks, the path of a ``.py`` file, or a module's name.

        Raises:
            PluginError: it cannot be loaded.
        """
        if not isinstance(plugin, (str, Path)):
            name = getattr(plugin, "__name__", type(plugin).__name__)
            self._add(lambda: plugin, name, getattr(plugin, "__file__", None) or "given by the program")
        elif (text := str(plugin)).endswith(".py") or "/" in text or "\\" in text:
            try:
                path = user_path(text)
            except ValueError as error:
                raise PluginError(f"plugin {error}") from None
            self._add(lambda: _import_file(path), path.stem, str(path))
        else:
            with _plugin_errors(text, "a module"):
                module = _import_module(text)
            self._add(lambda: module, text, getattr(module, "__file__", None) or text)

    def run_callbacks(self, recipe: Recipe) -> list[tuple[str, Any]]:
        """The callbacks that plugins add to every run, with their class names and sorted by these.

        Raises:
            PluginError: a plugin's hook fails.
        """
        callbacks: list[tuple[str, Any]] = []
        for plugin in self.loaded:
            with _plugin_errors(plugin.name, plugin.source):
                for returned in plugin.hooks.run_callbacks(recipe=recipe):
                    if not isinstance(returned, Iterable | None):
                        raise PluginError(f"run_callbacks returns {described(returned)}; expected a list of callbacks")
                    for callback in returned or ():
                        if isinstance(callback, type):
                            raise PluginError(f"run_callbacks returns the class {callback.__name__}; pass an instance")
                        callbacks.append((type(callback).__name__, callback))
        return sorted(callbacks, key=lambda named: named[0])

    def _add(self, load: Callable[[], object], name: str, source: str) -> None:
        staged = Registries(name)
        with _plugin_errors(name, source):
            module = load()
            if any(module is plugin.module for plugin in self.loaded):
                return
            hooks = _hooks_of(module)
            hooks.register(registries=staged)
            self.registries.merge(staged)
        components = {registry.kind: [entry.name for entry in registry] for registry in staged if len(registry)}
        self.loaded.append(Plugin(name, source, module, hooks, components))


def _hooks_of(module: object) -> pluggy.HookRelay:
    """Calls the hooks of ``module``. Raises: PluginError: it has none, or one that gankit does not define."""
    if isinstance(module, type):
        raise PluginError("is a class; pass an instance")
    manager = pluggy.PluginManager("gankit")
    manager.add_hookspecs(Hooks)
    try:
        manager.register(module)
    except pluggy.PluginValidationError as error:
        expected = " and ".join(f"{hook}({', '.join(_parameters(hook))})" for hook in _known_hooks())
        raise PluginError(f"{'; '.join(str(error).splitlines()[1:])}; the hooks are {expected}") from None
    implemented = manager.get_hookcallers(module) or []
    known = _known_hooks()
    for hook in implemented:
        if not hook.has_spec():
            raise PluginError(f"unknown hook '{hook.name}'{did_you_mean(hook.name, known)}")
    if not implemented:
        raise PluginError(f"has no hook; mark a function named {' or '.join(known)} with @gankit.hookimpl")
    return manager.hook


def _known_hooks() -> list[str]:
    return [name for name in vars(Hooks) if not name.startswith("_")]


def _parameters(hook: str) -> list[str]:
    return [*inspect.signature(getattr(Hooks(), hook)).parameters]


@contextmanager
def _plugin_errors(name: str, source: str) -> Iterator[None]:
    """Turns exceptions inside the block into a `PluginError` with the name and the failing line of the plugin."""
    try:
        yield
    except (Exception, SystemExit) as error:
        own = isinstance(error, (PluginError, RegistrationError))
        kind = "" if own else f"{type(error).__name__}: "
        place = "" if own or isinstance(error, SyntaxError) else failing_line(error, *_BETWEEN)
        raise PluginError(f"plugin '{name}' ({source}): {kind}{' '.join(str(error).split())}{place}") from error


# the folders of code between gankit and a plugin in a traceback
_BETWEEN = tuple(str(Path(str(module.__file__)).parent) for module in (importlib, pluggy))


def _load(point: metadata.EntryPoint) -> Any:
    """The object that an entry point refers to.

    Its own `load` may be that of a backport of `importlib.metadata`, which another package has imported, and would then
    be taken for the failing line of a plugin.
    """
    loaded = importlib.import_module(point.module)
    for name in filter(None, (point.attr or "").split(".")):
        loaded = getattr(loaded, name)
    return loaded


def distribution_of(point: metadata.EntryPoint) -> str:
    """Name and version of the distribution that declares an entry point, or the entry point's value."""
    try:
        return f"{point.dist.name} {point.dist.version}" if point.dist else point.value
    except Exception:  # its metadata is damaged
        return point.value


def _import_module(name: str) -> ModuleType:
    if not all(word.isidentifier() for word in name.split(".")):
        raise PluginError("is neither the path of a .py file nor the name of a module")
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
    return import_file(path)
