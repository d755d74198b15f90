"""Every command in the documents runs here, and the two programs that need the same runs."""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import timm
from safetensors.torch import save_file

import gankit

ROOT = Path(__file__).parents[3]
MADE_BEFORE = {"dataset.path=pictures64.zip": "gankit data pack", "loader.encodings=encodings": "gankit data encode"}


def test_commands(
    command, checkout, run, shortened, blocks, block, sh_lines, require_trackers, monkeypatch, capsys, request
):
    require_trackers(command)
    words = shlex.split(command)
    if words[1] == "push" or "hub:" in command:
        request.getfixturevalue("hub")
        monkeypatch.chdir(checkout)
        if words[1] != "push":
            assert run(["gankit", "push", "results/dcgan_cifar10", "owner/name"]) == 0
    if words[1] == "explore":
        pytest.importorskip("gradio")
    if words[1] == "search":
        pytest.importorskip("optuna")
        for name, text in zip(("my_recipe", "space"), blocks("docs/hyperparameter_search.md", "yaml"), strict=True):
            Path(f"{name}.yaml").write_text(text)
    if "--latents" in words or any(word.startswith("direction.") for word in words):
        shutil.copytree(request.getfixturevalue("searched_runs"), checkout, dirs_exist_ok=True)
    if "latent.yaml" in words:
        _write_codec(block)
    for word, command_before in MADE_BEFORE.items():
        if word in words:
            (before,) = (line for line in sh_lines("docs/data.md") if line.startswith(command_before))
            assert run(shortened(before)) == 0
    if words[1] == "directions" and "--rename" in words:
        assert run(shortened(f"gankit directions {words[2]}")) == 0
    if words[1] == "run" and "--out" in words:  # made before, for other commands
        shutil.rmtree(words[words.index("--out") + 1], ignore_errors=True)
    small = _random_transformer(words[words.index("--features") + 1], monkeypatch) if "--features" in words else []
    assert run([*shortened(command), *small]) == 0, capsys.readouterr().err
    if words[1] in ("sample", "export", "compare") and "--out" in words:
        out = Path(words[words.index("--out") + 1])
        assert all(file.stat().st_size > 100 for file in (sorted(out.iterdir()) if out.is_dir() else [out]))


def _write_codec(block: Callable[..., str]) -> None:
    """Write the codec of docs/data.md, its weights, and the recipe that uses it."""
    Path("my_codec.py").write_text(block("docs/data.md", "class Autoencoder"))
    Path("latent.yaml").write_text(block("docs/data.md", "name: latent\n", "yaml"))
    codec = gankit.Runtime(plugins=["my_codec.py"]).registries.codecs.get("my_autoencoder").factory
    save_file(codec(gankit.ImageSpec(32, 32, 3), weights=Path()).state_dict(), "autoencoder.safetensors")


def _random_transformer(features: str, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Overrides for a small network with random weights, because the pretrained ones are downloads."""
    model = {"clip": "vit_base_patch32_clip_quickgelu_224.openai", "dinov2": "vit_small_patch14_dinov2.lvd142m"}.get(features)
    if model is None:
        return []
    monkeypatch.setattr(timm, "create_model", partial(timm.create_model, depth=2))
    save_file(timm.create_model(model).state_dict(), "model.safetensors")
    return [f"{features}.model={model}", f"{features}.weights=model.safetensors"]


def test_library_example(checkout, blocks, capsys):
    example = blocks("README.md")[1]
    small = '"train.steps=4", "loader.batch_size=4", "generator.width=4", "discriminator.width=4"'
    for part, shorter in (('"train.steps=200"', small), ("% 100", "% 4")):
        assert part in example
        example = example.replace(part, shorter)
    exec(example, {})
    assert capsys.readouterr().out.startswith("4 ")
    assert Path("sixteen.png").is_file()
    assert Path("results/mine/checkpoints/step-00000004").is_dir()


def test_tutorial_program(checkout, blocks):
    """The other example in Python is the plugin of the commands."""
    program, _ = blocks("docs/tutorial.md")
    names = {}
    exec(program, names)
    assert names["images"].shape == (16, 3, 32, 32)
    assert Path("sixteen.png").is_file()


def test_tutorial_error_message(checkout, run, capsys):
    text = (ROOT / "docs/tutorial.md").read_text(encoding="utf-8")
    command, message = re.search(r"^```\n\$ (gankit .*)\n(.*)\n```", text, flags=re.M).groups()
    assert run(shlex.split(command)) == 2
    assert capsys.readouterr().err == f"{message}\n"
