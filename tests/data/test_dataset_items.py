"""Items of datasets: which forms are accepted, and one sentence for the others, in training and in `check_dataset`."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

import gankit
from gankit.data.datasets import classes_of, spec_of
from gankit.data.items import read_item
from gankit.data.loader import Loader
from gankit.recipe.sections import Loader as Settings
from gankit.testing import check_dataset

RGB = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)
TENSOR = torch.from_numpy(RGB).permute(2, 0, 1).contiguous()
GRAY = RGB[..., 0].copy()


class Items:
    """A dataset of one item, four times."""

    split = "train"

    def __init__(self, item, channels=3, classes=("a", "b")):
        self.item, self.classes = item, classes
        self.spec = gankit.ImageSpec(6, 8, channels)

    def prepare(self): ...

    def __len__(self):
        return 4

    def __getitem__(self, index):
        return self.item


def read_image(dataset):
    return read_item(dataset, 0, spec_of(dataset), classes_of(dataset) is not None)["image"]


def load(dataset, cache="memory"):
    spec = gankit.ImageSpec(6, 8, dataset.spec.channels, len(dataset.classes or ()))
    loader = Loader(dataset, spec, Settings(batch_size=2, cache=cache, workers=0), 0, torch.device("cpu"))
    loader.labels()
    return next(loader.stream(0))


@pytest.mark.parametrize("cache", ["memory", "none"])
@pytest.mark.parametrize("image", [TENSOR, RGB, Image.fromarray(RGB)], ids=["tensor", "array", "PIL"])
@pytest.mark.parametrize("label", [1, np.int64(1), np.array(1), torch.tensor(1), True], ids=lambda label: type(label).__name__)
def test_plain_items(image, label, cache):
    dataset = Items((image, label))
    check_dataset(dataset)
    batch = load(dataset, cache)
    assert torch.equal(batch.images[0], TENSOR.float() / 127.5 - 1)
    assert batch.labels.tolist() == [1, 1]


@pytest.mark.parametrize("image", [torch.from_numpy(GRAY)[None], GRAY, GRAY[..., None], Image.fromarray(GRAY)])
def test_gray_images(image):
    dataset = Items((image, 0), channels=1)
    check_dataset(dataset)
    assert torch.equal(read_image(dataset), torch.from_numpy(GRAY)[None])


def test_pil_images_get_the_channels_of_the_spec():
    assert torch.equal(read_image(Items((Image.fromarray(GRAY), 0))), torch.from_numpy(GRAY).expand(3, 6, 8))
    clear = Image.fromarray(np.dstack([RGB, np.zeros_like(GRAY)]))
    assert read_image(Items((clear, 0))).eq(255).all()  # on white, as files are


@pytest.mark.parametrize("item", [TENSOR, RGB, Image.fromarray(RGB), (TENSOR, None), [RGB, None], (TENSOR, 5)])
def test_without_classes_no_label_is_needed(item):
    dataset = Items(item, classes=None)
    check_dataset(dataset)
    assert load(dataset).labels is None
    assert torch.equal(read_image(dataset), TENSOR)


REFUSED = [
    ({"image": TENSOR, "lable": 0}, r"item 0 of dataset Items has 'lable', which its spec does not list; did you mean 'label'\?"),
    ({"picture": TENSOR, "label": 0}, r"item 0 of dataset Items has 'picture', which its spec does not list"),
    ({"label": 0}, r"item 0 of dataset Items has no 'image': it has 'label'"),
    ({"image": TENSOR}, "the label of item 0 of dataset Items is None; expected a class index"),
    ((TENSOR, 0, "x"), r"item 0 of dataset Items is a tuple of 3 \(Tensor, int, str\); expected \(image, label\)"),
    (TENSOR, r"is a tensor uint8 \[3, 6, 8\]; expected \(image, label\)$"),
    ((TENSOR, None), "the label of item 0 of dataset Items is None; expected a class index"),
    ((TENSOR, torch.tensor([0, 1])), r"the label of .* is a tensor int64 \[2\]; expected a class index"),
    ((TENSOR, torch.tensor(0.5)), r"the label of .* is a tensor float32 \[\]"),
    ((TENSOR, "cat"), "the label of .* is 'cat'"),
    ((TENSOR.float() / 255, 0), r"the image of .* is a tensor float32 \[3, 6, 8\]; expected a PIL image, a tensor uint8 \[3 h w\]"),
    ((RGB / 255, 0), r"the image of .* is an array float64 \[6, 8, 3\]"),
    ((RGB.transpose(2, 0, 1), 0), r"the image of .* is an array uint8 \[3, 6, 8\]; expected .* an array uint8 \[h w 3\]"),
    ((TENSOR[:1], 0), r"the image of .* is a tensor uint8 \[1, 6, 8\]"),
    (("cat.png", 0), "the image of .* is 'cat.png'; expected a PIL image"),
    ((Image.new("F", (8, 6)), 0), "the image of .* has 32 bits per pixel"),
]  # fmt: skip


REFUSED_WITHOUT_CLASSES = [
    ((TENSOR, 0, 1), r"expected \(image, label\) or only the image \(the dataset has no classes\)$"),
    ((TENSOR, "cat"), r"the label of .* is 'cat'; expected an int or None \(the dataset has no classes\)$"),
]


@pytest.mark.parametrize(("item", "message"), REFUSED_WITHOUT_CLASSES)
def test_other_items_are_refused_without_classes(item, message):
    with pytest.raises(gankit.DataError, match=message):
        read_image(Items(item, classes=None))


@pytest.mark.parametrize(("item", "message"), REFUSED)
def test_other_items_are_refused_in_one_sentence(item, message):
    dataset = Items(item)
    with pytest.raises(AssertionError, match=message):
        check_dataset(dataset)
    for cache in ("memory", "none"):
        with pytest.raises(gankit.DataError, match=message):
            load(dataset, cache)


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (TENSOR.expand(4, 3, 6, 8).float(), torch.zeros(4), r"returns images a tensor float32 \[4, 3, 6, 8\]; expected uint8 \[4 3 6 8\]"),
        (TENSOR.expand(3, 3, 6, 8), torch.zeros(3), r"returns images a tensor uint8 \[3, 3, 6, 8\]"),
        (TENSOR.expand(4, 3, 6, 8), torch.zeros(4), r"returns labels a tensor float32 \[4\]; expected int64 \[4\]"),
    ],
)  # fmt: skip
def test_whole_tensors_that_do_not_fit(images, labels, message):
    class Whole(Items):
        def tensors(self):
            return images, labels

    with pytest.raises(AssertionError, match=message):
        check_dataset(Whole((TENSOR, 0)))
    with pytest.raises(gankit.DataError, match=message):
        load(Whole((TENSOR, 0)))


class WholeArrays(Items):
    def tensors(self):
        return np.stack([RGB.transpose(2, 0, 1)] * 4), np.ones(4, np.int32)


def test_whole_tensors_may_be_arrays():
    check_dataset(WholeArrays((TENSOR, 1)))
    assert load(WholeArrays((TENSOR, 1))).labels.tolist() == [1, 1]


def test_a_dataset_without_spec_that_has_no_items_before_prepare():
    class Late:
        def __len__(self):
            return 3

        def __getitem__(self, index):
            return self.files[index]

    with pytest.raises(AttributeError, match="files") as caught:
        spec_of(Late())
    assert "gankit reads item 0 of dataset Late before prepare()" in caught.value.__notes__[0]


def test_the_item_that_a_dataset_fails_to_read():
    class Failing(Items):
        def __getitem__(self, index):
            return {}[index]

    with pytest.raises(KeyError) as caught:
        read_image(Failing(None))
    assert caught.value.__notes__ == ["gankit reads item 0 of dataset Failing"]
