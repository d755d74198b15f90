"""Batches of real images: their order, pixels, caches, workers and errors."""

from __future__ import annotations

import itertools
import multiprocessing

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import gankit
from gankit.data.loader import Loader
from gankit.data.order import Order
from gankit.data.resize import resize, to_float, to_uint8
from gankit.recipe.sections import Loader as Settings


class RandomImages:
    split, classes = "train", None

    def __init__(self, count, side=12):
        self.count, self.spec = count, gankit.ImageSpec(side, side, 3)

    def prepare(self): ...

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        random = torch.Generator().manual_seed(index)
        shape = (3, self.spec.height, self.spec.width)
        return torch.randint(0, 256, shape, dtype=torch.uint8, generator=random), index % 3


def loader(count=20, side=12, size=8, seed=0, classes=3, **settings):
    image = gankit.ImageSpec(size, size, 3, classes)
    return Loader(RandomImages(count, side), image, Settings(**{"batch_size": 4, **settings}), seed, torch.device("cpu"))


@given(st.integers(1, 40), st.integers(0, 2**62), st.integers(0, 5), st.integers(1, 30))
@settings(max_examples=60, deadline=None)
def test_the_order_is_an_endless_stream_of_permutations(count, seed, start, length):
    whole = Order(count, seed).at(0, start + length + 2 * count).indices
    for epoch in range(len(whole) // count):
        assert sorted(whole[epoch * count : (epoch + 1) * count]) == list(range(count))
    cut = Order(count, seed).at(start, length).indices
    assert np.array_equal(cut, whole[start : start + length])


def test_the_order_differs_by_epoch_and_seed():
    order = Order(50, 1)
    assert not np.array_equal(order.at(0, 50)[0], order.at(50, 50)[0])
    assert not np.array_equal(order.at(0, 50)[0], Order(50, 2).at(0, 50)[0])


def test_a_random_half_is_mirrored_in_each_epoch():
    order = Order(2000, 0, flip=True)
    first, second = order.at(0, 2000)[1], order.at(2000, 2000)[1]
    assert first.mean() == pytest.approx(0.5, abs=0.05)
    assert (first != second).mean() == pytest.approx(0.5, abs=0.05)
    assert not Order(2000, 0, flip=False).at(0, 2000)[1].any()


@pytest.mark.parametrize("cache", ["auto", "memory", "device", "none"])
@pytest.mark.parametrize(("side", "size"), [(12, 8), (8, 12), (12, 12)])
def test_batches_are_the_same_with_each_cache(cache, side, size):
    plain = loader(side=side, size=size, cache="none", workers=0, flip=True)
    other = loader(side=side, size=size, cache=cache, workers=0, flip=True)
    for position in (0, 4, 18, 37):
        one, two = plain.at(position, 4), other.at(position, 4)
        assert torch.equal(one.images, two.images)
        assert torch.equal(one.labels, two.labels)


@pytest.mark.parametrize(
    "settings_", [{"cache": "memory"}, {"cache": "none", "workers": 0}, {"cache": "none", "workers": 2}]
)
def test_the_stream_has_the_batches_of_consecutive_positions(settings_):
    made = loader(**settings_)
    for number, batch in enumerate(itertools.islice(made.stream(8), 12)):
        expected = made.at(8 + number * 4, 4)
        assert torch.equal(batch.images, expected.images)
        assert torch.equal(batch.labels, expected.labels)


def test_images_are_in_minus_one_to_one_and_mirrored_by_the_order():
    made = loader(size=12, flip=True)
    indices, flips, _ = made.order.at(0, 20)
    for position, (index, flip) in enumerate(zip(indices, flips, strict=True)):
        expected = RandomImages(20)[int(index)][0].float() / 255 * 2 - 1
        image = made.at(position, 1).images[0]
        assert torch.allclose(image, expected.flip(-1) if flip else expected, atol=1e-6)
    assert 0 < flips.sum() < 20


def test_batches_have_labels_only_with_classes():
    assert loader(classes=0).at(0, 4).labels is None
    made = loader()
    assert made.at(0, 4).labels.tolist() == [int(index) % 3 for index in made.order.at(0, 4)[0]]
    assert made.labels().tolist() == [index % 3 for index in range(20)]


def test_first_images_of_given_classes():
    made = loader(size=12)
    images = made.first_images(6, [2, 2, 2, 0, 0, 1])
    order = [int(index) for index in made.order.at(0, 20)[0]]
    of_class = {k: [index for index in order if index % 3 == k] for k in range(3)}
    expected = [*of_class[2][:3], *of_class[0][:2], of_class[1][0]]
    assert torch.equal(images, torch.stack([RandomImages(20)[index][0] for index in expected]))


def test_first_images_of_a_class_without_images_are_black():
    images = loader(size=12).first_images(3, [1, 7, 1])
    assert not images[1].any()
    assert images[0].any()
    assert images[2].any()


class DamagedImages(RandomImages):
    def __getitem__(self, index):
        if index == 3:
            raise gankit.DataError("pictures/3.png: is damaged")
        return super().__getitem__(index)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_damaged_image_in_the_stream_gives_one_message(workers):
    settings = Settings(batch_size=4, cache="none", workers=workers)
    made = Loader(DamagedImages(8), gankit.ImageSpec(8, 8, 3), settings, 0, torch.device("cpu"))
    with pytest.raises(gankit.DataError) as caught:
        list(itertools.islice(made.stream(0), 2))
    assert str(caught.value) == "pictures/3.png: is damaged"
    assert not multiprocessing.active_children()  # although the traceback of the error is still there


@pytest.mark.parametrize(
    ("count", "message"),
    [
        (0, "the dataset is empty"),
        (1, "a batch of 4 is larger than the dataset, which has 1 image;"),
        (3, "has 3 images; lower loader.batch_size"),
    ],
)
def test_datasets_smaller_than_a_batch_are_refused(count, message):
    with pytest.raises(gankit.DataError, match=message):
        loader(count)


@pytest.mark.parametrize(("side", "cached"), [(6, 6), (12, 8)])
def test_images_are_cached_at_the_smaller_size(side, cached):
    class Whole(RandomImages):
        def tensors(self):
            return torch.stack([self[index][0] for index in range(9)]), torch.zeros(9, dtype=torch.int64)

    settings = Settings(batch_size=2, cache="memory")
    made = Loader(Whole(9, side), gankit.ImageSpec(8, 8, 3), settings, 0, torch.device("cpu"))
    assert made.source.tensors["image"].shape == (9, 3, cached, cached)
    assert made.at(0, 2).images.shape == (2, 3, 8, 8)


def test_an_automatic_cache_counts_the_bytes_that_it_takes(monkeypatch):
    monkeypatch.setattr("gankit.data.image_cache.CACHE_LIMIT_BYTES", 9 * 3 * 16 * 16 - 1)
    for side, in_memory in ((16, False), (15, True)):
        made = Loader(RandomImages(9, 4), gankit.ImageSpec(side, side, 3), Settings(batch_size=2), 0, torch.device("cpu"))
        assert hasattr(made.source, "tensors") == in_memory


def test_items_of_another_dtype_are_refused():
    class Floats(RandomImages):
        def __getitem__(self, index):
            return super().__getitem__(index)[0].float(), 0

    with pytest.raises(
        gankit.DataError, match=r"the image of item 0 of dataset Floats is a tensor float32 \[3, 12, 12\]; expected"
    ):
        Loader(Floats(9), gankit.ImageSpec(12, 12, 3), Settings(batch_size=2), 0, torch.device("cpu"))


@pytest.mark.parametrize(
    ("old", "new"), [((40, 40), (16, 16)), ((50, 30), (16, 16)), ((20, 44), (24, 8)), ((9, 9), (32, 32))]
)
def test_resize_agrees_with_pillow(old, new):
    """Antialiased bilinear interpolation of the short side, then a center crop; Pillow rounds twice."""
    random = np.random.default_rng(0)
    smooth = random.integers(0, 256, (4, 5, 3)).astype(np.uint8)
    picture = Image.fromarray(smooth).resize(old[::-1], Image.Resampling.BICUBIC)
    scale = max(new[0] / old[0], new[1] / old[1])
    height, width = (max(target, round(side * scale)) for target, side in zip(new, old, strict=True))
    resized = np.asarray(picture.resize((width, height), Image.Resampling.BILINEAR))
    top, left = (height - new[0]) // 2, (width - new[1]) // 2
    expected = resized[top : top + new[0], left : left + new[1]].astype(int)
    ours = resize(torch.from_numpy(np.asarray(picture).copy()).permute(2, 0, 1)[None], *new)[0].permute(1, 2, 0).numpy()
    assert np.abs(ours.astype(int) - expected).max() <= 1


def test_to_uint8_is_the_inverse_of_to_float():
    every = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)
    assert torch.equal(to_uint8(to_float(every)), every)
    assert to_uint8(torch.tensor([-3.0, 3.0])).tolist() == [0, 255]


