"""What the explorer does with a generator, compared with the generator's own methods."""

from __future__ import annotations

import io
import threading
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

import gankit
from gankit.explorer.explorer import WALK_STEPS, Explorer
from gankit.sampling.directions import Directions
from gankit.sampling.interpolation import slerp
from gankit.sampling.sample_inputs import SampleInputs
from gankit.sampling.trained_generator import TrainedGenerator

CONST = {"noise": "const"}


@pytest.fixture(scope="module")
def explorer(styled):
    return Explorer(styled)


def png(pixels: np.ndarray) -> io.BytesIO:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format="PNG")
    file.seek(0)
    return file


def test_what_fits_a_generator(explorer, enlarging):
    styled, other = explorer, Explorer(enlarging)
    names = ("has_samples", "has_walks", "has_styles", "is_function_of_latents")
    assert [getattr(styled, name) for name in names] == [True] * 4
    assert [getattr(other, name) for name in names] == [False] * 4
    assert styled.input is None
    assert other.input == ("source", gankit.ImageSpec(8, 8, 3))
    assert styled.spaces == ("w+", "w", "z")
    assert styled.methods == ("sefa", "pca")


def test_images_with_random_numbers_are_no_function_of_latents(styled):
    class Noisy(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = torch.nn.Linear(8, 3 * 16 * 16)

        def forward(self, z):
            images = self.linear(z).view(-1, 3, 16, 16)
            return (images + torch.randn_like(images)).tanh()

    sampling = replace(styled.sampling, image=gankit.ImageSpec(16, 16, 3))
    noisy = Explorer(TrainedGenerator(Noisy().eval(), sampling, None, styled.checkpoint, False))
    assert noisy.has_walks
    assert not noisy.is_function_of_latents


class TestWalks:
    def test_the_ends_are_the_first_images_of_the_seeds(self, explorer, styled):
        ends = explorer.ends_of_walk(3, 5, 1, False, CONST)
        for step, seed in ((0, 3), (WALK_STEPS, 5)):
            expected = styled.sample(1, seed, [1], noise="const")[0]
            assert torch.equal(explorer.step_of_walk(ends, step, CONST), expected)

    @pytest.mark.parametrize("in_styles", [False, True])
    def test_a_step(self, explorer, styled, in_styles):
        ends = explorer.ends_of_walk(3, 5, 1, in_styles, CONST)
        first, second = styled.draw(1, 3, [1]), styled.draw(1, 5, [1])
        between = replace(first, z=slerp(first.z, second.z, 0.3))
        if in_styles:
            styles = [styled.with_styles(inputs).styles for inputs in (first, second)]
            between = replace(first, styles=torch.lerp(*styles, 0.3))
        image = explorer.step_of_walk(ends, round(0.3 * WALK_STEPS), CONST)
        difference = (image.int() - styled.images(between, **CONST)[0].int()).abs().max()
        assert difference <= 1

    def test_the_class_is_that_of_the_first_image(self, explorer, styled):
        assert {int(styled.draw(1, seed).labels) for seed in range(8)} == {0, 1}
        for seed in range(8):
            ends = explorer.ends_of_walk(seed, 9, None, False, {})
            assert ends.labels.tolist() == styled.draw(1, seed).labels.tolist() * 2

    def test_an_animation(self, explorer, tmp_path):
        ends = explorer.ends_of_walk(3, 5, 1, False, CONST)
        explorer.save_walk(ends, 8, CONST, tmp_path / "walk.gif")
        with Image.open(tmp_path / "walk.gif") as walk:
            assert walk.n_frames == 8


class TestDirections:
    def test_they_are_found_once(self, explorer):
        assert explorer.directions("sefa") is explorer.directions("sefa")
        assert not torch.equal(explorer.directions("pca").vectors["0"], explorer.directions("sefa").vectors["0"])

    def test_those_of_a_file_come_first(self, styled):
        own = Directions({"tall": torch.ones(8)}, {})
        explorer = Explorer(styled, own)
        assert explorer.methods == ("file", "sefa", "pca")
        inputs = explorer.draw(1, 0, 1)
        moved = explorer.move(inputs, "file", {"tall": -2.0}, {})
        assert torch.equal(moved.z, inputs.z - 2)

    def test_other_threads_that_use_the_network_do_not_change_them(self, styled):
        alone = Explorer(styled).directions("sefa").vectors
        stop = threading.Event()
        inputs = styled.draw(3, 8)

        def disturb():
            while not stop.is_set():
                styled.sampling.forward(styled.module, inputs, CONST)

        thread = threading.Thread(target=disturb)
        thread.start()
        try:
            found = Explorer(styled).directions("sefa").vectors
        finally:
            stop.set()
            thread.join()
        assert all(torch.allclose(found[name], alone[name], atol=1e-5) for name in alone)


class TestPictures:
    def test_an_image_is_generated_from_a_picture_of_any_size(self, enlarging):
        pixels = np.random.default_rng(0).integers(0, 256, (11, 20, 3), dtype=np.uint8)
        picture, image = Explorer(enlarging).generate_from(png(pixels), 0, None, {})
        assert np.array_equal(picture.permute(1, 2, 0), pixels)
        assert np.array_equal(image.permute(1, 2, 0), pixels.repeat(2, axis=0).repeat(2, axis=1))

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (png(np.zeros((1500, 1500, 3), np.uint8)).read(), "the picture has 1500 x 1500 pixels, above 2,097,152"),
            (png(np.zeros((8, 8, 4), np.uint8)).read(), r"the picture has 4 channels \(RGBA\), but the generator takes 3"),
            (b"nothing", "the picture is not an image in a supported format"),
            (png(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)).read()[:900], "is damaged"),
        ],
        ids=["large", "transparent", "foreign", "damaged"],
    )
    def test_pictures_that_cannot_be_used(self, enlarging, content, message):
        with pytest.raises(gankit.GankitError, match=message):
            Explorer(enlarging).generate_from(io.BytesIO(content), 0, None, {})

    def test_a_projection_that_is_stopped(self, explorer, styled):
        target = explorer.read_target(png(np.full((40, 20, 3), 200, np.uint8)))
        assert target.shape == (3, 16, 16)
        steps = []
        found = explorer.project(
            target, "z", 50, False, 1, {}, lambda _, done, total: steps.append(done), lambda: len(steps) == 5
        )
        assert steps == [0, 1, 2, 3, 4, 50]
        assert torch.equal(styled.images(found.inputs, **CONST)[0], found.image)

    def test_another_thread_samples_during_a_projection(self, explorer):
        target = explorer.read_target(png(np.full((16, 16, 3), 200, np.uint8)))
        sampled = []

        def report(_, done, total):
            if not sampled:
                thread = threading.Thread(target=lambda: sampled.append(explorer.images(explorer.draw(2, 0, 1), CONST)))
                thread.start()
                thread.join(timeout=60)

        explorer.project(target, "z", 2, False, 1, {}, report)
        assert torch.equal(sampled[0], explorer.images(explorer.draw(2, 0, 1), CONST))


def test_latents_of_a_file(explorer, styled, tmp_path):
    from gankit.sampling.latent_files import save_latents

    inputs = styled.with_styles(SampleInputs.cat([explorer.draw(2, 3, 1)]))
    save_latents(inputs, tmp_path / "x.safetensors", {})
    read = explorer.read_latents(tmp_path / "x.safetensors", 0)
    assert torch.equal(explorer.images(read, CONST), explorer.images(inputs, CONST))
