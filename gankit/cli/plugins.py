"""``gankit plugins``: list the plugins; ``gankit plugins check``: check the components of one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text
from typer import Argument

from ..errors import GankitError
from ..messages import did_you_mean, quote
from .console import PluginOption, escape, make_table, output_console
from .task_progress import TaskProgress

if TYPE_CHECKING:
    from ..plugin_loader import Plugin
    from ..runtime import Runtime
    from ..testing.plugin_check import CheckedComponent


def plugins(ctx: typer.Context, plugin: PluginOption = None) -> None:
    """List the plugins: where each is installed, what it registers, and why a plugin did not load.

    Examples:

      gankit plugins

      gankit plugins --plugin my_gan.py

      gankit plugins check my_gan.py
    """
    if ctx.invoked_subcommand:
        return
    from ..runtime import Runtime

    runtime = Runtime(plugin or ())
    rows: list[tuple[str, str, str | Text]] = []
    for loaded in runtime.plugins:
        parts = [f"{kind}: {', '.join(names)}" for kind, names in loaded.components.items()]
        rows.append((loaded.name, loaded.source, "; ".join(parts) or "hooks only"))
    for broken in runtime.broken:
        rows.append((broken.name, broken.source, Text.assemble(("did not load: ", "red"), escape(broken.reason))))
    output_console().print(make_table(rows, ("plugin", "from", "registers")))


def check(
    name: Annotated[str, Argument(metavar="NAME|FILE", help="An installed plugin, a .py file or a module.")],
    params: Annotated[
        list[str] | None,
        Argument(
            metavar="KIND.NAME.PARAMETER=VALUE", help="Parameters of components, such as those without a default."
        ),
    ] = None,
) -> None:
    """Check that all components of a plugin implement their interfaces. The exit code is 1 if one does not.

    Components are built with the defaults of their parameters and run on random data on the CPU. Datasets are prepared,
    which may download them.

    Examples:

      gankit plugins check my_gan.py

      gankit plugins check my_data.py datasets.photos.path=~/photos
    """
    from ..recipe.overrides import read_options
    from ..runtime import Runtime
    from ..testing import check_plugin

    options = read_options(params or ())
    runtime = Runtime()
    plugin = _find(runtime, name)
    known = {(kind, component) for kind, names in plugin.components.items() for component in names}
    for kind, components in options.items():
        if not (isinstance(components, dict) and all(isinstance(values, dict) for values in components.values())):
            raise GankitError(
                f"{quote(kind)} does not name a parameter of a component; write KIND.NAME.PARAMETER=VALUE, such as "
                "generators.dcgan.width=32"
            )
        for component in components:
            if (kind, component) not in known:
                choices = [".".join(pair) for pair in known]
                raise GankitError(
                    f"plugin '{plugin.name}' registers no {kind}.{component}{did_you_mean(component, choices)}"
                )
    rows: list[tuple[str, str, Text]] = []
    count = faults = 0
    for checked in _with_progress(check_plugin(plugin.components, runtime.registries, options), len(known)):
        count += 1
        faults += bool(checked.faults)
        cells = [Text.assemble(("passed: ", "green"), escape("; ".join(checked.passed)))] if checked.passed else []
        cells += [Text.assemble(("change: ", "red"), escape(fault)) for fault in checked.faults]
        cells += [Text.assemble(("not checked: ", "yellow"), escape(reason)) for reason in checked.not_checked]
        for index, cell in enumerate(cells):
            rows.append(("" if index else checked.kind, "" if index else checked.name, cell))
    console = output_console()
    console.print(make_table(rows, ("kind", "name", "result"), no_wrap=("kind", "name")))
    console.print(f"{plugin.name}: {count - faults} of {count} components without faults")
    if faults:
        raise typer.Exit(1)


def _with_progress(checks: Iterable[CheckedComponent], total: int) -> Iterator[CheckedComponent]:
    """Show how many components are checked: large networks take minutes."""
    with TaskProgress() as progress:
        for done, checked in enumerate(checks):
            progress.report("checking components", done, total)
            yield checked


def _find(runtime: Runtime, name: str) -> Plugin:
    """The installed plugin of this name, or else the file or module. Raises: GankitError: it cannot be loaded."""
    for broken in runtime.broken:
        if broken.name == name:
            raise GankitError(broken.reason)
    if found := [plugin for plugin in runtime.plugins if plugin.name == name]:
        return found[0]
    is_file = name.endswith(".py") or "/" in name
    if not is_file and not Path(name).is_file() and "." not in name:
        import importlib.util

        if importlib.util.find_spec(name) is None:
            known = [plugin.name for plugin in runtime.plugins]
            raise GankitError(f"no plugin, file or module is called {quote(name)}{did_you_mean(name, known)}")
    before = len(runtime.plugins)
    runtime.load_plugin(name)
    if len(runtime.plugins) == before:  # an installed plugin under the name of its module
        import sys

        return next(plugin for plugin in runtime.plugins if plugin.module is sys.modules[name])
    return runtime.plugins[-1]


def make_plugins_app() -> typer.Typer:
    """The command with its subcommand."""
    app = typer.Typer()
    app.callback(invoke_without_command=True)(plugins)
    app.command("check")(check)
    return app
