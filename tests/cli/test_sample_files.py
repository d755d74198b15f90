"""``gankit sample --out FOLDER|FILE.zip``: one file per image."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

import gankit
from gankit.sampling import sample_files

CLASSES = ("a", "b")


@pytest.fixture
def run(cli, tiny_recipe, tiny_plugin_file, tmp_path):
    assert cli("run", tiny_recipe(tmp_path, conditional=True), "--plugin", tiny_plugin_file, "--out", "run").code == 0
    return "run", "--plugin", tiny_plugin_file


@pytest.fixture
def generator(run):
    return gankit.load_generator("run", plugins=[str(run[2])])


def read(path):
    return torch.from_numpy(np.array(Image.open(path))).permute(2, 0, 1)


def test_files_are_the_images_of_the_seed(cli, run, generator):
    said = cli("sample", *run, "--count", 130, "--seed", 5, "--out", "samples", "truncation=0.5")
    assert (said.code, said.err) == (0, "")
    assert said.out == "samples: 130 images of run/checkpoints/step-00000003, seed 5\n"
    inputs = generator.draw(130, 5)
    images = generator.sample(130, 5, truncation=0.5)
    for number, label in enumerate(inputs.labels.tolist()):
        assert torch.equal(read(f"samples/{CLASSES[label]}/{number:06}.png"), images[number])
    assert sum(1 for _ in Path("samples").rglob("*.png")) == 130
    latents = load_file("samples/latents-000000.safetensors")
    assert torch.equal(latents["z"], inputs.z)
    assert torch.equal(latents["labels"], inputs.labels)
    about = json.loads(Path("samples/samples.json").read_text())
    assert about["weights"] == json.loads(Path(generator.checkpoint, "manifest.json").read_text())["files"]["generator.safetensors"]
    assert {name: about[name] for name in ("count", "seed", "options", "classes", "checkpoint", "ema")} == {
        "count": 130, "seed": 5, "options": {"truncation": 0.5}, "classes": ["a", "b"], "checkpoint": "step-00000003", "ema": False,
    }  # fmt: skip


def test_latents_of_a_file_give_the_same_images(cli, run, generator):
    assert cli("sample", *run, "--count", 70, "--out", "samples").code == 0
    said = cli("sample", *run, "--latents", "samples/latents-000000.safetensors", "--out", "again.png")
    assert (said.code, said.err) == (0, "")
    assert cli("sample", *run, "--count", 70, "--out", "grid.png").code == 0
    assert Path("again.png").read_bytes() == Path("grid.png").read_bytes()
    assert cli("sample", *run, "--latents", "samples/latents-000000.safetensors", "--out", "copy").code == 0
    for file in Path("samples").rglob("*.png"):
        assert Path("copy", file.relative_to("samples")).read_bytes() == file.read_bytes()


def test_an_interrupted_command_goes_on(cli, run, monkeypatch):
    generated = []
    images_of = gankit.sampling.trained_generator.TrainedGenerator.images

    def interrupted(self, inputs, **options):
        generated.append(int(inputs.numbers[0]))
        if len(generated) == 4:
            raise KeyboardInterrupt
        return images_of(self, inputs, **options)

    monkeypatch.setattr(sample_files.TrainedGenerator, "images", interrupted)
    said = cli("sample", *run, "--count", 200, "--out", "samples.zip")
    assert said.code == 130
    assert "interrupted; run the same command again to continue" in said.err
    assert not Path("samples.zip").exists()
    assert cli("sample", *run, "--count", 200, "--out", "samples.zip").code == 0
    assert generated == [0, 0, 64, 128, 128, 192]  # the first image alone, then blocks
    assert not Path("samples.zip.partial").exists()
    assert cli("sample", *run, "--count", 200, "--out", "whole").code == 0
    with zipfile.ZipFile("samples.zip") as archive:
        names = {name for name in archive.namelist() if name.endswith(".png")}
        assert names == {file.relative_to("whole").as_posix() for file in Path("whole").rglob("*.png")}
        assert all(archive.read(name) == Path("whole", name).read_bytes() for name in names)


def test_a_new_folder_may_have_a_dot_in_its_name(cli, run):
    said = cli("sample", *run, "--out", "dir.v2", "--count", 1)
    assert (said.code, said.err) == (0, "")
    assert said.out.startswith("dir.v2: 1 image of run")
    assert len([*Path("dir.v2").rglob("*.png")]) == 1


def test_more_images_are_added(cli, run):
    assert cli("sample", *run, "--count", 70, "--out", "samples").code == 0
    before = {file: file.stat().st_mtime_ns for file in Path("samples").rglob("0000[0-5]*.png")}
    assert cli("sample", *run, "--count", 150, "--out", "samples").code == 0
    assert {file: file.stat().st_mtime_ns for file in before} == before
    assert cli("sample", *run, "--count", 150, "--out", "whole").code == 0
    for file in Path("whole").rglob("*.png"):
        assert Path("samples", file.relative_to("whole")).read_bytes() == file.read_bytes()
    added, whole = (load_file(f"{folder}/latents-000000.safetensors") for folder in ("samples", "whole"))
    assert added.keys() == whole.keys()
    assert all(torch.equal(added[name], whole[name]) for name in whole)


def test_the_folder_has_the_score_of_the_run(cli, run, score, last):
    assert score("run", "--metrics", "fd", "--features", "colours", "--samples", 100).code == 0
    assert cli("sample", *run, "--count", 100, "--out", "samples").code == 0
    words = ("--metrics", "fd", "--features", "colours", "--samples", 100, "--recipe", "run/recipe.yaml", "--out", "scores.jsonl")
    assert score("samples", *words).code == 0
    assert last("scores.jsonl").scores == pytest.approx(last().scores, rel=1e-9)


def test_classes_and_formats(cli, run, generator):
    said = cli("sample", *run, "--classes", "b", "--count", 3, "--format", "webp", "--out", "samples")
    assert (said.code, said.err) == (0, "")
    assert sorted(file.name for file in Path("samples/b").iterdir()) == [f"{number:06}.webp" for number in range(3)]
    assert torch.equal(read("samples/b/000002.webp"), generator.sample(3, labels=[1, 1, 1])[2])
    assert cli("sample", *run, "--classes", "all", "--count", 5, "--out", "both").code == 0
    assert [len([*Path("both", name).iterdir()]) for name in CLASSES] == [3, 2]


def test_the_default_count_is_a_multiple_of_the_number_of_classes(cli, run):
    said = cli("sample", *run, "--classes", "a,b,a", "--out", "samples")
    assert said.out.startswith("samples: 66 images")
    assert [len([*Path("samples", name).iterdir()]) for name in CLASSES] == [44, 22]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--seed", 1], "samples: contains samples whose seed is 0, not 1; choose another folder"),
        (["truncation=0.5"], 'samples whose options is {}, not {"truncation": 0.5}'),
        (["--format", "webp"], 'samples whose format is "png", not "webp"'),
        (["--interpolate", 5], "--out samples: --interpolate makes one picture; give it a file name such as picture.png"),
        (["--grid", "2x2"], "--out samples: --grid makes one picture"),
        (["truncation=0.3,0.5"], "truncation has several values, which make one picture"),
        (["truncation=high"], "sampling option 'truncation': should be a number; got 'high'"),
        (["labels=[0]"], "labels: 1 are given for 64 images"),
        (["labels=3"], "labels must be a list of integers, one per image; got 3"),
        (["--count", 10], "samples: contains 64 samples, more than 10; choose another folder"),
        (["--classes", "a,b", "--count", 1, "--out", "new"], "2 classes need at least 2 images, not 1; choose more with --count"),
        (["labels=", "--out", "new"], "labels must be a list of integers, one per image; got None"),
        (["--directions", "none", "--out", "new"], "--directions: no direction is chosen; add, for example, direction.0=2"),
        (["--seed", 2**63, "--out", "new"], "Invalid value for '--seed'"),
        (["--out", "run"], "run: is not empty, and has no samples.json of samples; choose another folder"),
        (["--out", "file/samples"], "cannot be written: Not a directory; correct this and repeat the command"),
        (["--out", "file.zip"], "file.zip: exists; choose another name, or delete it"),
        (["--out", "new.zip", "--count", 499_998], "new.zip: 499,998 images do not fit into a zip"),
        (["--out", "grid.png", "--format", "png"], "--format applies to single images"),
        (["--latents", "run/recipe.yaml"], "run/recipe.yaml: is not a readable safetensors file"),
        (["--latents", "none.safetensors"], "none.safetensors: does not exist"),
        (["--latents", "x", "--count", 3], "--latents: the file determines the number of images and their classes"),
    ],
)  # fmt: skip
def test_refused(cli, run, words, message):
    Path("file").touch()
    Path("file.zip").touch()
    assert cli("sample", *run, "--out", "samples").code == 0
    said = cli("sample", *run, *(() if "--out" in words else ("--out", "samples")), *words)
    assert said.code == 2
    assert message in said.err


@pytest.mark.parametrize("name", ["nul/", "c:", "..", "line\nbreak", "x" * 201, "A"])
def test_classes_that_cannot_be_folders_are_numbers(generator, name, tmp_path):
    generator.classes = ("a", name)
    sample_files.SampleFiles(generator, 8).write(tmp_path / "samples")
    assert {path.name for path in (tmp_path / "samples").iterdir() if path.is_dir()} == {"0", "1"}


@pytest.mark.parametrize("labels", ["[2, 0]", "[-1, 0]"])
def test_labels_that_do_not_exist_are_refused_before_anything_is_written(refused, run, labels):
    message = refused("sample", *run, "--count", 2, f"labels={labels}", "--out", "samples")
    assert f"integers from 0 to 1, one per image; got {labels}" in message
    assert not Path("samples").exists()
