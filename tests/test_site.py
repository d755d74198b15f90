"""The documentation site: the reference is complete, and the site builds without a warning and works without network."""

from __future__ import annotations

import importlib
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.main import get_command

import gankit
from gankit.cli.main import make_app

pytest.importorskip("sphinx")
pytest.importorskip("myst_parser")
pytest.importorskip("furo")

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
EXTRAS = {"gankit.explorer": "gradio", "gankit.search": "optuna"}  # what these modules need
MODULES = ("gankit", "gankit.io", "gankit.evaluation", "gankit.testing", "gankit.export", "gankit.hub", *EXTRAS)
LISTED = [
    entry
    for page in sorted((DOCS / "reference").glob("*.rst"))
    for entry in re.findall(r"^\.\. auto(class|exception|function|data):: ([\w.]+)$", page.read_text(), flags=re.M)
]


def resolve(name):
    module, _, attribute = name.rpartition(".")
    return getattr(importlib.import_module(module), attribute)


def needs_extra(name):
    return name.rpartition(".")[0] in EXTRAS


def public_names(module):
    names = getattr(module, "__all__", None) or [
        name for name, value in vars(module).items() if callable(value) and not name.startswith("_")
    ]
    return [name for name in names if name != "__version__"]


@pytest.fixture(scope="module")
def site_pages():
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.syspath_prepend(str(DOCS))
        yield importlib.import_module("site_pages")
        del sys.modules["site_pages"]


@pytest.fixture(scope="module")
def pages(site_pages):
    return dict(site_pages.pages())


@pytest.mark.parametrize("name", MODULES)
def test_every_public_name_is_in_the_reference(name):
    listed = {name for _, name in LISTED}
    module = importlib.import_module(name)
    assert public_names(module)
    for public in {*public_names(module)} - {entry.removeprefix(f"{name}.") for entry in listed}:
        value = getattr(module, public)
        assert any(value is resolve(entry) for entry in listed if not needs_extra(entry)), f"{name}.{public}"


def test_each_name_is_listed_once_and_as_what_it_is():
    assert len({name for _, name in LISTED}) == len(LISTED)
    for kind, name in LISTED:
        if needs_extra(name):
            continue
        value = resolve(name)
        is_error = inspect.isclass(value) and issubclass(value, Exception)
        expected = "exception" if is_error else "class" if inspect.isclass(value) else None
        assert kind == (expected or ("function" if inspect.isfunction(value) else "data")), name


def test_the_reference_lists_every_page(pages):
    listed = set(re.findall(r"^(?:reference|generated)/\w+$", (DOCS / "reference.md").read_text(), flags=re.M))
    generated = {f"generated/{Path(name).stem}" for name in pages if Path(name).suffix == ".rst"}
    written = {f"reference/{path.stem}" for path in (DOCS / "reference").glob("*.rst")}
    assert listed == {"generated/commands", *generated, *written}


def test_no_page_has_the_name_of_a_page_that_sphinx_writes():
    assert not {path.stem for path in DOCS.glob("*.md")} & {"search", "genindex"}  # would be overwritten


def test_each_component_has_its_parameters(pages):
    for registry in gankit.Runtime().registries:
        _, *sections = re.split(r"^(.+)\n-+$", pages[f"{registry.kind}.rst"], flags=re.M)
        texts = dict(zip(sections[::2], sections[1::2], strict=True))
        assert list(texts) == [entry.name for entry in registry]
        for entry in registry:
            rows = re.findall(r"^   \* - ``(\w+)``$", texts[entry.name], flags=re.M)
            assert rows[: len(entry.schema.model_fields)] == list(entry.schema.model_fields)
    assert "``truncation``" in pages["generators.rst"]  # a sampling option


