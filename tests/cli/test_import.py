"""``gankit import``: what it prints and writes, and what the other commands do with it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
import torch

import gankit
from gankit.runs.checkpoint import Checkpoint, find_checkpoint
from gankit_dcgan import DCGANDiscriminator, DCGANGenerator

IMAGE = gankit.ImageSpec(64, 64, 3)
DCGAN = ["generator={name: dcgan, width: 2}", "discriminator={name: dcgan, width: 2}", "latent.dim=5", "image.size=64"]
RUN = ["dataset={name: shapes, count: 8, size: 64}", "loader.batch_size=4", "train.steps=2", "train.device=cpu", "callbacks=[]"]  # fmt: skip
QUICKSTART = Path(__file__).parents[2] / "recipes" / "quickstart.yaml"


@pytest.fixture
def files() -> list[str]:
    """Weights of a DCGAN under the names of PyTorch's example."""
    torch.manual_seed(0)
    generator = DCGANGenerator(IMAGE, 5, width=2).state_dict()
    discriminator = DCGANDiscriminator(IMAGE, width=2).state_dict()
    discriminator["features.11.weight"] = discriminator.pop("logit.weight")
    for path, prefix, weights in (("netG.pth", "layers", generator), ("netD.pth", "features", discriminator)):
        torch.save({name.replace(prefix, "main"): tensor for name, tensor in weights.items()}, path)
    return ["netG.pth", "netD.pth"]


def test_what_is_printed_and_recorded(cli, files):
    said = cli("import", *files, "--out", "models/dcgan")
    assert said.code == 0, said
    assert "models/dcgan: generator, discriminator of format pytorch_dcgan, 64x64 images of 3 channels" in said.out
    assert "The code of PyTorch's examples is under the BSD 3-Clause license" in said.out
    assert "latent: {name: normal, dim: 5}" in said.out
    assert "generator: {name: dcgan, width: 2}" in said.out
    manifest = json.loads(Path("models/dcgan/manifest.json").read_text())
    assert manifest["imported"]["format"] == "pytorch_dcgan"
    assert [*manifest["imported"]["files"]] == files
    assert manifest["imported"]["license"] in said.out
    assert [*manifest["plugins"]] == ["gankit_dcgan", "gankit_optimizers"]
    assert [path.name for path in Path("models").iterdir()] == ["dcgan"]


def test_files_of_one_name_are_both_recorded(cli, files):
    for folder, file in zip("GD", files, strict=True):
        Path(folder).mkdir()
        Path(file).rename(f"{folder}/model.pth")
    assert cli("import", "generator=G/model.pth", "discriminator=D/model.pth", "--out", "imported").code == 0
    recorded = json.loads(Path("imported/manifest.json").read_text())["imported"]["files"]
    assert recorded == {name: hashlib.sha256(Path(name).read_bytes()).hexdigest() for name in ("G/model.pth", "D/model.pth")}


def test_it_is_sampled_from_and_starts_a_run_but_cannot_be_resumed(cli, files):
    assert cli("import", *files, "--out", "imported").code == 0
    expected = torch.load("netG.pth")
    generator = gankit.load_generator("imported")
    assert torch.equal(generator.module.state_dict()["layers.0.weight"], expected["main.0.weight"])
    assert cli("sample", "imported", "--count", 2, "--out", "grid.png").code == 0
    said = cli("run", QUICKSTART, *DCGAN, *RUN, "ema=null", "initialize=imported", "--out", "run")
    assert said.code == 0, said
    assert "initial weights: generator (" in said.out
    assert [*gankit.JsonLines.read(Path("run/metrics.jsonl"))][-1]["step"] == 2
    assert "is not a run directory" in cli("resume", "imported").err
    with pytest.raises(gankit.CheckpointError, match="lacks state.pt; it can be sampled from, but not resumed"):
        Checkpoint.open(Path("imported")).load_state()


