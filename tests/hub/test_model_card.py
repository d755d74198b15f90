"""The model card: what it says, and that no name in it can add Markdown, HTML or metadata."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from PIL import Image

import gankit
from gankit.evaluation import Request, evaluate
from gankit.evaluation.evaluation_log import append_evaluation, read_evaluations
from gankit.evaluation.generated_images import locate
from gankit.hub import write_repository
from gankit.hub.markdown import code, literal, table
from gankit.hub.shared_model import open_shared_model
from gankit.runs.file_names import checkpoints

EVIL = "</code><script>alert(1)</script> [x](http://evil.example) `a` **b** | c\n---\nlicense: evil\n# title ![i](http://e/i.png)"
MARKDOWN = MarkdownIt("commonmark").enable(["table", "strikethrough"])


def parse(card):
    """Metadata, and the tokens of the Markdown."""
    _, metadata, text = re.split(r"^---$", card, maxsplit=2, flags=re.M)
    tokens = MARKDOWN.parse(text)
    return yaml.safe_load(metadata), [inner for token in tokens for inner in (token, *(token.children or ()))]


@pytest.fixture
def run(trained_run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return trained_run(conditional=True, dataset={"name": "tiny", "count": 100, "labelled": True})


def rewrite(run, **changes):
    """Change the manifest of the run's checkpoint."""
    file = checkpoints(run)[-1] / "manifest.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def test_what_it_says(run, tiny_plugin, scorers_plugin_file):
    runtime = gankit.Runtime(plugins=[tiny_plugin, scorers_plugin_file], discover=False)
    request = Request(["gap"], "colours", samples=16, device="cpu")
    evaluation = evaluate(run, request, runtime)
    append_evaluation(run / "evaluations.jsonl", evaluation)
    other = evaluation.model_copy(update={"evaluated": evaluation.evaluated.model_copy(update={"weights": "0" * 64})})
    append_evaluation(run / "evaluations.jsonl", other.model_copy(update={"scores": dict.fromkeys(evaluation.scores, 12345.0)}))
    write_repository(run, "card", "me/tiny", license="MIT", runtime=runtime)
    text = Path("card/README.md").read_text()
    metadata, _ = parse(text)
    assert metadata == {
        "license": "mit", "library_name": "gankit", "pipeline_tag": "unconditional-image-generation",
        "tags": ["gankit", "gan", "tiny"],
    }  # fmt: skip
    assert "gankit sample hub:me/tiny --classes all" in text
    assert "Dataset: tiny. 100 images. 2 classes: a, b." in text
    assert json.loads(Path("card/manifest.json").read_text())["files"]["generator.safetensors"] in text
    for score, value in evaluation.scores.items():
        assert f"| {score} | {value:.5g} | without EMA | 16, seed 0 | 16 of tiny" in text.replace("\\_", "_")
        assert evaluation.protocol[score] in text
    assert "12345" not in text  # a score of other weights
    assert gankit.Recipe.load("card/recipe.yaml") == gankit.Recipe.load(run / "recipe.yaml")
    assert gankit.Recipe.load(run / "recipe.yaml").to_yaml() in text
    with Image.open("card/samples.png") as picture:
        assert picture.size == (8 * 66 + 2, 8 * 66 + 2)


def test_a_checkpoint_elsewhere_has_no_recipe(run, tiny_runtime):
    """Also if a recipe of something else lies two folders above it, as in a folder of imported models."""
    Path("imported").mkdir()
    checkpoints(run)[-1].rename("imported/model")
    Path("recipe.yaml").write_text((run / "recipe.yaml").read_text())
    write_repository("imported/model", "card", "me/tiny", runtime=tiny_runtime)
    assert not Path("card/recipe.yaml").exists()
    assert "Dataset: tiny" not in Path("card/README.md").read_text()
    assert locate(Path("imported/model"))[1] is None


@pytest.mark.parametrize(
    ("dataset", "name", "on_hub"),
    [
        ({"name": "huggingface", "path": "org/photos"}, "org/photos", "org/photos"),
        ({"name": "huggingface", "path": "photos"}, None, None),  # a folder
        ({"name": "torchvision", "set": "Flowers102"}, "Flowers102", None),
        ({"name": "unpaired", "image": {"name": "image_folder", "path": "a"}, "source": "cifar10"}, None, None),
        ({"name": "derived", "source": "gray", "dataset": {"name": "image_folder", "path": "a"}}, None, None),
        ({"name": "derived", "source": "gray", "dataset": "cifar10"}, "cifar10", "uoft-cs/cifar10"),
        ("shapes", "shapes", None),
    ],
)
def test_the_name_of_the_dataset(run, tiny_runtime, dataset, name, on_hub):
    Path("photos").mkdir()
    model = open_shared_model(run, None, tiny_runtime)
    recipe = gankit.Recipe.parse(gankit.Recipe.load(run / "recipe.yaml").document.data | {"dataset": dataset})
    model = replace(model, recipe=recipe)
    assert (model.dataset, model.hub_dataset) == (name, on_hub)


def test_scores_of_another_course_of_the_run(run, trained_run, tiny_plugin, scorers_plugin_file, tmp_path):
    """The run was continued from an earlier checkpoint, without an evaluation at the same step."""
    runtime = gankit.Runtime(plugins=[tiny_plugin, scorers_plugin_file])
    recipe = gankit.Recipe.load(run / "recipe.yaml").document.data
    scored = {"name": "evaluate", "metrics": ["gap"], "features": "colours", "samples": 16, "every": 3}
    recipe |= {"callbacks": [{"name": "checkpoint", "every": 1}, scored]}
    runtime.assemble(gankit.Recipe.parse(recipe), "scored").fit()
    shown = write_card(runtime, "scored", "first")
    (evaluation,) = read_evaluations(Path("scored/evaluations.jsonl"))
    row = f"| {next(iter(evaluation.scores))} | {next(iter(evaluation.scores.values())):.5g} |".replace("_", "\\_")
    assert row in shown
    lines = Path("scored/events.jsonl").read_text().splitlines(keepends=True)
    Path("scored/events.jsonl").write_text("".join(line for line in lines if '"evaluated"' not in line))
    assert row not in write_card(runtime, "scored", "second")


