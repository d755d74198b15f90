"""Finding and loading plugins: each by itself, so that a broken one takes nothing else down."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
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


class PluginLoader:
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
            source = distribution_of(point)
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
            self._add(_guarded(lambda: _import_file(path), path.stem, str(path)), path.stem, str(path))
        else:
            module = _guarded(lambda: _import_module(str(plugin)), str(plugin), "a module")
            self._add(module, str(plugin), getattr(module, "__file__", None) or str(plugin))

    def run_callbacks(self, recipe: Recipe) -> list[tuple[str, Any]]:
        """The callbacks that plugins add to every run, by the name of their class.

        Raises:
            PluginError: a plugin fails to give them.
        """
        callbacks: list[object] = []
        for plugin in self.loaded:
            hook = self._hook_of(plugin.module, "run_callbacks")

            def ask(hook: Any = hook) -> list[object]:
                batches: list[Sequence[object] | None] = hook(recipe=recipe)
                return [callback for batch in batches for callback in batch or ()]

            callbacks += _guarded(ask, plugin.name, plugin.source)
        return sorted(((type(callback).__name__, callback) for callback in callbacks), key=lambda named: named[0])

    def _hook_of(self, module: object, name: str) -> Any:
        return self._manager.subset_hook_caller(name, [m for m in self._manager.get_plugins() if m is not module])

    def _add(self, module: object, name: str, source: str) -> None:
        if any(module is plugin.module for plugin in self.loaded):
            return
        staged = Registries().owned_by(name)
        try:
            _guarded(lambda: self._register(module), name, source)
            _guarded(lambda: self._hook_of(module, "register")(registries=staged), name, source)
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
        """Enter the hooks of ``module``, which have to be some that gankit calls."""
        if isinstance(module, type):
            raise PluginError("is a class; give an object of it")
        try:
            self._manager.register(module, name=f"plugin {len(self.loaded)}")  # pluggy wants its own to be unique
        except pluggy.PluginValidationError as error:
            raise PluginError("; ".join(str(error).splitlines()[1:])) from None
        hooks = self._manager.get_hookcallers(module) or []
        known = [name for name in vars(Hooks) if not name.startswith("_")]
        for hook in hooks:
            if not hook.has_spec():
                raise PluginError(f"unknown hook '{hook.name}'{did_you_mean(hook.name, known)}")
        if not hooks:
            raise PluginError(f"has no hook; mark a function called {' or '.join(known)} with @gankit.hookimpl")


def _guarded(load: Callable[[], Any], name: str, source: str) -> Any:
    """What ``load`` returns; whatever it raises becomes a `PluginError` with the plugin's name and line of code."""
    try:
        return load()
    except RegistrationError:
        raise
    except (Exception, SystemExit) as error:
        kind = "" if isinstance(error, PluginError) else f"{type(error).__name__}: "
        reason = " ".join(str(error).split())
        place = "" if isinstance(error, (PluginError, SyntaxError)) else _where(error)
        raise PluginError(f"plugin '{name}' ({source}): {kind}{reason}{place}") from error


def _where(error: BaseException) -> str:
    """The last place in the plugin's own code that the error passed through."""
    places: list[tuple[Path, int]] = []
    step = error.__traceback__
    while step is not None:
        file = step.tb_frame.f_code.co_filename
        if not file.startswith("<") and not any(Path(file).is_relative_to(folder) for folder in _NOT_PLUGINS):
            places.append((Path(file), step.tb_lineno))
        step = step.tb_next
    own = [place for place in places if place[0].is_relative_to(places[0][0].parent)]
    return f" ({own[-1][0]}:{own[-1][1]})" if own else ""


# through these an error passes on its way from a plugin to here
_NOT_PLUGINS = [Path(file).parent for file in (str(importlib.__file__), str(pluggy.__file__), __file__)]


def distribution_of(point: metadata.EntryPoint) -> str:
    """What installed an entry point, if that can be told."""
    try:
        return f"{point.dist.name} {point.dist.version}" if point.dist else point.value
    except Exception:  # its metadata are damaged
        return point.value


def _is_file(text: str) -> bool:
    return text.endswith(".py") or "/" in text or "\\" in text


def _import_module(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name == name and Path(f"{name}.py").is_file():
            raise PluginError(f"no module is called so; did you mean the file '{name}.py'?") from None
        raise


def _import_file(path: Path) -> ModuleType:
    if path.is_dir():
        raise PluginError("is a folder; name a .py file, or a package that can be imported")
    if not path.is_file():
        raise PluginError("no such file")
    # A name of its own: two files of one name are two plugins, and neither hides an installed module. It comes from
    # the content as well, so that all runtimes have the same classes, as pickling wants, until the file changes.
    content = path.read_bytes()
    digest = hashlib.sha256(str(path.resolve()).encode() + content).hexdigest()
    name = f"_gankit_plugin_{path.stem}_{digest[:12]}"
    if name in sys.modules:
        return sys.modules[name]
    loader = SourceFileLoader(name, str(path))
    spec = importlib.util.spec_from_file_location(name, path, loader=loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and pickling look modules up there
    try:
        exec(loader.source_to_code(content, str(path)), vars(module))
    except BaseException:
        del sys.modules[name]
        raise
    return module
