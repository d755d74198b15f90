"""The README and the pages of docs/ are complete, and their links lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import gankit

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_readme_is_short():
    assert len(README.splitlines()) <= 180


def test_component_table_is_complete():
    """To update the table: PYTHONPATH=tests/docs python -c "from test_pages import table; print(table())"."""
    shown = re.search(r"<!-- built-in -->\n(.*?)<!-- /built-in -->", README, flags=re.S)
    assert shown is not None
    assert shown[1] == table()


def table() -> str:
    runtime = gankit.Runtime()
    built_in = {plugin.name for plugin in runtime.plugins if plugin.name.startswith("gankit_")} | {"gankit"}
    lines = ["| kind | names |", "|---|---|"]
    for registry in runtime.registries:
        if names := [f"`{entry.name}`" for entry in registry if entry.plugin in built_in]:
            lines.append(f"| {registry.kind} | {', '.join(names)} |")
    return "\n".join(lines) + "\n"


def test_recipe_keys_are_documented():
    text = (ROOT / "docs/recipes.md").read_text(encoding="utf-8")
    documented = {
        name for row in re.findall(r"^\| (`.*?) \|", text, flags=re.M) for name in re.findall(r"`(\w+)`", row)
    }
    fields = gankit.Recipe.model_fields
    keys = set(fields) | {key for name in ("loader", "train") for key in fields[name].annotation.model_fields}
    assert documented == keys | {"extends"}


def anchors(document: Path) -> set[str]:
    """The anchors that GitHub gives to a document's headings."""
    headings = re.findall(r"^#+ (.*)$", document.read_text(encoding="utf-8"), flags=re.M)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_links_lead_somewhere(document):
    for link in re.findall(r"\]\(([^)\s]+)\)", document.read_text(encoding="utf-8")):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = document.parent / path if path else document
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_every_recipe_is_listed():
    links = re.findall(r"\]\(\.\./(recipes/[^)#]+)\)", (ROOT / "docs/recipes.md").read_text(encoding="utf-8"))
    assert set(links) == {f"recipes/{path.name}" for path in (ROOT / "recipes").glob("*.yaml")}


def test_every_page_is_in_the_index():
    links = re.findall(r"\]\(([^)#]+)\)", (ROOT / "docs/index.md").read_text(encoding="utf-8"))
    assert {path.name for path in (ROOT / "docs").glob("*.md")} - {"index.md"} <= set(links)
