"""Fingerprints depend on the content of a dataset, and on nothing else."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

import gankit
from gankit.data.fingerprint import data_fingerprint


class Listed:
    """A dataset of a list of items."""

    spec, classes = gankit.ImageSpec(4, 4, 3), ("even", "odd")

    def __init__(self, items, labels=None):
        self.items = items
        if labels is not None:
            self.labels = labels

    def __len__(self):
        return len(self.items)

    def __getitem__(self, index):
        return self.items[index], index % 2


def noise(count, seed=0):
    return list(torch.randint(0, 256, (count, 3, 4, 4), dtype=torch.uint8, generator=torch.manual_seed(seed)))


def test_equal_items_have_equal_fingerprints_and_others_do_not():
    images = noise(50)
    fingerprint = data_fingerprint(Listed(images))
    assert data_fingerprint(Listed([image.clone() for image in images])) == fingerprint
    assert data_fingerprint(Listed(images[:-1])) != fingerprint
    assert data_fingerprint(Listed(images, labels=[0] * 50)) != fingerprint
    assert data_fingerprint(Listed(images[::-1])) != fingerprint


def test_labels_count_where_only_some_items_are_read():
    images = noise(1000)
    labels = torch.zeros(1000, dtype=torch.int64)
    other = labels.clone()
    other[501] = 1
    assert data_fingerprint(Listed(images, labels)) != data_fingerprint(Listed(images, other))


def test_only_a_bounded_number_of_items_is_read():
    read = []

    class Counted(Listed):
        def __getitem__(self, index):
            read.append(index)
            return super().__getitem__(index)

    data_fingerprint(Counted(noise(1000)))
    assert len(read) < 50
    assert {0, 999} <= set(read)


@pytest.mark.parametrize("convert", [np.asarray, Image.fromarray])
def test_items_may_be_arrays_or_pil_images(convert):
    images = [convert(image.permute(1, 2, 0).numpy()) for image in noise(4)]
    assert data_fingerprint(Listed(images)) != data_fingerprint(Listed(images[::-1]))


def test_items_that_change_at_each_read_do_not_count():
    class Random(Listed):
        def __getitem__(self, index):
            return torch.randint(0, 256, (3, 4, 4), dtype=torch.uint8), 0

    assert data_fingerprint(Random([None] * 5)) == data_fingerprint(Random([None] * 5))
    assert data_fingerprint(Random([None] * 5)) != data_fingerprint(Random([None] * 6))


def test_an_unreadable_item_is_left_to_training():
    class Damaged(Listed):
        def __getitem__(self, index):
            if index == 1:
                raise gankit.DataError("damaged")
            return super().__getitem__(index)

    assert data_fingerprint(Damaged(noise(3))) != data_fingerprint(Listed(noise(3)))


def test_images_in_memory_count_completely():
    class InMemory(Listed):
        def tensors(self):
            return torch.stack(self.items), torch.arange(len(self.items))

    images = noise(1000)
    fingerprint = data_fingerprint(InMemory(images))
    images[501] = images[501] + 1
    assert data_fingerprint(InMemory(images)) != fingerprint


def test_the_method_of_the_dataset_is_used_first():
    class Own(Listed):
        def fingerprint(self):
            return self.items

    assert data_fingerprint(Own("abc")) == "abc"
    with pytest.raises(gankit.DataError, match=r"Own\.fingerprint\(\) returned 3; it should return a string"):
        data_fingerprint(Own(3))