def write_card(runtime, run, folder):
    write_repository(run, folder, "me/tiny", runtime=runtime)
    return Path(folder, "README.md").read_text()


def test_a_manifest_with_damaged_plugins(run, tiny_runtime):
    rewrite(run, plugins={"a": "b", "mine": {"source": "mine 1.0"}})
    text = write_card(tiny_runtime, run, "card")
    assert "that are not part of gankit: mine." in text


def test_an_empty_folder_is_filled_and_stays_empty_after_a_failure(run, tiny_runtime, monkeypatch, tmp_path):
    """Also the working directory."""
    source = run.resolve()
    monkeypatch.chdir(tmp_path)
    Path("card").mkdir()
    monkeypatch.chdir("card")
    with monkeypatch.context() as patch:
        patch.setattr("gankit.hub.repository_folder.save_grid", lambda *given: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            write_repository(source, ".", "me/tiny", runtime=tiny_runtime)
    assert not [*Path().iterdir()]
    write_repository(source, ".", "me/tiny", runtime=tiny_runtime)
    assert {"README.md", "manifest.json", "generator.safetensors"} <= {path.name for path in (tmp_path / "card").iterdir()}


def test_a_failed_command_leaves_no_folder(run, tiny_runtime, monkeypatch):
    def full(*given):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("gankit.hub.repository_folder.save_grid", full)
        with pytest.raises(gankit.GankitError, match="card: cannot be written: No space"):
            write_repository(run, "card", "me/tiny", runtime=tiny_runtime)
    assert not Path("card").exists()
    write_repository(run, "card", "me/tiny", runtime=tiny_runtime)


def test_its_program_runs_and_its_folder_is_a_checkpoint(run, tiny_runtime):
    write_repository(run, "card", "me/tiny", runtime=tiny_runtime)
    (program,) = re.findall(r"^```python\n(.*?)^```", Path("card/README.md").read_text(), flags=re.S | re.M)
    program = program.replace('gankit.load_generator("hub:me/tiny")', 'load("card")')
    exec(program, {"load": tiny_runtime.load_generator})
    assert Path("samples.png").stat().st_size > 500
    expected = tiny_runtime.load_generator(run).sample(3)
    assert torch.equal(tiny_runtime.load_generator("card").sample(3), expected)
    with pytest.raises(gankit.CheckpointError, match="lacks state.pt"):
        write_repository("card", "again", "me/tiny", with_state=True, runtime=tiny_runtime)


def test_evil_names(run, tiny_runtime):
    plugins = {EVIL: {"source": EVIL, "sha256": EVIL}}
    imported = {"format": EVIL, "files": {"x": "x"}, "license": EVIL}
    rewrite(run, classes=["a", EVIL], plugins=plugins, precision=EVIL, versions={EVIL: EVIL}, imported=imported)
    write_repository(run, "card", "me/tiny", runtime=tiny_runtime)
    metadata, tokens = parse(Path("card/README.md").read_text())
    assert metadata["license"] == "other"
    assert re.fullmatch(r"[a-z0-9.-]+", metadata["license_name"])
    assert not [token for token in tokens if token.type in ("html_block", "html_inline", "link_open", "s_open", "code_inline")]
    assert [token.attrs["src"] for token in tokens if token.type == "image"] == ["samples.png"]
    headings = [after.content for token, after in zip(tokens, tokens[1:], strict=False) if token.type == "heading_open"]
    assert headings == ["tiny", "Use", "Model", "Data", "License", "Recipe"]


def test_licenses_of_imported_weights_are_passed_on(run, tiny_runtime):
    rewrite(run, imported={"format": "stylegan2", "files": {"x.pkl": "0"}, "license": "cc-by-nc-4.0"})
    write_repository(run, "card", "me/tiny", runtime=tiny_runtime)
    card = Path("card/README.md").read_text()
    assert parse(card)[0]["license"] == "cc-by-nc-4.0"
    assert "trained with gankit from weights of the format stylegan2." in card
    with pytest.raises(gankit.GankitError, match="imported under the license 'cc-by-nc-4.0', which also holds for copies"):
        write_repository(run, "other", "me/tiny", license="mit", runtime=tiny_runtime)


@given(st.text(max_size=60))
@example("https://evil.example www.evil.example <https://x> &lt; a@b.c")
@example("1. one")
@example("- item")
@example("===")
def test_literal_text_is_shown_as_it_is(text):
    shown = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    for markdown in (literal(text), table([(literal(text), "end")], ("a", "b"))):
        tokens = MARKDOWN.parse(markdown)
        inline = [token for token in tokens if token.type == "inline"]
        assert {inner.type for token in inline for inner in token.children or ()} <= {"text", "text_special"}
        assert not [token for token in tokens if token.type not in ("inline", "paragraph_open", "paragraph_close") and "|" not in markdown]
        contents = ["".join(inner.content for inner in token.children or ()) for token in inline]
        assert shown in (contents or [""])


@given(st.text(alphabet="`~ \na", max_size=40))
def test_code_stays_inside_its_fence(text):
    (token,) = MARKDOWN.parse(code(text, "yaml"))
    assert (token.type, token.content.rstrip()) == ("fence", text.rstrip())
