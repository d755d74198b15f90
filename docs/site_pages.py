"""Pages of the site that are made from the code and from Markdown files outside of ``docs/``."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import typer.cli
import typer.main
from sphinx.ext.napoleon import Config, GoogleDocstring

import gankit
from gankit.cli.main import make_app
from gankit.cli.show import parameter_rows, sampling_option_rows
from gankit.registry import Registry

DOCS = Path(__file__).parent
ERROR = r"[\w.]+(?:Error|Interrupt)"  # the name of an exception in a docstring
GENERATED = "generated"  # the folder in docs/ that the pages are written to; git ignores it
DOCUMENTS = {  # files of the repository that are pages of the site
    "README.md": "readme.md",
    ".github/CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "benchmarks/README.md": "benchmarks.md",
}


def write_pages() -> None:
    """Write all pages. A page that is up to date stays as it is, so that Sphinx does not read it again."""
    (DOCS / GENERATED).mkdir(exist_ok=True)
    for name, text in pages():
        path = DOCS / GENERATED / name
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def pages() -> Iterator[tuple[str, str]]:
    """The file name and the text of each page."""
    for document, name in DOCUMENTS.items():
        text = (DOCS.parent / document).read_text(encoding="utf-8")
        text = text.replace("# gankit\n", "# Overview\n", 1)  # the title of the start page
        yield name, with_site_links(text, posixpath.dirname(document))
    yield "commands.md", commands()
    for registry in gankit.Runtime().registries:
        yield f"{registry.kind}.rst", components(registry)


def with_site_links(text: str, folder: str) -> str:
    """Markdown of a file in ``folder`` of the repository, with the links of the site.

    A link to a folder becomes plain text, because the site does not show folders.
    """

    def rewritten(link: re.Match[str]) -> str:
        label, target, anchor = link[1], link[2], link[3] or ""
        path = posixpath.normpath(posixpath.join(folder, target))
        if (DOCS.parent / path).is_dir():
            return label
        page = f"docs/{GENERATED}/{DOCUMENTS[path]}" if path in DOCUMENTS else path
        return f"[{label}](/{posixpath.relpath(page, 'docs')}{anchor})"

    text = re.sub(r'(<img [^>]*src=")docs/', r"\1/", text)
    return re.sub(r"\[([^][]*)\]\((?![a-z]+:)([^)#\s]+)(#[^)\s]*)?\)", rewritten, text)


def with_toctrees(text: str) -> str:
    """The start page, with the pages in the table of each section as a list of contents, which GitHub does not need."""

    def with_toctree(section: re.Match[str]) -> str:
        entries = re.findall(r"^\| \[([^]]*)\]\(([^)]*)\)", section[0], flags=re.M)
        options = [":hidden:", f":caption: {section[1]}"]
        toctree = ["```{toctree}", *options, *(f"{title} <{link}>" for title, link in entries), "```"]
        return "\n".join([section[0], *toctree, "", ""])

    return re.sub(r"^## (.*)\n(?:(?!## ).*\n)*", with_toctree, text, flags=re.M)


def google_style(docstring: str) -> str:
    """A docstring in reStructuredText, with lists of parameters, attributes and errors, which are links."""
    sections = [("Attributes", "params_style"), ("Raises", "params_style")]
    docstring = re.sub(r"^(\s*(?:\w+: )?)([A-Za-z]\.)(?!\S)", r"\1\\\2", docstring, flags=re.M)  # "G." begins no list
    text = str(GoogleDocstring(docstring, Config(napoleon_use_param=False, napoleon_custom_sections=sections)))

    def as_links(errors: re.Match[str]) -> str:
        return re.sub(ERROR, r"`\g<0>`", errors[1]) + ": "

    return re.sub(rf"\*\*({ERROR}(?:(?:, | or ){ERROR})*)\*\* -- ", as_links, text).replace("** -- ", "**: ")


def commands() -> str:
    """The help of all commands in Markdown, as typer writes it, with examples as blocks of code."""
    group = typer.main.get_command(make_app())
    context = typer.Context(group, info_name="gankit")
    parts = ["# Command line", "``gankit --help`` lists the commands."]
    for name, command in group.commands.items():
        parts.append(typer.cli.get_docs_for_click(obj=command, ctx=context, indent=1, name=name, call_prefix="gankit"))

    text = "\n\n".join(parts)
    text = re.sub(r"\*\*Commands\*\*:\n\n(?:\* .*\n)+", "", text)  # whose lines are cut; their sections follow

    def as_block(lines: re.Match[str]) -> str:
        return "\n".join(["```sh", *(line.strip() for line in lines[0].split("\n") if line), "```", "", ""])

    return re.sub(r"(?:^  \S.*\n+)+", as_block, text, flags=re.M)


def components(registry: Registry) -> str:
    """The registered components of one kind in reStructuredText, with what ``gankit show`` prints about each."""
    title = registry.kind.replace("_", " ").capitalize()
    parts = [heading(title, "="), f"The command ``gankit show {registry.kind} NAME`` prints the same information."]
    if not len(registry):
        parts.append("gankit has no built-in components of this kind.")
    for entry in registry:
        parts += [heading(entry.name, "-"), f"Plugin ``{entry.plugin}``.", google_style(entry.documentation)]
        rows = list(parameter_rows(entry.schema))
        parts.append(table(("parameter", "type", "default"), rows) if rows else "It has no parameters in recipes.")
        if options := list(sampling_option_rows(entry)):
            parts += ["Options of ``gankit sample``:", table(("option", "type", "default"), options)]
    return "\n\n".join(parts) + "\n"


def heading(text: str, mark: str) -> str:
    """A heading in reStructuredText."""
    return f"{text}\n{mark * len(text)}"


def table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of literal cells in reStructuredText."""
    lines = [".. list-table::", "   :header-rows: 1", ""]
    for row in (titles, *([f"``{cell}``" for cell in row] for row in rows)):
        lines += [f"   {'*' if not index else ' '} - {cell}" for index, cell in enumerate(row)]
    return "\n".join(lines)
