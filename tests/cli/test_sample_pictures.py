"""``gankit sample``: grids, rows of option values, animations and style mixing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import gankit


@pytest.fixture
def run(cli, tiny_recipe, tiny_plugin_file, tmp_path):
    assert cli("run", tiny_recipe(tmp_path), "--plugin", tiny_plugin_file, "--out", "run").code == 0
    return "run", "--plugin", tiny_plugin_file


@pytest.fixture
def generator(run):
    return gankit.load_generator("run", plugins=[str(run[2])])


def test_columns_and_rows(cli, run, generator):
    assert cli("sample", *run, "--grid", "5x2", "--out", "grid.png").code == 0
    gankit.save_grid(generator.sample(10), "expected.png", columns=5)
    assert Path("grid.png").read_bytes() == Path("expected.png").read_bytes()


def test_one_image(cli, run):
    assert cli("sample", *run, "--count", 1).out.startswith("grid.png: 1 image of run")
    assert cli("sample", *run, "--count", 1, "truncation=0.3,1").out.startswith("grid.png: 1 image for each of 2 values")


def test_a_row_for_each_value_of_an_option(cli, run, generator):
    said = cli("sample", *run, "--count", 3, "truncation=0.1,-0.5,2", "--out", "rows.png")
    assert said.out == "rows.png: 3 images for each of 3 values of truncation of run/checkpoints/step-00000003, seed 0\n"
    rows = torch.cat([generator.sample(3, truncation=value) for value in (0.1, -0.5, 2)])
    gankit.save_grid(rows, "expected.png", columns=3)
    assert Path("rows.png").read_bytes() == Path("expected.png").read_bytes()


@pytest.mark.parametrize("suffix", ["gif", "webp", "mp4"])
def test_interpolations_side_by_side(cli, run, generator, suffix):
    if suffix == "mp4":
        pytest.importorskip("av")
    said = cli("sample", *run, "--interpolate", 4, "--grid", "2x1", "--count", 3, "--out", f"walk.{suffix}")
    assert said.out.startswith(f"walk.{suffix}: 2 interpolations of 3 latents, 4 steps each, of run")
    inputs = generator.draw(6)
    walks = [generator.interpolate_between(inputs.rows(slice(start, start + 3)), 4).flatten(0, 1) for start in (0, 3)]
    for walk, start in zip(walks, (0, 3), strict=True):
        assert torch.equal(walk[::4], generator.sample(6)[start : start + 3])
    frames = decoded(f"walk.{suffix}")
    assert len(frames) == 12
    gankit.save_grid(torch.stack([walk[5] for walk in walks]), "expected.png", columns=2)
    expected = np.asarray(Image.open("expected.png")).astype(int)
    # GIF has 256 colors, and video quarters the resolution of colors: compare the brightness
    difference = (frames[5][: expected.shape[0], : expected.shape[1]].astype(int) - expected).mean(axis=2)
    other = (frames[0][: expected.shape[0], : expected.shape[1]].astype(int) - expected).mean(axis=2)
    assert np.abs(difference).mean() < 8
    assert np.abs(other).mean() > 2 * np.abs(difference).mean()


def decoded(path):
    if path.endswith("mp4"):
        import av

        with av.open(path) as container:
            return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    picture = Image.open(path)
    frames = []
    for index in range(picture.n_frames):
        picture.seek(index)
        frames.append(np.asarray(picture.convert("RGB")))
    return frames


class TestStyleMixing:
    @pytest.fixture
    def run(self, cli, tiny_recipe, tiny_plugin_file, tmp_path):
        small = "generator={name: stylegan2, width: 4, max_width: 8, style_dim: 6}"
        recipe = tiny_recipe(tmp_path, conditional=True)
        assert cli("run", recipe, small, "--plugin", tiny_plugin_file, "--out", "run").code == 0
        return "run", "--plugin", tiny_plugin_file

    def test_each_image_has_layers_of_its_row_and_of_its_column(self, cli, run, generator):
        said = cli("sample", *run, "--mix", "0-1", "--grid", "3x2", "noise=none", "--out", "mixed.png", "truncation=0.7")
        assert (said.code, said.err) == (0, "")
        inputs, network = generator.draw(5), generator.module
        with torch.no_grad():
            styles = network.styles(inputs.z, inputs.labels, truncation=0.7)
            table = [torch.zeros(1, 3, 16, 16) - 1, network.synthesize(styles[:3], noise="none")]
            for row in (3, 4):
                mixed = torch.cat([styles[row, :2].expand(3, -1, -1), styles[:3, 2:]], dim=1)
                table += [network.synthesize(part, noise="none") for part in (styles[row][None], mixed)]
        images = ((torch.cat(table) + 1) * 127.5).round().clamp(0, 255).byte()
        gankit.save_grid(images, "expected.png", columns=4)
        given, expected = (np.asarray(Image.open(name)).astype(int) for name in ("mixed.png", "expected.png"))
        assert np.abs(given - expected).max() <= 1

    def test_styles_of_a_file(self, cli, run, generator):
        from gankit.sampling.latent_files import save_latents

        inputs = generator.draw(4, 2)
        save_latents(generator.with_styles(inputs), Path("styles.safetensors"), {})
        assert cli("sample", *run, "--latents", "styles.safetensors", "noise=const", "--out", "given.png").code == 0
        assert cli("sample", *run, "--count", 4, "--seed", 2, "noise=const", "--out", "drawn.png").code == 0
        given, drawn = (np.asarray(Image.open(name)).astype(int) for name in ("given.png", "drawn.png"))
        assert np.abs(given - drawn).max() <= 1

    def test_options_that_do_not_concern_styles(self, cli, run, generator):
        from gankit.sampling.latent_files import save_latents

        save_latents(generator.with_styles(generator.draw(2)), Path("styles.safetensors"), {})
        for words in (["truncation=0.5"], ["truncation=0.5,1"]):
            said = cli("sample", *run, "--latents", "styles.safetensors", *words)
            assert (said.code, said.err) == (2, "error: truncation has no effect on given styles; remove it\n")
        said = cli("sample", *run, "--latents", "styles.safetensors", "--grid", "3x1")
        assert said.err == "error: --grid has 3 images, but styles.safetensors has 2\n"

    def test_a_row_for_each_value_of_an_option_of_styles_that_are_moved(self, cli, run):
        assert cli("directions", *run, "--count", 1, "noise=const").code == 0
        words = ("direction.0=2", "noise=const")
        assert cli("sample", *run, *words, "truncation=0.3,1", "--count", 3, "--out", "rows.png").code == 0
        rows = np.asarray(Image.open("rows.png")).astype(int)
        for number, truncation in enumerate((0.3, 1)):
            assert cli("sample", *run, *words, f"truncation={truncation}", "--out", "row.png", "--grid", "3x1").code == 0
            row = np.asarray(Image.open("row.png")).astype(int)
            top = number * (len(rows) - len(row))
            assert np.abs(rows[top : top + len(row)] - row).max() <= 1

    @pytest.mark.parametrize(
        ("words", "message"),
        [
            (["--mix", "4-9"], "the layers 4-9 do not exist: this generator has the layers 0-5"),
            (["--mix", "coarse"], "--mix coarse: is not a range of layers, such as 0-3, counted from 0"),
            (["--mix", "0-1", "--interpolate", 3], "--interpolate and --mix exclude each other; use one of them"),
            (["--mix", "0-1", "--count", 3], "--grid determines the number of images of a table of style mixing"),
        ],
    )
    def test_refused(self, cli, run, words, message):
        said = cli("sample", *run, *words)
        assert said.code == 2
        assert message in said.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--mix", "0-1"], "--mix 0-1: TinyGenerator has no styles: it lacks the methods `styles` and `synthesize`"),
        (["--grid", "8"], "--grid 8: is not COLUMNSxROWS, such as 8x4"),
        (["--grid", "2x2", "--count", 3], "--count 3: --grid has 4 images; omit --count"),
        (["--grid", "2x2", "--interpolate", 3], "--grid: the rows of a picture are the interpolations"),
        (["--grid", "2x1", "truncation=0.3,0.5"], "truncation has several values, one per row; give --count instead of --grid"),
        (["truncation=0.3,,1"], "'0.3,,1': a value between commas is missing"),
        (["--out", "walk.mp4"], "--out walk.mp4: an MP4 shows an interpolation; add --interpolate 24, or write a PNG"),
        (["truncation=0.3,0.5", "--interpolate", 3], "truncation has several values; give one with --interpolate and --mix"),
        (["truncation=0.3,high"], "sampling option 'truncation': should be a number; got 'high'"),
        (["--latents", "wide.safetensors"], "wide.safetensors: 'z' is [2, 9]; this generator takes [n 8]"),
        (["--latents", "empty.safetensors"], "empty.safetensors: contains other; expected latents 'z' or 'styles'"),
        (["--latents", "nan.safetensors"], "nan.safetensors: 'z' is [2, 8]; expected finite numbers [n d]"),
        (["--latents", "labels.safetensors"], "labels.safetensors: has 2 latents, but 'labels' is []"),
        (["--latents", "styles.safetensors"], "TinyGenerator has no styles"),
    ],
)  # fmt: skip
def test_refused(cli, run, generator, words, message):
    from safetensors.torch import save_file

    dim = generator.draw(1).z.shape[1]
    for name, tensors in {
        "wide": {"z": torch.zeros(2, 9)}, "empty": {"other": torch.zeros(2)}, "nan": {"z": torch.full((2, dim), torch.nan)},
        "styles": {"styles": torch.zeros(2, 3, 4)}, "labels": {"z": torch.zeros(2, dim), "labels": torch.tensor(1)},
    }.items():  # fmt: skip
        save_file(tensors, f"{name}.safetensors")
    said = cli("sample", *run, *words)
    assert said.code == 2
    assert message.replace("8]", f"{dim}]") in said.err


@pytest.mark.parametrize("labels", [torch.zeros(2), torch.zeros(2, 3), torch.zeros(2, 2, dtype=torch.int64)])
def test_labels_of_latents_that_are_no_classes(cli, tiny_recipe, tiny_plugin_file, tmp_path, labels):
    from safetensors.torch import save_file

    data = {"name": "tiny", "count": 20, "labelled": True}
    tiny_recipe(tmp_path, conditional=True, dataset=data)
    assert cli("run", "tiny.yaml", "--plugin", tiny_plugin_file, "--out", "run").code == 0
    dim = gankit.load_generator("run", plugins=[str(tiny_plugin_file)]).draw(1).z.shape[1]
    save_file({"z": torch.zeros(2, dim), "labels": labels}, "z.safetensors")
    said = cli("sample", "run", "--plugin", tiny_plugin_file, "--latents", "z.safetensors")
    assert said.code == 2
    if labels.is_floating_point():
        message = f"labels must be 2 integers from 0 to 1, one per image; got a tensor float32 {list(labels.shape)}"
    else:
        message = "labels must be a list of integers, one per image; got [[0, 0], [0, 0]]"
    assert f"z.safetensors: {message}" in said.err


def test_an_interpolation_of_too_many_images(generator, monkeypatch):
    monkeypatch.setattr("gankit.sampling.sample_arguments.MAX_ELEMENTS", 20 * 16 * 16 * 3)
    with pytest.raises(ValueError, match="32 images have .* values, above the limit"):
        generator.interpolate_between(generator.draw(4), 8)


def test_a_picture_that_is_too_large_for_its_format(cli, run):
    said = cli("sample", *run, "--grid", "300x1", "--out", "wide.webp")
    assert (said.code, said.out) == (2, "")
    assert "wide.webp: 19,802 x 68 pixels cannot be written as WebP" in said.err
    assert said.err.endswith("write a PNG, or fewer images\n")
    assert not Path("wide.webp").exists()