@given(st.lists(st.integers(1, 9), min_size=1, max_size=12), st.integers(1, 5), st.integers(0, 30))
def test_items_of_blocks_stay_together(sizes, together, seed):
    count, ends = sum(sizes), np.cumsum(sizes)
    block_of = np.searchsorted(ends, np.arange(count), side="right")
    order = Order(count, seed, blocks=gankit.Blocks(sizes, together))
    for epoch in range(2):
        indices = order.at(epoch * count, count).indices
        assert sorted(indices) == [*range(count)]
        position, seen = 0, []
        while position < count:
            group = [*dict.fromkeys(block_of[indices[position:]])]
            size = 0  # the group ends where all of its blocks are complete
            for blocks in range(1, together + 1):
                size = sum(sizes[block] for block in group[:blocks])
            assert {*block_of[indices[position : position + size]]} == {*group[:together]}
            seen += group[:together]
            position += size
        assert sorted(seen) == [*range(len(sizes))]
    cut = Order(count, seed, blocks=gankit.Blocks(sizes, together)).at(count // 2, count).indices
    assert np.array_equal(cut, order.at(0, 2 * count).indices[count // 2 :][:count])


def test_blocks_and_their_items_are_shuffled():
    blocks = gankit.Blocks([50] * 20, 2)
    first, second = (Order(1000, 0, blocks=blocks).at(epoch * 1000, 1000).indices for epoch in range(2))
    assert not np.array_equal(first, second)
    assert {*(first[:100] // 50)} != {0, 1}
    assert not np.array_equal(first[:100], np.sort(first[:100]))
    assert len({*(first[:20] // 50)}) == 2  # two blocks are mixed
