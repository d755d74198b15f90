"""Renders the templates of the pages. All text of runs is escaped; pages cannot load anything from elsewhere."""

from __future__ import annotations

import functools
import re
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

GENERATOR = Markup('<meta name="generator" content="gankit">')
HEAD = 1000  # bytes of a file in which it is looked for
_NOT_IN_HTML = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")  # control characters, surrogates


def render(template: str, **content: Any) -> str:
    """The HTML of a page.

    Args:
        template: its file name in ``templates``.
        content: plain data. Text is escaped, and ``| tojson`` embeds data in scripts.
    """
    return _environment().get_template(template).render(asset=_asset, generator=GENERATOR, **content)


def is_own_page(path: Path) -> bool:
    """Whether gankit wrote a file. Raises: OSError: it cannot be read."""
    with path.open("rb") as file:
        return GENERATOR.encode() in file.read(HEAD)


@functools.cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader(__package__),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_without_control_characters,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.policies["json.dumps_kwargs"] = {"separators": (",", ":"), "allow_nan": False}
    environment.filters["count"] = lambda number: f"{number:,}"
    return environment


@functools.cache
def _asset(name: str) -> Markup:
    """A script or style sheet of this package, which needs no escaping."""
    return Markup(resources.files(__package__).joinpath("assets", name).read_text(encoding="utf-8"))


def _without_control_characters(value: Any) -> Any:
    """File names may contain characters that HTML and UTF-8 cannot."""
    return _NOT_IN_HTML.sub("\ufffd", value) if type(value) is str else value
