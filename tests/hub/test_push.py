"""``gankit push`` and ``hub:owner/name``, against a server with the Hub's HTTP interface."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

import gankit
from gankit.hub import push
from gankit.runs.checkpoint import Checkpoint

pytest.importorskip("huggingface_hub")
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")  # of the library


@pytest.fixture
def run(trained_run):
    return trained_run()


@pytest.fixture
def said(cli, tiny_plugin_file):
    """A command with the tiny plugin."""
    return lambda *words: cli(*words, "--plugin", tiny_plugin_file)


def test_a_pushed_run_is_sampled_bit_for_bit_and_from_the_cache(hub, run, said, monkeypatch):
    done = said("push", run, "me/tiny", "--license", "mit", "--message", "First")
    assert done.code == 0, done.err
    commit = hub.repositories["me/tiny"].branches["main"]
    assert done.out == f"{hub.url}/me/tiny/commit/{commit}\nto sample from it:  gankit sample hub:me/tiny\n"
    assert {"PUT /lfs/HASH", "POST /REPO.git/info/lfs/objects/batch"} <= {*hub.requests}
    files = hub.repositories["me/tiny"].commits[commit]
    assert {*files} == {
        "README.md", "discriminator.safetensors", "generator.safetensors", "manifest.json", "recipe.yaml", "samples.png"
    }  # fmt: skip
    assert said("sample", run, "--count", 9, "--out", "here.png").code == 0
    assert said("sample", "hub:me/tiny", "--count", 9, "--out", "there.png").code == 0
    assert Path("here.png").read_bytes() == Path("there.png").read_bytes()
    hub.failing.append(("", 503, {}))  # the Hub has a fault
    assert said("sample", "hub:me/tiny", "--count", 9, "--out", "cached.png").code == 0
    assert Path("here.png").read_bytes() == Path("cached.png").read_bytes()


@pytest.mark.slow
def test_commands_in_processes_of_their_own(hub, run, tiny_plugin_file):
    """With nothing but the environment, as a user sets it."""
    line = [sys.executable, "-m", "gankit"]
    plugin = ["--plugin", str(tiny_plugin_file)]
    for words in (["push", run, "me/tiny"], ["sample", "hub:me/tiny", "--count", "4", "--out", "grid.png"]):
        done = subprocess.run([*line, *map(str, words), *plugin], capture_output=True, text=True, check=False, env=os.environ)
        assert done.returncode == 0, done.stderr
        assert "warning" not in done.stderr
    assert Path("grid.png").stat().st_size > 500


def test_revisions_and_files_of_earlier_checkpoints(hub, trained_run, tiny_runtime):
    """A branch and a commit stay what they were, and a new commit removes the files of the old checkpoint."""
    averaged = trained_run("averaged", ema={"half_life_images": 50, "ramp_up": None})
    plain = trained_run("plain", seed=1)
    push(averaged, "me/tiny", runtime=tiny_runtime, with_state=True)
    first = hub.repositories["me/tiny"].branches["main"]
    push(plain, "me/tiny", revision="other", runtime=tiny_runtime)
    push(plain, "me/tiny", runtime=tiny_runtime)
    repository = hub.repositories["me/tiny"]
    assert b'load_generator("hub:me/tiny@other")' in repository.commits[repository.branches["other"]]["README.md"]
    assert {"generator_ema.safetensors", "state.pt"} <= {*repository.commits[first]}
    assert not {"generator_ema.safetensors", "state.pt"} & {*repository.commits[repository.branches["main"]]}
    for name, expected in (("", plain), ("@main", plain), ("@other", plain), (f"@{first}", averaged)):
        sampled = tiny_runtime.load_generator(f"hub:me/tiny{name}").sample(3)
        assert torch.equal(sampled, tiny_runtime.load_generator(expected).sample(3))


def test_a_run_that_starts_from_a_repository_records_its_commit(hub, run, tiny_runtime, tiny_recipe, tmp_path, events):
    push(run, "me/tiny", runtime=tiny_runtime)
    commit = hub.repositories["me/tiny"].branches["main"]
    hub.requests.clear()
    for name, initialize in (("short", "hub:me/tiny"), ("long", {"from": "hub:me/tiny@main", "networks": ["generator"]})):
        checked = tiny_runtime.load_checked(tiny_recipe(tmp_path, initialize=initialize))
        assert not hub.requests  # a check needs no network
        trainer = tiny_runtime.assemble(checked, name)
        trainer.fit()
        (event,) = events(Path(name), "initialized")
        assert event["origin"] == f"hub:me/tiny@{commit}"
        assert event["sha256"]["generator"] == Checkpoint.open(run / "checkpoints/step-00000003").sha256_of("generator")
        assert json.loads(Path(name, "run.json").read_text())["initialized"]["origin"] == event["origin"]
        hub.requests.clear()


def test_gankit_check_downloads_nothing(hub, said, tiny_recipe, tmp_path):
    for initialize in ("hub:me/tiny", {"from": "hub:me/tiny@v1"}):
        done = said("check", tiny_recipe(tmp_path, initialize=initialize))
        assert done.code == 0
        assert "initialize: these weights are downloaded and compared with the networks when training starts" in done.err
    assert not hub.requests


def test_evaluations_name_the_commit_and_are_not_written_to_the_cache(hub, run, said, tiny_runtime, scorers_plugin_file):
    push(run, "me/tiny", runtime=tiny_runtime)
    commit = hub.repositories["me/tiny"].branches["main"]
    scoring = ["--plugin", scorers_plugin_file, "--features", "colours", "--metrics", "gap", "--samples", 16]
    done = said("eval", "hub:me/tiny", *scoring)
    assert done.code == 0, done.err
    assert f"hub:me/tiny@{commit}" in done.out
    assert "written to" not in done.out
    assert not [*Path("hf_home").rglob("evaluations.jsonl")]
    assert said("eval", "hub:me/tiny", *scoring, "--out", "scores.jsonl").code == 0
    assert json.loads(Path("scores.jsonl").read_text())["evaluated"]["path"] == f"hub:me/tiny@{commit}"


def test_files_that_are_no_part_of_the_old_checkpoint_stay(hub, run, tiny_runtime):
    push(run, "me/tiny", runtime=tiny_runtime, with_state=True)
    repository = hub.repositories["me/tiny"]
    files = repository.commits[repository.branches["main"]]
    repository.commit("main", {**files, "directions.safetensors": b"mine"})
    push(run, "me/tiny", runtime=tiny_runtime)
    now = repository.commits[repository.branches["main"]]
    assert "directions.safetensors" in now
    assert "state.pt" not in now


def test_a_repository_with_a_manifest_of_something_else(hub, run, tiny_runtime):
    push(run, "me/web", runtime=tiny_runtime)
    repository = hub.repositories["me/web"]
    foreign = {"manifest.json": b'{"name": "app"}', "model-00001-of-00001.safetensors": b"weights"}
    repository.commit("main", foreign)
    with pytest.raises(gankit.GankitError, match=r"holds other files \(manifest.json, model-00001.* and no checkpoint of gankit"):
        push(run, "me/web", runtime=tiny_runtime)
    assert repository.commits[repository.branches["main"]] == foreign


@pytest.mark.filterwarnings("error:Cannot disable progress bars")
def test_progress_bars_that_the_user_asks_for(hub, run, tiny_runtime, monkeypatch):
    for module in ("huggingface_hub.constants", "huggingface_hub.utils.tqdm"):  # as of an environment variable
        monkeypatch.setattr(sys.modules[module], "HF_HUB_DISABLE_PROGRESS_BARS", False)
    push(run, "me/tiny", runtime=tiny_runtime)
    assert tiny_runtime.load_generator("hub:me/tiny").sample(1).shape[0] == 1


def test_a_damaged_download_is_refused(hub, run, tiny_runtime):
    push(run, "me/tiny", runtime=tiny_runtime)
    repository = hub.repositories["me/tiny"]
    files = dict(repository.commits[repository.branches["main"]])
    repository.commit("main", files | {"generator.safetensors": files["generator.safetensors"][:-4] + b"abcd"})
    with pytest.raises(gankit.CheckpointError, match=r"generator.safetensors: its SHA-256 differs from the manifest"):
        tiny_runtime.load_generator("hub:me/tiny")
    del files["generator.safetensors"]
    repository.commit("main", files)
    with pytest.raises(gankit.CheckpointError, match="lacks generator.safetensors, which its manifest.json lists"):
        tiny_runtime.load_generator("hub:me/tiny")


def test_folders_of_a_repository(hub, run, tiny_runtime):
    """Only the files of the checkpoint are downloaded."""
    push(run, "me/tiny", runtime=tiny_runtime)
    repository = hub.repositories["me/tiny"]
    files = repository.commits[repository.branches["main"]]
    moved = {f"models/v1/{name}": data for name, data in files.items()}
    repository.commit("main", {**moved, "large.bin": b"", "models/v1/large.safetensors": b"", "README.md": b"mine"})
    hub.requests.clear()
    with pytest.raises(gankit.CheckpointError, match=r"hub:me/tiny: is not a checkpoint of gankit: it lacks manifest.json"):
        tiny_runtime.load_generator("hub:me/tiny")
    sampled = tiny_runtime.load_generator("hub:me/tiny@main/models/v1").sample(2)
    assert torch.equal(sampled, tiny_runtime.load_generator(run).sample(2))
    assert not [request for request in hub.requests if "large" in request or "README" in request]


class Guided(nn.Module):
    """Adds to its images what a frozen network makes of the latents."""

    def __init__(self, image, latent_dim):
        super().__init__()
        self.shape = (image.channels, image.height, image.width)
        self.guide = gankit.Frozen(nn.Linear(latent_dim, image.channels * image.height * image.width))
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, z):
        return (self.scale * self.guide(z)).view(-1, *self.shape).tanh()


def test_frozen_networks_are_pushed(hub, runtime, recipe, add_components):
    """Their weights are random here, so that only the stored ones give the same images."""
    add_components(runtime, generators={"guided": Guided})
    runtime.assemble(recipe(generator={"name": "guided"}, latent={"name": "normal", "dim": 8}), "run").fit()
    push("run", "me/guided", runtime=runtime)
    expected = runtime.load_generator("run").sample(3)
    shutil.rmtree("run")
    assert torch.equal(runtime.load_generator("hub:me/guided").sample(3), expected)


def test_inputs_are_pushed_and_verified(hub, runtime):
    """An image-to-image generator samples from the repository alone, from the items of its run."""
    overrides = ["image.size=16", "train.steps=1", "loader.batch_size=4", "generator.width=4", "discriminator.width=4",
                 "callbacks=[checkpoint]", "dataset.dataset={name: shapes, count: 24, size: 16}",
                 "dataset.held_out={name: shapes, count: 24, size: 16}"]  # fmt: skip
    recipes = Path(__file__).parents[2] / "recipes"
    runtime.assemble(runtime.load_checked(recipes / "pix2pix_cifar10_colorize.yaml", overrides), "run").fit()
    push("run", "me/colors", runtime=runtime)
    expected = runtime.load_generator("run").sample(3)
    shutil.rmtree("run")
    assert torch.equal(runtime.load_generator("hub:me/colors").sample(3), expected)
    files = hub.repositories["me/colors"].commits[hub.repositories["me/colors"].branches["main"]]
    assert "inputs.safetensors" in json.loads(files["manifest.json"])["files"]
    assert b"pipeline_tag: image-to-image" in files["README.md"]
    hub.repositories["me/colors"].commit("main", files | {"inputs.safetensors": b"other"})
    with pytest.raises(gankit.CheckpointError, match="inputs.safetensors: its SHA-256 differs"):
        runtime.load_generator("hub:me/colors")
