"""The extension of Sphinx that makes the pages of the site from those in ``docs/`` and from docstrings."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import sys
from collections.abc import Iterator
from textwrap import dedent, indent
from typing import Any

import site_pages
from docutils import nodes
from pydantic import BaseModel
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.pycode import ModuleAnalyzer


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect the functions of this module."""
    importlib.import_module("gradio")  # its pydantic models must exist before autodoc edits BaseModel's annotations
    app.connect("builder-inited", lambda app: site_pages.write_pages())
    app.connect("source-read", edit_page)
    app.connect("autodoc-process-signature", edit_signature)
    app.connect("autodoc-process-docstring", read_docstring)
    app.connect("autodoc-skip-member", skip_tuple_field)
    app.connect("missing-reference", find_public_name)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def edit_page(app: Sphinx, name: str, source: list[str]) -> None:
    """Give a page in docs/ the links of the site, and the start page its lists of contents."""
    if app.env.doc2path(name).suffix == ".md" and not name.startswith(site_pages.GENERATED):
        text = site_pages.with_site_links(source[0], "docs")
        source[0] = site_pages.with_toctrees(text) if name == app.config.root_doc else text


def edit_signature(
    app: Sphinx, kind: str, name: str, thing: Any, options: Any, arguments: str | None, result: str | None
) -> tuple[str | None, str | None]:
    """Omit the constructors of protocols and of pydantic models, whose docstring lists the fields.

    Other signatures become valid Python, which Sphinx requires for links: a default factory is shown as ``...``.
    """
    is_model = inspect.isclass(thing) and issubclass(thing, BaseModel)
    if is_model or getattr(thing, "_is_protocol", False):
        return "", None
    return arguments and arguments.replace("<factory>", "..."), result


def read_docstring(app: Sphinx, kind: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    """Convert a docstring to reStructuredText. That of a constant stands below its definition, in some module.

    A class gets the methods that it declares for type checkers only.
    """
    if kind == "data":
        constant = name.rpartition(".")[2]
        modules = [key for key, module in sys.modules.items() if key.startswith("gankit.") and constant in vars(module)]
        docs = (ModuleAnalyzer.for_module(key).find_attr_docs().get(("", constant)) for key in modules)
        lines[:] = next(filter(None, docs))
    text = site_pages.google_style("\n".join(lines))
    declared = declared_methods(thing) if inspect.isclass(thing) else ()
    lines[:] = "\n".join([text, *declared]).split("\n")


def skip_tuple_field(app: Sphinx, kind: str, name: str, thing: Any, skip: bool, options: Any) -> bool | None:
    """Skip the fields of a named tuple, which its docstring lists."""
    return True if str(thing.__doc__).startswith("Alias for field number") else None


def declared_methods(thing: type) -> Iterator[str]:
    """The documentation of the methods inside of ``if TYPE_CHECKING:`` in a class."""
    try:
        (definition,) = ast.parse(dedent(inspect.getsource(thing))).body
    except (OSError, TypeError):  # made at run time
        return
    for block in definition.body:
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING":
            for method in (part for part in block.body if isinstance(part, ast.FunctionDef)):
                arguments = re.sub(r"^self(, /$|, )?", "", ast.unparse(method.args))
                result = f" -> {ast.unparse(method.returns)}" if method.returns else ""
                text = indent(site_pages.google_style(ast.get_docstring(method) or ""), "   ")
                yield f"\n.. py:method:: {method.name}({arguments}){result}\n\n{text}\n"


def find_public_name(
    app: Sphinx, env: BuildEnvironment, node: pending_xref, text: nodes.Element
) -> nodes.reference | None:
    """The target of a type in a signature by its public name: gankit.game.game.Game is documented as gankit.Game."""
    module, _, name = node["reftarget"].rpartition(".")
    if node.get("refdomain") != "py" or module.partition(".")[0] not in ("", "gankit"):
        return None
    domain, target = env.domains["py"], f"gankit.{name}"
    return domain.resolve_xref(env, node["refdoc"], app.builder, "obj", target, node, text)
