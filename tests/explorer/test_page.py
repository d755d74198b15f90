"""The page as a server: what its functions return, compared with the generator, and its messages."""

from __future__ import annotations

import copy
import io
import threading
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load

import gankit
from gankit.explorer.explorer import Explorer
from gankit.sampling.directions import Directions
from gankit.sampling.image_grid import make_grid
from gankit.sampling.tables import style_mixing_table

pytest.importorskip("gradio")
OPTIONS = (1.0, "", "const")  # truncation, truncation_cutoff and noise
SLIDERS = [0] * 8  # as many as dimensions of the styles


@pytest.fixture(scope="module")
def page(served, styled):
    return served(styled)


def pixels(content: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(content)) as image:
        assert image.format == "PNG"
        return np.asarray(image)


def picture(color: int, mode: str = "RGB") -> bytes:
    file = io.BytesIO()
    Image.new(mode, (24, 16), (color,) * len(mode)).save(file, format="PNG")
    return file.getvalue()


def test_an_upload_that_has_been_deleted(tmp_path):
    from gankit.explorer.controls import open_upload

    (tmp_path / "a.png").write_bytes(picture(1))
    with open_upload(str(tmp_path / "a.png")) as file:
        assert file.read() == picture(1)
    with pytest.raises(gankit.GankitError, match="the uploaded file has been deleted, .*; upload it again"):
        open_upload(str(tmp_path / "gone.png"))


class TestTabs:
    def test_those_of_a_generator_with_styles(self, page):
        assert {"images", "walk", "mixing", "directions", "projection"} <= {*page.functions}
        assert "picture" not in page.functions

    def test_those_of_a_generator_that_takes_a_picture(self, served, enlarging):
        functions = served(enlarging).functions
        assert not {"images", "walk", "mixing", "directions", "projection"} & {*functions}
        assert "picture" in functions

    def test_a_generator_that_cannot_be_sampled(self, enlarging):
        from gankit.explorer import build_page
        from gankit.sampling.trained_generator import TrainedGenerator

        vector = {"place": gankit.VectorSpec(2)}
        sampling = replace(enlarging.sampling, specs=vector)
        with pytest.raises(gankit.GankitError, match="inputs.safetensors is missing"):
            build_page(TrainedGenerator(enlarging.module, sampling, None, enlarging.checkpoint, False))


class TestResults:
    def test_images_and_latents(self, page, styled):
        image, latents = page.call("images", 3, 5, 1, 0.7, "2", "none")
        expected = styled.sample(5, 3, [1] * 5, truncation=0.7, truncation_cutoff=2, noise="none")
        assert np.array_equal(pixels(page.read(image)), make_grid(expected))
        stored = load(page.read(latents))
        assert torch.equal(stored["z"], styled.draw(5, 3, [1] * 5).z)
        assert stored["labels"].tolist() == [1] * 5

    def test_any_class(self, page, styled):
        image, _ = page.call("images", 4, 3, -1, *OPTIONS)
        assert np.array_equal(pixels(page.read(image)), make_grid(styled.sample(3, 4, noise="const")))

    def test_a_walk(self, page, styled):
        (image,) = page.call("walk", 40, 3, 5, "w", 1, *OPTIONS)
        explorer = Explorer(styled)
        ends = explorer.ends_of_walk(3, 5, 1, True, {"noise": "const"})
        expected = explorer.step_of_walk(ends, 40, {"noise": "const"})
        assert np.array_equal(pixels(page.read(image)), expected.permute(1, 2, 0))

    @pytest.mark.parametrize("form", ["WebP", "GIF"])
    def test_an_animation(self, page, form):
        _, download = page.call("animation", 6, form, 3, 5, "z", 1, *OPTIONS)
        with Image.open(io.BytesIO(page.read(download))) as walk:
            assert (walk.format, walk.n_frames) == (form.upper(), 6)

    def test_style_mixing(self, page, styled):
        (image,) = page.call("mixing", 2, 1, 2, 3, 2, 1, *OPTIONS)
        table = style_mixing_table(styled, styled.draw(5, 2, [1] * 5), 3, range(1, 3), {"noise": "const"})
        assert np.array_equal(pixels(page.read(image)), make_grid(table.flatten(0, 1), 4))

    def test_directions(self, page, styled):
        amounts = [0, -1.5, *SLIDERS[2:]]
        image, latents = page.call("directions", "sefa", 2, None, *amounts, 1, *OPTIONS)
        explorer = Explorer(styled)
        moved = explorer.move(styled.draw(1, 2, [1]), "sefa", {"1": -1.5}, {"noise": "const"})
        assert np.array_equal(pixels(page.read(image)), styled.images(moved, noise="const")[0].permute(1, 2, 0))
        content = page.read(latents)
        assert torch.equal(load(content)["styles"], moved.styles)
        uploaded = page.upload("moved.safetensors", content)
        again, _ = page.call("directions", "sefa", 0, uploaded, *SLIDERS, -1, *OPTIONS)
        assert page.read(again) == page.read(image)

    def test_directions_of_a_file_have_sliders_of_their_own(self, served, styled):
        generator = copy.copy(styled)
        own = Directions({"tall": torch.ones(8), "wide": torch.arange(8.0)}, {})
        page = served(generator, own)
        labels = [part["props"].get("label") for part in page.http.get("/config").json()["components"]]
        assert labels.index("tall") + 1 == labels.index("wide") < labels.index("Direction 0")
        image, latents = page.call("directions", "file", 2, None, 0, 0.5, *[3, *SLIDERS[1:]], 1, *OPTIONS)
        moved = replace(styled.draw(1, 2, [1]), z=styled.draw(1, 2, [1]).z + 0.5 * torch.arange(8.0))
        assert torch.equal(load(page.read(latents))["z"], moved.z)
        assert np.array_equal(pixels(page.read(image)), styled.images(moved, noise="const")[0].permute(1, 2, 0))

    def test_a_projection(self, page, styled):
        own = io.BytesIO()
        Image.fromarray(styled.sample(1, 3, [1], noise="const")[0].permute(1, 2, 0).numpy()).save(own, format="PNG")
        uploaded = page.upload("own.png", own.getvalue())
        target, image, status, latents, search = page.call("projection", uploaded, "w+", 60, False, 1, *OPTIONS)
        assert page.read(target) == page.read(image) or "dB" in status
        wanted, found = pixels(own.getvalue()).astype(float), pixels(page.read(image)).astype(float)
        psnr = 10 * np.log10(255**2 / np.square(wanted - found).mean())
        assert status == f"Peak signal-to-noise ratio: {psnr:.2f} dB."
        assert psnr > 20
        inputs = styled.draw_from(load(page.read(latents)))
        assert np.array_equal(styled.images(inputs, noise="const")[0].permute(1, 2, 0), found)
        with Image.open(io.BytesIO(page.read(search))) as course:
            assert course.n_frames > 40

    def test_a_projection_is_stopped(self, page):
        uploaded = page.upload("gray.png", picture(99))
        results = []
        thread = threading.Thread(
            target=lambda: results.append(page.call("projection", uploaded, "w+", 2000, False, 1, *OPTIONS))
        )
        thread.start()
        session = f"session{next(page.sessions) - 1}"
        stop = {"data": [], "fn_index": page.functions["stop"]["id"], "session_hash": session}
        while thread.is_alive():  # it may not have begun yet
            assert page.http.post("/gradio_api/run/predict", json=stop).status_code == 200
            time.sleep(0.2)
        assert results[0][2].startswith("Stopped. Peak signal-to-noise ratio: ")

    def test_an_image_from_a_picture(self, served, enlarging):
        page = served(enlarging)
        source, image = page.call("picture", page.upload("gray.png", picture(99)), 0)
        assert pixels(page.read(source)).shape == (16, 24, 3)
        shown = pixels(page.read(image))
        assert shown.shape == (32, 48, 3)
        assert (shown == 99).all()


