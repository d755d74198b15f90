"""``gankit sample --input``."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import gankit
from gankit.sampling.directions import Directions

PLUGIN = Path(__file__).parents[1] / "paired_plugin.py"
RECIPE = {
    "name": "pairs",
    "image": {"size": 8},
    "dataset": "pairs",
    "loader": {"batch_size": 4},
    "generator": "gray",
    "discriminator": "flat",
    "train": {"steps": 1, "device": "cpu"},
}
CODE = '''
import gankit, torch
from torch import nn
from torch.nn import functional as F

class Gray(nn.Module):
    """Enlarges the negative of its source twice."""

    size_multiple = 1

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))

    def forward(self, source, *, gain: float = -1.0):
        return gain * F.interpolate(source, scale_factor=2) * self.weight

@gankit.hookimpl
def register(registries):
    registries.generators.add("gray", Gray)
'''


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The run directory, and the words that load its plugins."""
    folder = tmp_path_factory.mktemp("translator")
    (folder / "gray.py").write_text(CODE)
    plugins = [PLUGIN, folder / "gray.py"]
    recipe = gankit.Recipe.parse(RECIPE | {"optimizers": {"generator": {"name": "sgd", "lr": 1e-9}}})
    gankit.Runtime(plugins=plugins).assemble(recipe, folder / "run").fit()
    return [str(folder / "run"), *(word for plugin in plugins for word in ("--plugin", str(plugin)))]


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    (folder / "deep").mkdir(parents=True)
    for name, size in (("a.png", (20, 12)), ("b.jpg", (7, 33)), ("deep/c.gif", (8, 8))):
        pixels = np.random.default_rng(3).integers(0, 255, (size[1], size[0], 3), np.uint8)
        Image.fromarray(pixels).save(folder / name)
    (folder / "notes.txt").write_text("no image")
    return folder


