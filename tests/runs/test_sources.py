"""Runs and checkpoints by name: paths, folders of the Hub, and models of the package."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import gankit
from gankit import sources
from gankit.runs.file_names import checkpoints
from gankit.sources import HubFolder, check_source, parse_source


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("hub:me/x", ("me/x", None, "")),
        ("hub:me/x@v1.0", ("me/x", "v1.0", "")),
        ("hub:me/x/a/b", ("me/x", None, "a/b")),
        ("hub:me/x@refs/pr/12/a", ("me/x", "refs/pr/12", "a")),
        ("hub:me/x@feature%2Fy/a", ("me/x", "feature/y", "a")),
        ("hub:me/x@a%40b", ("me/x", "a@b", "")),
        ("hub:a.b-c_d/e.f-g_h", ("a.b-c_d/e.f-g_h", None, "")),
    ],
)
def test_folders_of_the_hub(text, parts):
    assert parse_source(text) == parse_source(Path(text)) == HubFolder(*parts)
    assert str(HubFolder(*parts)) == text
    assert check_source(text) == Path(text)


SEGMENT = st.from_regex(r"[a-zA-Z0-9][a-zA-Z0-9_]{0,8}", fullmatch=True)


@given(SEGMENT, SEGMENT, st.none() | st.lists(SEGMENT, min_size=1, max_size=3).map("/".join), st.lists(SEGMENT, max_size=3))
def test_their_text_is_parsed_to_the_same(owner, name, revision, folders):
    folder = HubFolder(f"{owner}/{name}", revision, "/".join(folders))
    assert parse_source(str(folder)) == folder


@pytest.mark.parametrize("text", ["hub:", "hub:x", "hub:/x", "hub:me/x@", "hub:me/x/../y", "hub:me/x@a@b", "hub:me/..", "hub:-/x", "hub:me/a--b"])
def test_other_texts_are_refused_before_any_download(text, cli, tiny_recipe, tiny_runtime, tmp_path):
    with pytest.raises(ValueError, match=r"should be hub:owner/name|is not the name of a repository"):
        parse_source(text)
    assert cli("sample", text).code == 2
    for initialize in (text, {"from": text}):
        with pytest.raises(gankit.RecipeError, match=r"tiny.yaml:\d+:\d+: initialize.*: .*hub:owner/name|owner/name, of"):
            tiny_runtime.load(tiny_recipe(tmp_path, initialize=initialize))


@pytest.fixture
def models(trained_run, tmp_path, monkeypatch):
    """A folder of models with one, ``builtin:tiny``."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sources, "MODELS", tmp_path / "models")
    run = trained_run()
    (tmp_path / "models").mkdir()
    checkpoints(run)[-1].rename(tmp_path / "models" / "tiny")
    return tmp_path / "models"


def test_models_of_the_package(models, cli, tiny_runtime, tiny_plugin_file, tiny_recipe, tmp_path, events):
    sampled = tiny_runtime.load_generator("builtin:tiny").sample(2)
    assert torch.equal(sampled, tiny_runtime.load_generator(models / "tiny").sample(2))
    assert cli("sample", "builtin:tiny", "--plugin", tiny_plugin_file).code == 0
    trainer = tiny_runtime.assemble(tiny_runtime.load_checked(tiny_recipe(tmp_path, initialize="builtin:tiny")), "new")
    trainer.fit()
    (event,) = events(Path("new"), "initialized")
    assert event["origin"] == "builtin:tiny"


@pytest.mark.parametrize(("name", "message"), [("tiyn", "did you mean 'tiny'"), ("../models/tiny", "gankit has no such model"), ("", "known: tiny")])
def test_unknown_models(models, cli, tiny_recipe, tiny_runtime, tmp_path, name, message):
    with pytest.raises(gankit.CheckpointError, match=message):
        gankit.load_generator(f"builtin:{name}")
    said = cli("sample", f"builtin:{name}")
    assert said.code == 2
    assert message in " ".join(said.err.replace("│", " ").split())
    with pytest.raises(gankit.RecipeError, match=rf"tiny.yaml:\d+:\d+: initialize: .*{message}"):
        tiny_runtime.load(tiny_recipe(tmp_path, initialize=f"builtin:{name}"))


def test_a_package_without_models(monkeypatch, tmp_path):
    monkeypatch.setattr(sources, "MODELS", tmp_path / "none")
    with pytest.raises(gankit.CheckpointError, match="'builtin:cifar10': gankit has no such model; known: none"):
        gankit.load_generator("builtin:cifar10")


def test_the_model_of_cifar10():
    generator = gankit.load_generator("builtin:cifar10")
    assert generator.image == gankit.ImageSpec(32, 32, 3, classes=10)
    assert generator.classes[:4] == ("airplane", "automobile", "bird", "cat")
    assert sum(file.stat().st_size for file in generator.checkpoint.iterdir()) < 3_000_000
    images = generator.sample(100, labels=[i // 10 for i in range(100)]).float()
    mean = images.mean(dim=(1, 2, 3)).view(10, 10)
    assert images.std() > 30, "images are not flat"
    assert mean.mean(dim=1).std() > 10, "classes differ in brightness: frogs are darker than airplanes"
    assert mean.std(dim=1).min() > 5, "and so do images of a class"
