"""Fields of the data next to the image: which items fit, and how batches of them are read, cropped and mirrored."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import gankit
from gankit.data.loader import Loader
from gankit.data.resize import resize, resize_together
from gankit.recipe.sections import Loader as Settings
from gankit.testing import check_dataset

SIZE = 16


def scene(index, height, width, offset=0):
    """A picture uint8 [3 h w] whose pixels tell the item and, after any resizing, their place in it."""
    rows = np.linspace(0, 200, 4 * height).reshape(-1, 4).mean(1)[:, None] + np.zeros(width)
    columns = np.zeros((height, 1)) + np.linspace(0, 200, 4 * width).reshape(-1, 4).mean(1)
    return torch.from_numpy(np.stack([np.full((height, width), index + offset), rows, columns])).round().byte()


class Pairs:
    """Images, a source of a quarter of their size, a mask of one channel, and a vector that holds the index."""

    split, classes = "train", ("even", "odd")

    def __init__(self, count=12, height=SIZE, width=SIZE, independent=(), **changes):
        self.count, self.height, self.width, self.changes = count, height, width, changes
        self.spec = gankit.DataSpec(
            image=gankit.ImageSpec.any_size(3),
            source=gankit.ImageSpec.any_size(3, scale=1 / 4),
            mask=gankit.ImageSpec.any_size(1),
            place=gankit.VectorSpec(2),
            independent=independent,
        )

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        image = scene(index, self.height, self.width)
        item = {
            "image": image,
            "source": scene(index, self.height // 4, self.width // 4),
            "mask": image[:1],
            "place": [index, -index],
            "label": index % 2,
        }
        return {name: value for name, value in (item | self.changes).items() if value is not None}


class Attributes(Pairs):
    classes = None

    def __init__(self):
        super().__init__(label=None)
        self.spec = gankit.DataSpec(image=gankit.ImageSpec.any_size(3), label=gankit.VectorSpec(3))
        self.changes = dict.fromkeys(("source", "mask", "place"))

    def __getitem__(self, index):
        return super().__getitem__(index) | {"label": torch.tensor([index, 0.5, 1.0])}


class Whole(Pairs):
    def tensors(self):
        items = [self[index] for index in range(self.count)]
        stacked = {name: torch.stack([torch.as_tensor(item[name]) for item in items]) for name in items[0]}
        return stacked | {"place": stacked["place"].double()}

    def __getitem__(self, index):
        return super().__getitem__(index) | {"place": torch.tensor([index, -index], dtype=torch.float32)}


def load(dataset, height=SIZE, width=SIZE, classes=2, device="cpu", **keys):
    spec = dataset.spec.at_size(height, width, classes)
    return Loader(dataset, spec, Settings(batch_size=4, **({"workers": 0} | keys)), 3, torch.device(device))


def pixels(images):
    return images.add(1).mul(127.5).round().long()


@pytest.mark.parametrize("keys", [{"cache": "memory"}, {"cache": "none"}, {"cache": "none", "workers": 2}, {"cache": "device"}])
def test_a_batch_has_every_field_of_the_same_items(keys):
    check_dataset(Pairs())
    loader = load(Pairs(), **keys)
    stream = loader.stream(0)
    for start in (0, 4, 8, 12):
        batch, indices = next(stream), loader.order.at(start, 4).indices
        images, labels = batch
        assert torch.equal(pixels(images), torch.stack([scene(i, SIZE, SIZE) for i in indices]).long())
        assert torch.equal(pixels(batch["source"]), torch.stack([scene(i, 4, 4) for i in indices]).long())
        assert torch.equal(batch["mask"], images[:, :1])
        assert batch["place"].tolist() == [[i, -i] for i in indices]
        assert labels.tolist() == [i % 2 for i in indices]
        assert batch["image"] is images
    with pytest.raises(KeyError, match="no field 'sorce'; did you mean 'source'"):
        batch["sorce"]


def test_the_first_batches_are_those_of_a_dataset_without_further_fields():
    class Plain(Pairs):
        spec = gankit.ImageSpec.any_size(3)

        def __init__(self):
            self.count, self.height, self.width, self.changes = 12, SIZE, SIZE, dict.fromkeys(("source", "mask", "place"))

    settings = Settings(batch_size=4, flip=True, workers=0)
    plain = Loader(Plain(), gankit.ImageSpec(SIZE, SIZE, 3, 2), settings, 3, torch.device("cpu"))
    for position in (0, 4, 24):
        assert torch.equal(plain.at(position, 4).images, load(Pairs(), flip=True).at(position, 4).images)


@pytest.mark.parametrize("cache", ["memory", "none"])
def test_fields_are_mirrored_together_and_independent_ones_apart(cache):
    loader = load(Pairs(40), flip=True, cache=cache)
    batch = loader.at(0, 40)
    mirrored = pixels(batch.images)[:, 2, 0, 0] > 100
    assert mirrored.tolist() == loader.order.at(0, 40).flips.tolist()
    assert 8 < mirrored.sum() < 32
    assert torch.equal(pixels(batch["source"])[:, 2, 0, 0] > 100, mirrored)

    apart = load(Pairs(40, independent=["source"]), flip=True, cache=cache).at(0, 40)
    assert torch.equal(apart.images, batch.images)
    assert torch.equal(apart["place"], batch["place"])
    own = pixels(apart["source"])
    assert sorted(own[:, 0, 0, 0].tolist()) == list(range(40))
    assert own[:, 0, 0, 0].tolist() != pixels(apart.images)[:, 0, 0, 0].tolist()
    assert not torch.equal(own[:, 2, 0, 0] > 100, mirrored)


@given(
    st.sampled_from([(16, 16), (16, 24), (32, 16)]),
    st.integers(6, 40),
    st.integers(6, 40),
    st.sampled_from(["crop", "pad"]),
    st.none() | st.tuples(st.floats(0, 1, exclude_max=True), st.floats(0, 1, exclude_max=True)),
)
@settings(max_examples=150, deadline=None)
def test_fields_of_another_scale_stay_aligned(size, height, width, fit, window):
    """Each pixel of the small field covers 4 x 4 pixels of the image, at any place of the crop."""
    image, small = scene(0, 4 * height, 4 * width)[None], scene(0, height, width)[None]
    assume(min(size[0] * width, size[1] * height) * 4 >= max(size[0] * width, size[1] * height))
    assume(fit == "crop" or min(size) / 4 * min(height, width) / max(height, width) >= 2.5)
    large, little = resize_together([image, small], [size, (size[0] // 4, size[1] // 4)], fit, window)
    assert large.shape[-2:] == size
    reduced = torch.nn.functional.avg_pool2d(large.float(), 4)
    for channel in (1, 2):
        inside = slice(1, -1) if min(little.shape[-2:]) > 2 else slice(None)
        difference = (reduced - little.float())[0, channel][inside, inside].abs()
        per_pixel = 200 / min(height, width, *little.shape[-2:])
        assert difference.max() <= 1 + 0.5 * per_pixel


def test_random_crops_come_from_the_whole_image_and_are_the_same_when_read_again():
    wide = Pairs(60, SIZE, 4 * SIZE)
    loader = load(wide, crop="random", flip=False)
    batch = loader.at(0, 60)
    lefts = pixels(batch.images)[:, 2, 0, 0]
    assert lefts.min() < 25
    assert lefts.max() > 125  # the last place begins at 3/4 of 200
    assert torch.equal(batch["mask"], batch.images[:, :1])
    assert (pixels(batch["source"])[:, 2, 0, 0] - lefts).abs().max() <= 8
    assert torch.equal(loader.at(0, 60).images, batch.images)
    assert not torch.equal(loader.at(60, 60).images.sort(0).values, batch.images.sort(0).values)
    centered = pixels(load(wide).at(0, 60).images)[:, 2, 0, 0]
    assert centered.unique().numel() == 1


def test_random_crops_need_images_that_are_not_cached():
    with pytest.raises(ValueError, match="cache: auto or none"):
        Settings(crop="random", cache="memory")
    with pytest.raises(ValueError, match="fit: crop"):
        Settings(crop="random", fit="pad")


def test_labels_may_be_vectors():
    check_dataset(Attributes())
    loader = load(Attributes(), classes=0)
    assert loader.at(0, 4).labels.tolist() == [[i, 0.5, 1.0] for i in loader.order.at(0, 4).indices]
    assert loader.at(0, 4).fields == {}


def test_tensors_of_all_items():
    check_dataset(Whole())
    batch, expected = load(Whole()).at(0, 12), load(Pairs()).at(0, 12)
    for name in ("image", "source", "mask", "place"):
        assert torch.equal(batch[name], expected[name])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"source": None}, "item \\d+ of dataset Pairs has no 'source': it has 'image', 'mask', 'place', 'label'"),
        ({"sourc": 1}, "item \\d+ of dataset Pairs has 'sourc', which its spec does not list; did you mean 'source'"),
        ({"source": torch.zeros(3, 4, 4)}, r"the source of item \d+ .* is a tensor float32 \[3, 4, 4\]; expected a PIL image"),
        ({"mask": torch.zeros(3, 16, 16, dtype=torch.uint8)}, r"the mask of item \d+ .* expected .* uint8 \[1 h w\]"),
        ({"place": [1, 2, 3]}, r"the place of item \d+ of dataset Pairs is a list of 3 .*; expected a vector of 2 numbers"),
        ({"place": "ab"}, "the place of item \\d+ of dataset Pairs is 'ab'; expected a vector of 2 numbers"),
        ({"place": [math.nan, 1]}, "the place of item \\d+ of dataset Pairs has NaN or infinite numbers"),
        ({"label": None}, "the label of item \\d+ of dataset Pairs is None"),
    ],
)
def test_items_that_do_not_fit(changes, message):
    dataset = Pairs(**changes)
    with pytest.raises(AssertionError, match=message):
        check_dataset(dataset)
    for cache in ("memory", "none"):
        with pytest.raises(gankit.DataError, match=message):
            load(dataset, cache=cache).at(0, 4)


def test_fields_of_another_aspect_ratio_are_refused():
    dataset = Pairs(source=scene(0, 4, 9))
    with pytest.raises(gankit.DataError, match="the fields of item .* 4 x 9 pixels have another aspect ratio than 16 x 16"):
        load(dataset).at(0, 4)
    assert load(dataset, fit="stretch").at(0, 4)["source"].shape == (4, 3, 4, 4)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"labels": gankit.VectorSpec(3)}, "cannot be called 'labels'"),
        ({"label": gankit.ImageSpec.any_size(3)}, "the field 'label' should be a VectorSpec"),
        ({"source": gankit.VectorSpec(3), "independent": ["sorce"]}, "no field 'sorce'; did you mean 'source'"),
    ],
)
def test_specs_that_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        gankit.DataSpec(image=gankit.ImageSpec.any_size(3), **fields)


def test_a_size_that_is_no_whole_number_of_pixels():
    with pytest.raises(ValueError, match="18 x 16 pixels times the scale 0.25 of the field 'source' are 4.5 x 4"):
        Pairs().spec.at_size(18, 16)


def test_replace_adds_rows_for_each_image():
    batch = gankit.Batch(torch.zeros(4, 3, 2, 2), torch.arange(4), {"source": torch.arange(4.0)})
    pooled = batch.replace(pooled=torch.arange(8.0).reshape(4, 2))
    part = pooled.rows(slice(1, 3))
    assert part["pooled"].tolist() == [[2, 3], [4, 5]]
    assert (part.labels.tolist(), part["source"].tolist(), len(part.images)) == ([1, 2], [1, 2], 2)
    assert "pooled" not in batch.fields
    assert batch.replace(images=torch.ones(4, 3, 2, 2)).images.min() == 1
    with pytest.raises(ValueError, match=r"pooled is \[3\] for a batch of 4 images"):
        batch.replace(pooled=torch.zeros(3))


def test_one_field_is_resized_as_before():
    image = scene(0, 20, 31)[None]
    for fit in ("crop", "pad", "stretch"):
        assert torch.equal(resize_together([image], [(8, 12)], fit)[0], resize(image, 8, 12, fit))