def test_a_folder(cli, run, photos, tmp_path):
    said = cli("sample", *run, "--input", photos, "--out", tmp_path / "out", "--seed", 2)
    assert said.code == 0
    assert said.out.startswith(f"{tmp_path / 'out'}: 3 images generated from {photos} by ")
    assert said.out.endswith(", seed 2\n")
    made = sorted(str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*") if path.is_file())
    assert made == ["a.png", "b.jpg", "deep/c.gif.png"]
    source, image = (np.asarray(Image.open(folder / "a.png")) for folder in (photos, tmp_path / "out"))
    assert image.shape == (24, 40, 3)
    assert np.array_equal(image[::2, ::2], 255 - source)
    assert Image.open(tmp_path / "out" / "b.jpg").size == (14, 66)


def test_a_zip(cli, run, photos, tmp_path):
    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as archive:
        archive.write(photos / "a.png", "x/a.png")
    assert cli("sample", *run, "--input", tmp_path / "photos.zip", "--out", tmp_path / "out").code == 0
    assert (tmp_path / "out" / "x" / "a.png").exists()


def test_a_file_and_a_sampling_option(cli, run, photos, tmp_path):
    target = tmp_path / "new" / "one.png"
    said = cli("sample", *run, "gain=1.0", "--input", photos / "a.png", "--out", target)
    assert said.out.startswith(f"{target}: 1 image generated from {photos / 'a.png'} by ")
    assert np.array_equal(np.asarray(Image.open(target))[::2, ::2], np.asarray(Image.open(photos / "a.png")))
    cli("sample", *run, "--input", photos / "a.png", "--out", tmp_path / "folder")
    assert (tmp_path / "folder" / "a.png").exists()


def test_damaged_images_and_other_channels_are_named_and_the_rest_is_generated(cli, run, photos, tmp_path):
    data = (photos / "a.png").read_bytes()
    (photos / "damaged.png").write_bytes(data[: len(data) // 2])
    Image.new("RGBA", (5, 5), (9, 9, 9, 100)).save(photos / "clear.png")
    said = cli("sample", *run, "--input", photos, "--out", tmp_path / "out")
    assert said.code == 2
    assert said.err.startswith(f"error: {photos}: 2 of 5 images cannot be used: ")
    assert "'clear.png' has 4 channels (RGBA), but the generator takes 3 (RGB); convert it" in said.err
    assert "'damaged.png' is damaged: " in said.err
    assert (tmp_path / "out" / "b.jpg").exists()


def test_refusals(cli, run, photos, tmp_path):
    def error(*words):
        said = cli("sample", *run, *words)
        assert (said.code, said.out) == (2, "")
        return said.err.removeprefix("error: ").rstrip()

    out = ("--out", tmp_path / "out")
    assert error("--input", photos) == "--input: add --out FOLDER, where the generated images are written"
    assert error("--input", photos, *out, "--count", 3) == "--input: each image gives one image; remove --count"
    assert "the generated images would replace the inputs" in error("--input", photos, "--out", photos)
    assert "the generated images would replace the inputs" in error("--input", photos / "a.png", "--out", photos)
    for other in (photos / ".." / "photos", tmp_path / "link"):
        (tmp_path / "link").is_symlink() or (tmp_path / "link").symlink_to(photos)
        assert "the generated images would replace the inputs" in error("--input", photos, "--out", other)
    assert error("--input", tmp_path / "nothing", *out) == f"--input {tmp_path / 'nothing'}: does not exist"
    (tmp_path / "empty").mkdir()
    assert error("--input", tmp_path / "empty", *out) == f"--input {tmp_path / 'empty'}: contains no images"
    for other in ("grid.png", "new.zip"):
        assert error("--input", photos, "--out", other) == f"--out {other}: each image is written to a file of its own; give a folder"
    assert error("--input", photos, "--out", photos / "new") == f"--out {photos / 'new'}: is in the folder of the inputs; choose another folder"
    found = tmp_path / "found.safetensors"
    Directions({"0": torch.ones(128)}, {}).save(found)
    words = ("--input", photos, *out, "direction.0=1", "--directions", found)
    assert error(*words).endswith("--input: images are not moved along directions; remove direction.0")
    assert not (tmp_path / "out").exists()
    assert "a.bmp: has the suffix .bmp" in error("--input", photos / "a.png", "--out", tmp_path / "a.bmp")


def test_files_are_not_replaced(cli, run, photos, tmp_path):
    out = tmp_path / "out"
    (out / "deep").mkdir(parents=True)
    (out / "deep" / "c.gif.png").write_text("precious")
    said = cli("sample", *run, "--input", photos, "--out", out)
    assert (said.code, said.err) == (2, f"error: {out / 'deep' / 'c.gif.png'}: exists; choose another folder, or delete it\n")
    assert [path.name for path in out.rglob("*")] == ["deep", "c.gif.png"]
    Image.new("RGB", (8, 8)).save(photos / "deep" / "c.gif.png")
    said = cli("sample", *run, "--input", photos, "--out", tmp_path / "other")
    assert (said.code, "another image would both become" in said.err) == (2, True)
    assert cli("sample", *run, "--input", photos / "a.png", "--out", tmp_path / "one.png").code == 0
    assert cli("sample", *run, "--input", photos / "a.png", "--out", tmp_path / "one.png").code == 0


def test_a_generator_that_takes_no_images(cli, trained_run, tiny_plugin_file, photos, tmp_path):
    said = cli("sample", trained_run(), "--plugin", tiny_plugin_file, "--input", photos, "--out", "out")
    assert (said.code, said.err) == (2, "error: --input: this generator takes latents only, and no images; remove --input\n")


def test_a_generator_that_takes_more(cli, photos, tmp_path):
    recipe = RECIPE | {"generator": "enlarge", "discriminator": "flat"}
    gankit.Runtime(plugins=[PLUGIN]).assemble(gankit.Recipe.parse(recipe), tmp_path / "run").fit()
    said = cli("sample", tmp_path / "run", "--plugin", PLUGIN, "--input", photos, "--out", tmp_path / "out")
    assert said.code == 2
    assert "--input: this generator takes source, place, and a file can only give one image" in said.err


def test_a_checkpoint_without_its_run_needs_input(cli, run, photos, tmp_path):
    checkpoint = tmp_path / "elsewhere" / "deep" / "step"
    shutil.copytree(next((Path(run[0]) / "checkpoints").iterdir()), checkpoint)
    said = cli("sample", checkpoint, *run[1:], "--out", tmp_path / "grid.png")
    assert said.code == 2
    assert "inputs.safetensors: is missing, and the generator needs the fields source in it" in said.err
    assert cli("sample", checkpoint, *run[1:], "--input", photos, "--out", tmp_path / "out").code == 0
