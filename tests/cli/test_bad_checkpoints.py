"""Damaged and malicious checkpoints: exit code 2, one message, and no code is run."""

from __future__ import annotations

import copy
import hashlib
import json
import os
import pickle
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import gankit
from gankit import CheckpointError, Runtime


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, tiny_plugin: Any) -> Path:
    """A run of the tiny recipe: three steps and a checkpoint."""
    folder = tmp_path_factory.mktemp("trained")
    adam = {"name": "tiny"}
    recipe = gankit.Recipe.parse(
        {
            "name": "tiny",
            "image": {"size": 16},
            "latent": {"name": "tiny", "dim": 4},
            "conditional": True,
            "dataset": "tiny",
            "loader": {"batch_size": 8},
            "generator": "tiny",
            "discriminator": "tiny",
            "loss": "tiny",
            "optimizers": {"generator": adam, "discriminator": adam},
            "train": {"steps": 3, "device": "cpu", "precision": "fp32"},
            "callbacks": [{"name": "tiny", "save": True}],
        }
    )
    Runtime(plugins=[tiny_plugin], discover=False).assemble(recipe, folder / "run").fit()
    return folder / "run"


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    """A copy of that run that a test may damage."""
    return Path(shutil.copytree(trained, tmp_path / "run").name)


def rehash(checkpoint: Path) -> None:
    """Update the hashes in the manifest."""
    manifest = json.loads((checkpoint / "manifest.json").read_text())
    for name in manifest["files"]:
        manifest["files"][name] = hashlib.sha256((checkpoint / name).read_bytes()).hexdigest()
    (checkpoint / "manifest.json").write_text(json.dumps(manifest))


