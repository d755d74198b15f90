"""Requests for metrics of pairs where images have no real partners."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import gankit
from gankit.evaluation import Request, evaluate

PLUGIN = Path(__file__).parent.parent / "paired_plugin.py"
PSNR = {"metrics": ("psnr",), "features": "effnet_lite0", "device": "cpu"}
RECIPE = {
    "name": "pairs",
    "image": {"size": 8},
    "dataset": "split_pairs",
    "latent": {"name": "normal", "dim": 5},
    "loader": {"batch_size": 8},
    "generator": "repeat",
    "discriminator": "flat",
    "train": {"steps": 1, "device": "cpu", "precision": "fp32"},
}


class Plain(torch.nn.Module):
    """Takes latents alone."""

    def __init__(self, image, latent_dim):
        super().__init__()
        self.shape = (image.channels, image.height, image.width)
        self.linear = torch.nn.Linear(latent_dim, image.channels * image.height * image.width)

    def forward(self, z):
        return self.linear(z).view(-1, *self.shape)


class Half:
    """A metric with the methods of another kind."""

    pairs = True

    def update(self, images):
        pass

    def compute(self):
        return {}


class Plugin:
    @gankit.hookimpl
    def register(self, registries):
        registries.generators.add("plain", Plain)
        registries.metrics.add("half", Half)


@pytest.fixture
def runtime():
    return gankit.Runtime(plugins=[PLUGIN, Plugin()])


@pytest.fixture
def run(runtime, tmp_path):
    def train(**sections):
        runtime.assemble(gankit.Recipe.parse(RECIPE | sections), tmp_path / "run").fit()
        return tmp_path / "run"

    return train


@pytest.mark.parametrize(
    ("sections", "request_", "message"),
    [
        (
            {"generator": "plain"},
            {},
            r"step-00000001: metric 'psnr' compares each generated image with its real partner, but the generator takes no "
            r"fields of the data; choose metrics that compare sets of images$",
        ),
        (
            {"dataset": {"name": "pairs", "independent": ["source"]}},
            {},
            r"metric 'psnr' compares .* partner, but the field 'source' is independent of the real image; choose",
        ),
        ({}, {"real": "shapes"}, r"^dataset 'shapes' has no field 'source', which the generator takes; known: image$"),
        ({}, {"real_samples": 5}, r"metric 'psnr' compares .*, but real_samples is 5; leave it out, and limit"),
        ({}, {"real": "{name: pairs, count: 0}"}, r"dataset 'pairs' is empty"),
        (
            {"conditional": True},
            {"real": "{name: pairs, labels: none}"},
            r"dataset 'pairs' has no classes, but the generator was trained with even, odd",
        ),
        ({}, {"metrics": ("half",)}, r"metric 'half': Half.update\(images\) cannot be called as update\(generated, real\)"),
    ],
)
def test_in_one_sentence(run, runtime, sections, request_, message):
    directory = run(**sections)
    with pytest.raises(gankit.GankitError, match=message):
        evaluate(directory, Request(**PSNR | request_), runtime)


def test_fields_of_another_kind(run, runtime, tmp_path):
    class Gray(runtime.registries.datasets.get("pairs").factory):
        def __init__(self, *, vector: bool = False) -> None:
            super().__init__()
            source = gankit.VectorSpec(3) if vector else gankit.ImageSpec.any_size(1, scale=1 / 2)
            self.spec = gankit.DataSpec(image=gankit.ImageSpec.any_size(3), source=source)

    class Data:
        @gankit.hookimpl
        def register(self, registries):
            registries.datasets.add("gray", Gray)

    runtime.load_plugin(Data())
    directory = run()
    for real, found in (("gray", "images with 1 channel"), ("{name: gray, vector: true}", "vectors of 3")):
        message = f"the field 'source' of dataset 'gray' has {found}, but the generator takes images with 3 channels"
        with pytest.raises(gankit.GankitError, match=message):
            evaluate(directory, Request(**PSNR, real=real), runtime)


def test_a_folder_of_images(runtime, tmp_path):
    (tmp_path / "images").mkdir()
    message = r"images: metric 'psnr' compares each .*, but the images of a folder have none; evaluate a run or a checkpoint, or"
    with pytest.raises(gankit.GankitError, match=message):
        evaluate(tmp_path / "images", Request(**PSNR, real="shapes"), runtime)


class TestCheck:
    CALLBACK = {"name": "evaluate", "metrics": ["psnr"]}  # noqa: RUF012

    def check(self, runtime, callback, **sections):
        runtime.check(gankit.Recipe.parse(RECIPE | {"callbacks": [callback]} | sections))

    def test_a_generator_without_fields(self, runtime):
        message = r"callbacks\.0: metric 'psnr' compares .*, but the generator takes no fields of the data; choose"
        with pytest.raises(gankit.RecipeError, match=message):
            self.check(runtime, self.CALLBACK, generator="plain")
        with pytest.raises(gankit.RecipeError, match=message):
            self.check(runtime, self.CALLBACK, generator="plain", dataset={"name": "shapes", "size": 8})
        self.check(runtime, self.CALLBACK | {"metrics": ["fd"], "samples": 32}, generator="plain")
        self.check(runtime, self.CALLBACK)

    def test_an_independent_field(self, runtime):
        message = r"callbacks\.0: metric 'psnr' compares .*, but the field 'source' is independent of the real image"
        with pytest.raises(gankit.RecipeError, match=message):
            self.check(runtime, self.CALLBACK, dataset={"name": "pairs", "independent": ["source"]})

    def test_real_samples(self, runtime):
        with pytest.raises(gankit.RecipeError, match=r"callbacks\.0: metric 'psnr' .* real_samples is 7; leave it out"):
            self.check(runtime, self.CALLBACK | {"real_samples": 7})

    def test_too_few_images_for_another_metric(self, runtime):
        with pytest.raises(gankit.RecipeError, match=r"callbacks\.0: metric 'kid': at least 1000 real images are needed"):
            self.check(runtime, self.CALLBACK | {"metrics": ["psnr", "kid"], "samples": 20})
        self.check(runtime, self.CALLBACK | {"metrics": ["psnr", "kid"], "samples": 5000})  # as many may be held out

    def test_a_callback_that_names_the_values_it_wants(self, runtime):
        class Picky(gankit.Callback):
            seen: list[object] = []  # noqa: RUF012

            def fits(self, fields, images):
                self.seen += [fields, images]

            def on_step_end(self, run):
                pass

        class Callbacks:
            @gankit.hookimpl
            def register(self, registries):
                registries.callbacks.add("picky", Picky)

        runtime.load_plugin(Callbacks())
        self.check(runtime, {"name": "picky"})
        assert Picky.seen == [("source",), 32]
