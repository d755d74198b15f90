"""``loader.fit``: how images of another aspect ratio are resized."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

import gankit
from gankit.data.loader import Loader
from gankit.data.resize import resize
from gankit.evaluation.real_dataset import RealDataset
from gankit.evaluation.real_images import RealImages
from gankit.recipe.sections import Loader as Settings

SMOOTH = Image.fromarray(np.random.default_rng(0).integers(0, 256, (4, 5, 3)).astype(np.uint8))


def tensor(picture: Image.Image) -> torch.Tensor:
    return torch.from_numpy(np.asarray(picture).copy()).permute(2, 0, 1)[None]


@pytest.mark.parametrize(("old", "new"), [((40, 60), (16, 16)), ((60, 40), (16, 24)), ((10, 20), (32, 32)), ((1, 50), (8, 8))])
class TestFit:
    def picture(self, old):
        return SMOOTH.resize(old[::-1], Image.Resampling.BICUBIC)

    def test_stretch_agrees_with_pillow(self, old, new):
        picture = self.picture(old)
        expected = tensor(picture.resize(new[::-1], Image.Resampling.BILINEAR)).int()
        assert (resize(tensor(picture), *new, fit="stretch").int() - expected).abs().max() <= 1

    def test_pad_keeps_the_whole_image_on_black(self, old, new):
        picture = self.picture(old)
        scale = min(new[0] / old[0], new[1] / old[1])
        height, width = (max(1, round(side * scale)) for side in old)
        expected = np.zeros((*new, 3), int)
        top, left = (new[0] - height) // 2, (new[1] - width) // 2
        expected[top : top + height, left : left + width] = picture.resize((width, height), Image.Resampling.BILINEAR)
        given = resize(tensor(picture), *new, fit="pad")[0].permute(1, 2, 0).numpy()
        assert np.abs(given.astype(int) - expected).max() <= 1

    def test_crop_is_the_default(self, old, new):
        images = tensor(self.picture(old))
        assert torch.equal(resize(images, *new), resize(images, *new, fit="crop"))


def test_padding_is_transparent():
    images = torch.full((1, 4, 4, 8), 200, dtype=torch.uint8)
    assert resize(images, 8, 8, fit="pad")[0, :, 0, 0].tolist() == [0, 0, 0, 0]


def test_images_of_the_same_aspect_ratio_do_not_depend_on_fit():
    images = tensor(SMOOTH.resize((40, 20)))
    results = [resize(images, 8, 16, fit=fit) for fit in ("crop", "pad", "stretch")]
    assert torch.equal(results[0], results[1])
    assert torch.equal(results[0], results[2])


class Wide:
    split, classes = "train", None
    spec = gankit.ImageSpec.any_size(3)

    def prepare(self): ...

    def __len__(self):
        return 4

    def __getitem__(self, index):
        return SMOOTH.resize((40 + index, 20)), None


@pytest.mark.parametrize("cache", ["memory", "none"])
def test_the_loader_fits_as_the_recipe_says(cache):
    batches = {}
    for fit in ("crop", "pad", "stretch"):
        settings = Settings(batch_size=4, cache=cache, workers=0, fit=fit)
        loader = Loader(Wide(), gankit.ImageSpec(8, 8, 3), settings, 0, torch.device("cpu"))
        batches[fit] = loader.at(0, 4).images
        index = int(loader.order.at(0, 1)[0][0])
        expected = resize(tensor(Wide()[index][0]), 8, 8, fit=fit)[0].float() / 127.5 - 1
        assert torch.equal(batches[fit][0], expected)
    assert (batches["pad"][:, :, 0] == -1).all()
    assert not torch.equal(batches["crop"], batches["stretch"])


def test_real_images_of_an_evaluation_fit_as_in_training():
    spec = gankit.ImageSpec(8, 8, 3)
    real = RealImages(RealDataset("wide", {}, Wide(), "pad"), spec, 4)
    (images,) = real.batches()
    assert torch.equal(images, torch.cat([resize(tensor(Wide()[index][0]), 8, 8, fit="pad") for index in range(4)]))