class MaliciousPickle:
    """Runs a command when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch owned",)


@pytest.mark.parametrize("plugins", [{"a": "b"}, ["a"], "a", None], ids=repr)
def test_a_record_of_plugins_in_another_form(run: Path, plugins: Any) -> None:
    [manifest] = run.glob("checkpoints/*/manifest.json")
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"plugins": plugins}))
    with pytest.raises(CheckpointError, match="'tiny'"):
        gankit.load_generator(run)
    (run / "run.json").write_text(json.dumps(json.loads((run / "run.json").read_text()) | {"plugins": plugins}))
    with pytest.raises(gankit.RecipeError, match="'tiny'"):
        Runtime().resume(run)


class TestCheckpoints:
    @pytest.fixture
    def words(self, run: Path, tiny_plugin_file: Path) -> dict[str, list[object]]:
        """The commands that read a checkpoint."""
        plugin = ["--plugin", tiny_plugin_file]
        recipe = run.parent / "more.yaml"
        text = (run / "recipe.yaml").read_text()
        recipe.write_text(text.replace("initialize: null", f"initialize: {run}"))
        return {
            "sample": ["sample", run, *plugin],
            "resume": ["resume", run, "train.steps=5", *plugin],
            "initialize": ["run", recipe, *plugin],
        }

    @pytest.mark.parametrize("verb", ["sample", "resume", "initialize"])
    @pytest.mark.parametrize(
        ("file", "harm", "message"),
        [
            ("generator.safetensors", lambda content: content[: len(content) // 2], "its SHA-256 differs from the manifest: the file was damaged or altered"),
            ("generator.safetensors", lambda content: content[:-1] + bytes([content[-1] ^ 1]), "its SHA-256 differs from the manifest"),
            ("discriminator.safetensors", lambda content: b"", "its SHA-256 differs from the manifest"),
            ("state.pt", lambda content: content[:-10], "its SHA-256 differs from the manifest"),
            ("state.pt", lambda content: pickle.dumps(MaliciousPickle()), "its SHA-256 differs from the manifest"),
            ("generator.safetensors", None, "is missing; the checkpoint is damaged, use an earlier one"),
            ("manifest.json", None, None),
            ("manifest.json", lambda content: content[:100], "cannot be read"),
            ("manifest.json", lambda content: b"[" * 5000, "cannot be read"),
            ("manifest.json", lambda content: b"[]", "cannot be read (is not a JSON object)"),
            ("manifest.json", lambda content: content.replace(b'"format": 1', b'"format": 99'), "format 99; this version of gankit reads format 1"),
            ("manifest.json", lambda content: content.replace(b'"state.pt"', b'"../../recipe.yaml"'), "'../../recipe.yaml' is not a file of a checkpoint; do not trust this checkpoint"),
            ("manifest.json", lambda content: b" " * 11_000_000, "cannot be read (is larger than 10,000,000 bytes)"),
        ],
    )  # fmt: skip
    def test_a_damaged_file(self, refused, words, run, verb, file, harm, message):
        path = run / "checkpoints" / "step-00000003" / file
        if harm is None:
            path.unlink()
        else:
            path.write_bytes(harm(path.read_bytes()))
        found = refused(*words[verb])
        if message is not None:
            assert message in found
            assert "step-00000003" in found
        assert len(found) < 600
        assert not Path("owned").exists()

    @pytest.mark.parametrize(
        "save", [torch.save, lambda value, path: path.write_bytes(pickle.dumps(value, protocol=2))]
    )
    def test_a_malicious_state_with_a_valid_hash_is_not_run(self, refused, words, run, save):
        checkpoint = run / "checkpoints" / "step-00000003"
        save({"training": MaliciousPickle()}, checkpoint / "state.pt")
        rehash(checkpoint)
        found = refused(*words["resume"])
        assert "state.pt: cannot be read as plain data and tensors: " in found
        assert not Path("owned").exists()
        pickle.loads(pickle.dumps(MaliciousPickle()))
        assert Path("owned").exists()  # unlike gankit, pickle runs the command

    def test_a_state_that_the_manifest_does_not_list_is_not_read(self, refused, words, run):
        checkpoint = run / "checkpoints" / "step-00000003"
        manifest = json.loads((checkpoint / "manifest.json").read_text())
        del manifest["files"]["state.pt"]
        (checkpoint / "manifest.json").write_text(json.dumps(manifest))
        assert "lacks state.pt; it can be sampled from, but not resumed" in refused(*words["resume"])

    @pytest.mark.parametrize("verb", ["sample", "resume", "initialize"])
    def test_weights_that_are_a_pickle_with_a_valid_hash(self, refused, words, run, verb):
        checkpoint = run / "checkpoints" / "step-00000003"
        torch.save({"linear.weight": torch.zeros(3)}, checkpoint / "generator.safetensors")
        rehash(checkpoint)
        assert "generator.safetensors: does not fit this network: " in refused(*words[verb])

    @pytest.mark.parametrize("state", [{}, [1], {"training": {}}, {"training": {"step": "x"}}, {"training": None}])
    def test_a_state_with_another_structure(self, refused, words, run, state):
        checkpoint = run / "checkpoints" / "step-00000003"
        torch.save(state, checkpoint / "state.pt")
        rehash(checkpoint)
        refused(*words["resume"])

    def test_initializing_networks_that_do_not_fit(self, refused, words):
        found = refused(*words["initialize"], "latent.dim=5")
        assert found.startswith("more.yaml:")
        assert "initialize: " in found
        assert "step-00000003: does not fit the generator: 2 of another shape: generator.linear.weight [768, 4]" in found

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            (["truncatoin=0.5"], "sampling option 'truncatoin': unknown key; did you mean 'truncation'?"),
            (["truncation=true"], "sampling option 'truncation': should be a number; got true"),
            (["truncation"], "command line: truncation: an option is NAME=VALUE"),
            (["labels=[0, 1]"], "labels must be 64 integers from 0 to 1, one per image; got [0, 1]"),
            (["labels=3"], "labels must be a list of integers, one per image; got 3"),
            (["labels=[x]", "--count", 1], "labels must be a list of integers, one per image; got ['x']"),
            (["labels=[2]", "--count", 1], "labels must be 1 integers from 0 to 1, one per image; got [2]"),
            (["count=3"], "count: is not a sampling option; use --count"),
            (["seed=3"], "seed: is not a sampling option; use --seed"),
        ],
    )
    def test_sampling_options(self, cli, refused, words, options, message):
        assert message in refused(*words["sample"], *options)

    def test_an_image_that_cannot_be_written(self, refused, words):
        Path("file").write_text("in the way")
        assert "file/x.png: cannot be written" in refused(*words["sample"], "--out", "file/x.png")

    @pytest.mark.parametrize("verb", ["sample", "resume"])
    def test_a_directory_without_a_run(self, refused, verb):
        assert refused(verb, "nowhere").startswith("nowhere: ")
        assert re.match(r"\.: is (not|neither) a run directory", refused(verb, "."))

    def test_a_run_without_a_checkpoint(self, refused, run, words):
        shutil.rmtree(run / "checkpoints")
        assert refused(*words["sample"]) == "run: this run has no checkpoint yet\n"


UNEXPECTED_VALUES = [
    None,
    True,
    -1,
    0,
    1,
    10**30,
    1e308,
    float("nan"),
    "",
    "x",
    [],
    [1],
    [[]],
    {},
    {"name": 3},
    {"name": "tiny"},
]


@given(st.data())
@settings(max_examples=30, deadline=None)
def test_an_invalid_manifest_raises_a_checkpoint_error(tmp_path_factory, trained, tiny_plugin, data):
    """Whatever a manifest contains, loading returns a generator or raises `CheckpointError`."""
    folder = tmp_path_factory.mktemp("fuzz") / "step-00000003"
    shutil.copytree(trained / "checkpoints" / "step-00000003", folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    for _ in range(data.draw(st.integers(1, 2))):
        holder, key = manifest, data.draw(st.sampled_from(sorted(set(manifest) - {"files", "format"}) or ["x"]))
        while isinstance(holder.get(key), dict) and holder[key] and data.draw(st.booleans()):
            holder, key = holder[key], data.draw(st.sampled_from(sorted(holder[key])))
        if data.draw(st.booleans()):
            holder.pop(key, None)
        else:
            holder[key] = copy.deepcopy(data.draw(st.sampled_from(UNEXPECTED_VALUES)))
    (folder / "manifest.json").write_text(json.dumps(manifest))
    before = torch.get_rng_state()
    try:
        generator = gankit.load_generator(folder, plugins=[tiny_plugin])
        assert tuple(generator.sample(2).shape) == (2, 3, 16, 16)
    except CheckpointError as error:
        assert str(folder) in str(error)  # noqa: PT017
    assert torch.equal(before, torch.get_rng_state())
