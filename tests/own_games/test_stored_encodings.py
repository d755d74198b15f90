"""``gankit data encode``, and runs that use the encodings that it has stored."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import gankit
from gankit.data.encodings import write_encodings as writing

PLUGIN = Path(__file__).parent / "plugins" / "latent_space.py"
RECIPE = PLUGIN.with_suffix(".yaml")
CODEC = '''
import time
import torch
from torch import nn
import gankit


class Mixed(nn.Module):
    """Patches of 2 x 2 pixels, mixed by a convolution."""

    def __init__(self, image, *, seed: int = 0, pause: float = 0.0):
        super().__init__()
        self.pause = pause
        generator = torch.Generator().manual_seed(seed)
        self.weight = nn.Parameter(torch.randn(12, 3, 2, 2, generator=generator))

    def encode(self, images):
        time.sleep(self.pause)
        return nn.functional.conv2d(images, self.weight, stride=2)

    def decode(self, encodings):
        return nn.functional.conv_transpose2d(encodings, self.weight, stride=2)


class Halved:
    def __init__(self, image):
        self.channels = image.channels

    def encode(self, images):
        return nn.functional.avg_pool2d(images, 2).repeat(1, 4, 1, 1)

    def decode(self, encodings):
        return nn.functional.interpolate(encodings[:, : self.channels], scale_factor=2)


@gankit.hookimpl
def register(registries):
    registries.codecs.add("halved", Halved)
    registries.codecs.add("mixed", Mixed)
'''
ENCODING = 12 * 8 * 8 * 4  # bytes
SHARD = 64 * (2 * ENCODING + 8) + 1024  # bytes of 64 images
SETTINGS = ("dataset.count=200", "loader.flip=true", "train.precision=fp32")


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GANKIT_DATA_DIR", str(tmp_path / "data"))
    (tmp_path / "mixed.py").write_text(CODEC)
    return tmp_path / "mixed.py"


@pytest.fixture
def encode(cli, plugin):
    """``encode(*words, out="encodings")``: run the command on 200 images, with flips and shards of 64."""

    def run(*words, out="encodings"):
        settings = ["codec=mixed", *SETTINGS]
        plugins = ["--plugin", PLUGIN, "--plugin", plugin]
        return cli("data", "encode", RECIPE, *settings, "--out", out, "--shard-size", SHARD, *plugins, *words)

    return run


@pytest.fixture
def loader(plugin, tmp_path):
    """``loader(...)``: of a run with these overrides."""
    runtime = gankit.Runtime(plugins=[PLUGIN, plugin])

    def make(*overrides):
        words = ["codec=mixed", *SETTINGS, *overrides]
        return runtime.assemble(runtime.load_checked(RECIPE, words), tmp_path / "run").setup.loader

    return make


def test_the_files_have_the_encodings_of_all_images_in_their_order(encode, plugin):
    assert encode().code == 0
    files = sorted(Path("encodings").glob("*.safetensors"))
    assert [file.name for file in files] == [f"encodings-{i:05}-of-00004.safetensors" for i in range(4)]
    assert all(file.stat().st_size <= SHARD for file in files)
    shards = [load_file(file) for file in files]
    runtime = gankit.Runtime(plugins=[PLUGIN, plugin])
    dataset = runtime.registries.datasets.get("shapes").factory(count=200, size=16)
    dataset.prepare()
    images = torch.stack([torch.as_tensor(dataset[i][0]) for i in range(200)]).float() / 127.5 - 1
    weight = torch.randn(12, 3, 2, 2, generator=torch.Generator().manual_seed(0))
    for name, real in (("plain", images), ("mirrored", images.flip(-1))):
        expected = torch.nn.functional.conv2d(real, weight, stride=2)
        torch.testing.assert_close(torch.cat([shard[name] for shard in shards]), expected, rtol=0, atol=1e-5)
    assert torch.cat([shard["label"] for shard in shards]).tolist() == [int(dataset[i][1]) for i in range(200)]


@pytest.mark.parametrize("cache", ["auto", "none"])
@pytest.mark.parametrize("conditional", [False, True])
def test_a_run_with_them_sees_the_same_batches_without_its_encoder(encode, loader, cache, conditional, monkeypatch):
    assert encode().code == 0
    plain = loader("loader.workers=0", f"conditional={conditional}")
    stored = loader("loader.encodings=encodings", f"loader.cache={cache}", f"conditional={conditional}")
    monkeypatch.setattr(type(stored.codec.codec), "encode", None)
    stream = stored.stream(0)
    for position in (0, 8, 16, 24):
        one, two = plain.at(position, 8), next(stream)
        assert torch.equal(one.images, two.images)
        assert (one.labels is None) == (two.labels is None) == (not conditional)
        if conditional:
            assert torch.equal(one.labels, two.labels)
    assert plain.labels().tolist() == stored.labels().tolist()


@pytest.mark.slow
def test_a_killed_command_goes_on(encode, plugin, tmp_path):
    settings = ["codec={name: mixed, pause: 0.15}", *SETTINGS]
    words = [str(RECIPE), *settings, "--out", "encodings", "--shard-size", str(SHARD), "--plugin", str(PLUGIN)]
    command = [sys.executable, "-m", "gankit", "data", "encode", *words, "--plugin", str(plugin)]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL)
    first, last = (Path(f"encodings/encodings-{i:05}-of-00004.safetensors") for i in (0, 3))
    while not first.exists() and process.poll() is None:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert first.exists()
    assert not last.exists()
    kept = first.stat().st_mtime_ns
    assert encode("codec={name: mixed}").code == 0
    assert first.stat().st_mtime_ns == kept
    assert encode(out="whole").code == 0
    for file in Path("whole").glob("*.safetensors"):
        assert file.read_bytes() == Path("encodings", file.name).read_bytes()


def test_an_interrupted_command_goes_on_and_replaces_damaged_files(encode, loader, monkeypatch):
    encoded, encode_shard = [], writing._encode_shard

    def interrupted(source, codec, names, rows, report):
        encoded.append(rows.start)
        if len(encoded) == 3:
            raise KeyboardInterrupt
        return encode_shard(source, codec, names, rows, report)

    monkeypatch.setattr(writing, "_encode_shard", interrupted)
    said = encode()
    assert said.code == 130
    assert "interrupted; run the same command again to continue" in said.err
    with pytest.raises(gankit.GankitError, match="encodings-00002-of-00004.safetensors is missing or damaged; repeat"):
        loader("loader.encodings=encodings")
    damaged = Path("encodings/encodings-00001-of-00004.safetensors")
    content = damaged.read_bytes()
    damaged.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert encode().code == 0
    assert encoded == [0, 64, 128, 64, 128, 192]
    assert loader("loader.encodings=encodings").at(0, 8).images.shape == (8, 12, 8, 8)


@pytest.mark.parametrize(
    ("override", "key"),
    [
        ("dataset.seed=7", "data"),
        ("codec.seed=1", "codec"),
        ("image.size=[16, 8]", "image"),
        ("loader.fit=pad", "fit"),
        ("train.precision=fp64", "dtype"),
    ],
)
def test_encodings_of_something_else_are_refused(encode, loader, refused_run, override, key):
    assert encode().code == 0
    with pytest.raises(gankit.GankitError, match=rf"encodings: its encodings do not fit this run: `{key}` is .* there and"):
        loader("loader.encodings=encodings", override)
    assert refused_run(encode(override)).startswith(f"error: encodings: contains other encodings: `{key}` is ")


@pytest.fixture
def refused_run():
    def check(said):
        assert said.code == 2
        assert said.err.count("\n") == 1
        return said.err

    return check


def test_a_changed_codec_class_is_another_codec(encode, loader, plugin):
    assert encode().code == 0
    plugin.write_text(CODEC.replace("stride=2)", "stride=2).tanh()"))
    runtime = gankit.Runtime(plugins=[PLUGIN, plugin])
    words = ["codec=mixed", *SETTINGS, "loader.encodings=encodings"]
    with pytest.raises(gankit.GankitError, match="`codec` is Mixed"):
        runtime.assemble(runtime.load_checked(RECIPE, words), "other")


def test_mirrored_encodings_are_needed_only_by_runs_that_mirror(encode, loader):
    assert encode("loader.flip=false").code == 0
    assert json.loads(Path("encodings/index.json").read_text())["names"] == ["plain"]
    loader("loader.encodings=encodings", "loader.flip=false")
    with pytest.raises(gankit.GankitError, match="has no encodings of mirrored images, which loader.flip needs"):
        loader("loader.encodings=encodings")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["codec=halved"], "codec: has no weights, by which its encodings could be recognized"),
        (["loader.crop=random"], "loader.crop: is random, but one fixed crop of each image is encoded"),
        (["--shard-size", "9"], "a shard of 9 bytes is smaller than the encodings of an image; raise its size"),
        (["--out", "full"], "full: is not a folder of encodings: it lacks a valid index.json; choose another folder"),
    ],
)
def test_misuse_is_one_sentence(encode, refused_run, words, message):
    Path("full").mkdir()
    Path("full/file").write_text("")
    assert message in refused_run(encode(*words))


def test_encodings_without_a_codec_are_refused(runtime):
    with pytest.raises(gankit.RecipeError, match="loader.encodings: has no effect without a codec; add `codec:`"):
        gankit.Runtime().load("recipes/quickstart.yaml", ["loader.encodings=x"])
    with pytest.raises(gankit.RecipeError, match="loader: encodings: they are of center crops; set crop: center"):
        gankit.Runtime().load("recipes/quickstart.yaml", ["loader.encodings=x", "loader.crop=random"])