def test_a_run_that_starts_from_it_passes_the_license_on(cli, files):
    assert cli("import", *files, "--out", "imported").code == 0
    words = ("run", QUICKSTART, *DCGAN, *RUN, "ema=null", "callbacks=[]")
    assert cli(*words, "initialize=imported", "--out", "run").code == 0
    assert cli("resume", "run", "train.steps=3").code == 0
    assert cli(*words, "initialize=run", "--out", "next").code == 0
    assert cli(*words, "--out", "own").code == 0
    manifests = {folder: Checkpoint.open(find_checkpoint(Path(folder))).manifest for folder in ("imported", "run", "next", "own")}
    assert manifests["imported"]["imported"]["license"]
    assert manifests["next"]["imported"] == manifests["run"]["imported"] == manifests["imported"]["imported"]
    assert manifests["run"]["step"] == 3
    assert "imported" not in manifests["own"]


def test_networks_before_the_files(cli, files):
    said = cli("import", "generator_ema=netG.pth", "netG.pth", "discriminator=netD.pth", "--out", "imported")
    assert "imported: generator, discriminator, generator_ema of format" in said.out
    assert gankit.load_generator("imported").ema
    torch.save(torch.load("netG.pth"), "model=G-step=3.pth")
    assert cli("import", "model=G-step=3.pth", "--out", "other").code == 0
    assert not gankit.load_generator("other").ema


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["netG.pth", "--out", "netG.pth"], "netG.pth: exists; give a new folder for the checkpoint"),
        (["generator=netD.pth", "--out", "x"], "netD.pth: has the weights of a discriminator, not of a generator"),
        (["nothing.pth", "--out", "x"], "nothing.pth: no such file"),
        ([".", "--out", "x"], ".: cannot be read: is not a regular file"),
        (["netG.pth", "--format", "dcgan", "--out", "x"], "no weight_format is called 'dcgan'; did you mean"),
        (["netG.pth", "--classes", "a,a", "--out", "x"], "--classes: 2 names given (1 different), but the model has no classes"),
        (["netG.pth", "--out", "netD.pth/x"], "netD.pth/x: cannot be written: Not a directory"),
    ],
)  # fmt: skip
def test_wrong_usage(refused, files, words, message):
    assert message in refused("import", *words)
    assert not Path("x").exists()


def test_a_format_of_a_plugin(cli, files):
    Path("mine.py").write_text(
        "import gankit\n\n\n"
        "class Mine(gankit.WeightFormat):\n"
        '    """Of mine."""\n\n'
        '    license = "Only for me."\n\n'
        "    def generator(self, network):\n"
        "        weights = network.layer('layers', 'gen')\n"
        "        image = gankit.ImageSpec(64, 64, 3)\n"
        "        return gankit.Conversion('dcgan', {'width': 2}, image, weights, 5) if weights else None\n\n\n"
        "@gankit.hookimpl\n"
        "def register(registries):\n"
        "    registries.weight_formats.add('mine', Mine)\n"
    )
    torch.save({name.replace("main", "gen"): tensor for name, tensor in torch.load("netG.pth").items()}, "mine.pth")
    said = cli("import", "mine.pth", "--out", "imported", "--plugin", "mine.py")
    assert "imported: generator of format mine" in said.out
    assert "Only for me." in said.out
    assert cli("import", "mine.pth", "--out", "other").code == 2


def test_a_format_that_cannot_be_built(refused, files):
    Path("mine.py").write_text(
        "import gankit\n\n\nclass Mine(gankit.WeightFormat):\n    def __init__(self, *, size: int) -> None: ...\n\n\n"
        "@gankit.hookimpl\ndef register(registries):\n    registries.weight_formats.add('mine', Mine)\n"
    )
    message = refused("import", "netG.pth", "--out", "x", "--plugin", "mine.py")
    assert "weight format 'mine' of plugin 'mine' cannot be built: ValidationError: " in message
