"""A part of a dataset: the classes and the random share that remain."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import gankit
from gankit.testing import check_dataset
from gankit_datasets import ImageFolder, Shapes, Subset


class Torchvision:
    """Labels are only in the items."""

    classes = ("a", "b", "c")
    spec = gankit.ImageSpec(4, 4, 1)

    def __init__(self, count: int = 30) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int):
        return torch.full((1, 4, 4), index, dtype=torch.uint8), index % 3


class Fields(Torchvision):
    classes = None
    spec = gankit.DataSpec(image=gankit.ImageSpec(4, 4, 1), source=gankit.ImageSpec(4, 4, 1), independent=["source"])

    def __getitem__(self, index: int):
        return {"image": super().__getitem__(index)[0], "source": super().__getitem__(index + 100)[0]}

    def held_out(self):
        return Fields(5)


def prepared(dataset: gankit.Dataset, **params) -> Subset:
    subset = Subset(dataset=dataset, **params)
    subset.prepare()
    return subset


def kept(subset: Subset) -> list[int]:
    return [int(subset[i]["image"][0, 0, 0]) for i in range(len(subset))]


@given(st.lists(st.sampled_from("abc"), min_size=1), st.none() | st.floats(0.06, 1), st.integers(0, 3))
@settings(max_examples=60, deadline=None)
def test_classes_keep_their_order_and_images_their_class(wanted, fraction, seed):
    subset = prepared(Torchvision(), classes=wanted, fraction=fraction, seed=seed)
    assert subset.classes == tuple(sorted(set(wanted)))
    indices = kept(subset)
    candidates = [i for i in range(30) if "abc"[i % 3] in wanted]
    assert indices == sorted(set(indices))
    assert set(indices) <= set(candidates)
    assert len(indices) == (len(candidates) if fraction is None else round(fraction * len(candidates)))
    assert [subset.classes[label] for label in subset.labels.tolist()] == ["abc"[i % 3] for i in indices]
    assert [int(subset[i]["label"]) for i in range(len(subset))] == subset.labels.tolist()


def test_of_a_dataset_in_memory():
    shapes = Shapes(count=60, size=8)
    subset = prepared(shapes, classes=["triangle", "circle"])
    check_dataset(subset)
    images, labels = shapes.tensors()
    assert torch.equal(subset.tensors()["image"], images[labels != 1])
    assert torch.equal(subset.tensors()["label"], labels[labels != 1] // 2)
    counts = [int((labels == label).sum()) for label in (0, 2)]
    assert subset.describe().summary == f"{sum(counts)} of 60 items, classes: circle {counts[0]}, triangle {counts[1]}"
    assert subset.split == "train"
    one = prepared(shapes, classes=["square"])
    assert (one.classes, set(one.labels.tolist()), len(one)) == (("square",), {0}, 60 - sum(counts))


def test_of_a_dataset_that_finds_its_classes(put, class_files):
    subset = Subset(dataset=ImageFolder(path=put(class_files)), classes=["c", "a"])
    assert len(subset.classes) == 2
    assert not hasattr(subset, "tensors")
    subset.prepare()
    check_dataset(subset)
    assert (subset.classes, subset.labels.tolist()) == (("a", "c"), [0] * 4 + [1] * 4)
    assert subset.describe().summary == "8 of 12 items, classes: a 4, c 4"
    subset = Subset(dataset=ImageFolder(path=put(class_files)), classes=["x"])
    with pytest.raises(gankit.DataError, match="classes: the dataset has no class 'x'; known: a, b, c"):
        subset.prepare()


def test_further_fields_and_held_out_items_remain():
    subset = prepared(Fields(), count=7)
    check_dataset(subset)
    assert subset.spec == Fields.spec
    assert [int(subset[i]["source"][0, 0, 0]) - 100 for i in range(7)] == kept(subset)
    assert len(subset.held_out()) == 5
    assert subset.labels is None
    assert subset.describe().summary == "7 of 30 items"


def test_the_held_out_items_are_of_the_same_classes(put, png):
    images = put({f"{folder}/{i}.png": png(10 * number + i) for number, folder in enumerate("ab") for i in range(10)})
    subset = prepared(ImageFolder(path=images, test_fraction=0.4), classes=["b"])
    held_out = subset.held_out()
    assert 0 < len(held_out) < 10
    assert len(subset) + len(held_out) == 10
    assert held_out.classes == ("b",)


def test_a_random_share_depends_on_the_seed_alone():
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first = kept(prepared(Torchvision(), count=10))
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    assert kept(prepared(Torchvision(), count=10)) == kept(prepared(Torchvision(), fraction=1 / 3)) == first
    assert set(first) < set(kept(prepared(Torchvision(), count=20)))
    assert kept(prepared(Torchvision(), count=10, seed=1)) != first != list(range(10))


def test_the_fingerprint_depends_on_what_is_kept():
    params = [{"classes": ["a"]}, {"classes": ["b"]}, {"count": 9}, {"count": 9, "seed": 1}, {"fraction": 0.5}]
    prints = [prepared(Torchvision(), **each).fingerprint() for each in params]
    prints += [prepared(Torchvision(31), classes=["b"]).fingerprint()]
    assert len(set(prints)) == 6
    one, two = (prepared(Torchvision(1), classes=names) for names in (["a"], ["a", "b"]))
    assert one.fingerprint() != two.fingerprint()
    assert prepared(Torchvision(), fraction=9 / 30).fingerprint() == prints[2]


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({}, "it would be the whole dataset; give `classes`, `fraction` or `count`"),
        ({"count": 3, "fraction": 0.5}, "give either `fraction` or `count`; got 0.5 and 3"),
        ({"classes": ["circle", "squares"]}, "the dataset has no class 'squares'; did you mean 'square'"),
    ],
)
def test_parameters_that_are_refused(params, message):
    with pytest.raises(ValueError, match=message):
        Subset(dataset=Shapes(count=9, size=8), **params)


def test_data_that_is_refused(put, png):
    with pytest.raises(ValueError, match="the dataset has no classes; leave out `classes`"):
        Subset(dataset=Fields(), classes=["a"])
    with pytest.raises(gankit.DataError, match="the dataset has no classes; leave out `classes`"):
        prepared(ImageFolder(path=put({"1.png": png(0)})), classes=["a"])
    with pytest.raises(gankit.DataError, match="count is 11, but there are only 10 items; lower it"):
        prepared(Torchvision(), classes=["a"], count=11)
    with pytest.raises(gankit.DataError, match="no items are left in a fraction of 0.001 of 30 items; raise `fraction`"):
        prepared(Torchvision(), fraction=0.001)
    with pytest.raises(RuntimeError, match="call prepare"):
        len(Subset(dataset=Torchvision(), count=1))