def test_each_command_has_its_help(pages):
    names = list(get_command(make_app()).commands)
    assert re.findall(r"^## `gankit (\S+)`$", pages["commands.md"], flags=re.M) == names
    assert "### `gankit plugins check`" in pages["commands.md"]
    assert "* `--out DIR`: Run directory (default: results/NAME, numbered if it exists)." in pages["commands.md"]
    assert "```sh\ngankit show generators dcgan\ngankit show losses bce\n" in pages["commands.md"]


def test_docstrings(site_pages):
    arguments = "Args:\n    generator: G."
    errors = "Raises:\n    ValueError or gankit.GankitError: refused.\n    KeyboardInterrupt: Ctrl-C."
    text = site_pages.google_style(f"G. Not a list.\n\n{arguments}\n\n{errors}")
    assert text.startswith("\\G. Not a list.")
    assert r"**generator**: \G." in text
    assert "* `ValueError` or `gankit.GankitError`: refused." in text
    assert "* `KeyboardInterrupt`: Ctrl-C." in text


def test_links_between_pages(site_pages):
    for link, expected in {
        "[a](../README.md#b-c)": "[a](/generated/readme.md#b-c)",
        "[a](zoo.md#b)": "[a](/zoo.md#b)",
        "[`a`](../recipes/x.yaml)": "[`a`](/../recipes/x.yaml)",
        "[a](../plugins)": "a",
        "[a](#b) [c](https://d.e/f)": "[a](#b) [c](https://d.e/f)",
        "![a](images/b.png)": "![a](/images/b.png)",
    }.items():
        assert site_pages.with_site_links(link, "docs") == expected
    assert site_pages.with_site_links('[a](docs/zoo.md) <img src="docs/b.png">', "") == '[a](/zoo.md) <img src="/b.png">'


def test_the_start_page_lists_its_pages_in_sections(site_pages):
    text = site_pages.with_toctrees((DOCS / "index.md").read_text())
    toctrees = re.findall(r"```{toctree}\n:hidden:\n:caption: (.*)\n((?:.*\n)*?)```", text)
    assert [caption for caption, _ in toctrees] == re.findall(r"^## (.*)", text, flags=re.M)
    assert "Tutorial <tutorial.md>\n" in toctrees[0][1]
    assert {path.stem for path in DOCS.glob("*.md")} - {"index"} <= set(re.findall(r"<(\w+)\.md>", text))


@pytest.mark.slow
def test_it_builds_without_a_warning_and_needs_no_network(tmp_path):
    for library in EXTRAS.values():
        pytest.importorskip(library)
    words = [sys.executable, "-m", "sphinx", "-W", "-q", "-E", "-b", "html", DOCS, tmp_path / "site"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    for page in (tmp_path / "site").rglob("*.html"):
        loaded = re.findall(r"<(?!a\b)\w+[^>]*\b(?:src|href)=\"([^\"?#]+)", page.read_text())
        assert all((page.parent / path).exists() for path in loaded), (page, loaded)
    for sheet in (tmp_path / "site").rglob("*.css"):
        assert not re.findall(r"@import|url\([\"']?(?:https?:)?//", sheet.read_text()), sheet
    signatures = [
        re.sub("<.*?>", "", signature)
        for page in (tmp_path / "site/reference").glob("*.html")
        for signature in re.findall(r'<dt class="sig.*?</dt>|alias of .*?</p>', page.read_text(), flags=re.S)
    ]
    assert len(signatures) > 300
    assert not [text for text in signatures if re.search(r"~|&lt;| at 0x|Path\(", text)]
    tutorial = (tmp_path / "site/tutorial.html").read_text()
    assert 'href="generated/contributing.html"' in (tmp_path / "site/index.html").read_text()
    assert 'href="runs.html#the-run-directory"' in tutorial
    assert 'href="#gankit.Recipe"' in (tmp_path / "site/reference/runs.html").read_text()  # the type of a parameter
    assert 'id="gankit.Callback.on_step_end"' in (tmp_path / "site/reference/callbacks.html").read_text()
