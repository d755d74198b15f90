"""``gankit new plugin``: write a package with a plugin, to start from."""

from __future__ import annotations

import importlib.util
import keyword
import re
import shlex
from importlib import metadata
from pathlib import Path
from typing import Annotated, Literal

import typer
from typer import Argument, Option

from ..errors import GankitError
from ..files import write_failure
from ..messages import quote
from .console import find_registry, make_runtime, output_console, parse_path

Kind = Literal["generator", "discriminator", "loss", "dataset", "callback", "metric", "game"]
TEMPLATES = Path(__file__).parent / "plugin_template"
SUFFIX = ".txt"  # keeps the templates from being read as modules and tests
MAX_NAME = 100
PROJECT = re.compile(r"[a-z0-9]|[a-z0-9][a-z0-9._-]*[a-z0-9]", re.I)  # PEP 508
RECIPE_LINES: dict[str, tuple[str, str]] = {
    "generator": (r"^generator: .*$", "generator: {name: plugin_name, width: 32}"),
    "discriminator": (r"^discriminator: .*$", "discriminator: {name: plugin_name, width: 32}"),
    "loss": (r"^loss: .*$", "loss: plugin_name"),
    "dataset": (r"^dataset: .*$", "dataset: {name: plugin_name, count: 10_000, size: 32}"),
    "callback": (r"\Z", "  - {name: plugin_name, every: 100}\n"),
    "metric": (r"\Z", "  - {name: evaluate, every: 500, metrics: [plugin_name], features: pixels, samples: 500}\n"),
    "game": (r"^train: .*$", "train: {steps: 1000, game: plugin_name}"),
}
"""The line of the recipe that uses the component, by what it replaces."""


def plugin(
    name: Annotated[str, Argument(metavar="NAME", help="The name of the package, such as my-gan.")],
    kind: Annotated[
        Kind, Option("--kind", metavar="|".join(RECIPE_LINES), help="The kind of component that it registers.")
    ],
    out: Annotated[
        Path | None, Option("--out", metavar="DIR", parser=parse_path, help="The new folder (default: NAME).")
    ] = None,
) -> None:
    """Write an installable package with a small working component, its tests, and a recipe that trains with it.

    Examples:

      gankit new plugin my-gan --kind generator

      gankit new plugin my-loss --kind loss --out plugins/my-loss
    """
    module = module_name(name)
    folder = out or Path(name)
    if folder.exists() or folder.is_symlink():
        raise GankitError(f"{folder}: exists; give a new folder with --out")
    registry = find_registry(make_runtime(None).registries, kind)
    if module in registry:
        raise GankitError(
            f"the {kind} '{module}' of plugin '{registry.get(module).plugin}' exists; choose another name"
        )
    words = {"plugin-name": name, "plugin_name": module, "KINDS": registry.kind}
    try:
        for part in ("common", kind):
            for template in sorted((TEMPLATES / part).rglob(f"*{SUFFIX}")):
                text = template.read_text(encoding="utf-8")
                if template.name == f"recipe.yaml{SUFFIX}":
                    text = re.sub(RECIPE_LINES[kind][0], RECIPE_LINES[kind][1], text, count=1, flags=re.M)
                file = folder / _replace(str(template.relative_to(TEMPLATES / part)), words).removesuffix(SUFFIX)
                file.parent.mkdir(parents=True, exist_ok=True)
                with file.open("x", encoding="utf-8") as opened:
                    opened.write(_replace(text, words))
    except OSError as error:
        raise GankitError(write_failure(error.filename or folder, error)) from None
    console = output_console()
    console.print(f"{folder}: a plugin with the {kind} '{module}'. Next:")
    console.print(f"  cd {shlex.quote(str(folder))}\n  pip install -e '.[dev]'\n  pytest\n  gankit run recipe.yaml")


def module_name(name: str) -> str:
    """The name of a package's module. Raises: GankitError: the name is invalid, or taken by an installed module."""
    module = re.sub(r"[-.]+", "_", name).lower()
    if not PROJECT.fullmatch(name) or len(name) > MAX_NAME:
        raise GankitError(
            f"{quote(name)}: is not the name of a package: use letters, digits, '-', '_' and '.', the first and the "
            "last of which are letters or digits"
        )
    if not re.fullmatch(r"[a-z][a-z0-9_]*", module) or keyword.iskeyword(module) or keyword.issoftkeyword(module):
        raise GankitError(f"{quote(name)}: its module would be called '{module}', which Python does not allow")
    if importlib.util.find_spec(module) is not None:
        raise GankitError(f"{quote(name)}: a module '{module}' is installed already; choose another name")
    normalized = re.sub(r"[-_.]+", "-", name).lower()  # PEP 503
    if any(re.sub(r"[-_.]+", "-", known.name or "").lower() == normalized for known in metadata.distributions()):
        raise GankitError(f"{quote(name)}: a package of this name is installed already; choose another name")
    if module in ("tests", "test"):
        raise GankitError(f"{quote(name)}: is the name of the folder of tests; choose another name")
    return module


def _replace(text: str, words: dict[str, str]) -> str:
    return re.sub("|".join(words), lambda match: words[match[0]], text)


def make_new_app() -> typer.Typer:
    """The command with its subcommand."""
    app = typer.Typer(no_args_is_help=True)
    app.callback()(new)
    app.command("plugin")(plugin)
    return app


def new() -> None:
    """Write a new plugin to start from.

    Examples:

      gankit new plugin my-gan --kind generator
    """