class TestMessages:
    @pytest.mark.parametrize(
        ("function", "values", "message"),
        [
            ("images", (None, 4, -1, *OPTIONS), "enter a seed: a whole number from 0 to 9,007,199,254,740,991"),
            ("images", (-1, 4, -1, *OPTIONS), "enter a seed: a whole number from 0 to 9,007,199,254,740,991"),
            ("images", (0, 4, -1, 1, "-3", "const"), "sampling option 'truncation_cutoff': should be greater than"),
            ("images", (0, 4, -1, 1, "<b>", "const"), "should be a whole number; got '&lt;b&gt;'"),
            ("images", (0, 4, -1, 1, "[1", "const"), "sampling option 'truncation_cutoff': '[1' is not a valid value"),
            ("images", (0, 10**9, -1, *OPTIONS), "Number of images: enter a number from 1 to 64"),
            ("images", (0, None, -1, *OPTIONS), "Number of images: enter a number from 1 to 64"),
            ("mixing", (0, 3, 2, 2, 2, -1, *OPTIONS), "the first layer must not be after the last one"),
            ("projection", (None, "z", 10, False, -1, *OPTIONS), "upload a picture first"),
        ],
    )  # fmt: skip
    def test_wrong_values(self, page, capfd, function, values, message):
        assert message in page.call(function, *values)
        assert "Traceback" not in capfd.readouterr().err

    def test_damaged_uploads(self, page):
        damaged = page.upload("damaged.png", picture(5)[:60])
        assert "the picture is damaged" in page.call("projection", damaged, "z", 10, False, -1, *OPTIONS)
        foreign = page.upload("foreign.safetensors", b"x" * 100)
        said = page.call("directions", "sefa", 0, foreign, *SLIDERS, -1, *OPTIONS)
        assert "foreign.safetensors: is not a readable safetensors file" in said

    def test_random_noise_prevents_a_projection(self, page):
        uploaded = page.upload("gray.png", picture(99))
        said = page.call("projection", uploaded, "z", 10, False, -1, 1.0, "", "random")
        assert "this generator draws random numbers for each image in addition to its latents" in said

    def test_faults_of_the_program_are_not_shown(self, page, styled, monkeypatch, capfd):
        def fail(*args, **kwargs):
            raise RuntimeError("a secret")

        monkeypatch.setattr(styled.sampling.latent, "sample", fail, raising=False)
        assert page.call("images", 0, 4, -1, *OPTIONS) is None
        assert "a secret" in capfd.readouterr().err  # for a report of the fault
