"""Pairs made from images: that they stay aligned, and what they depend on."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

import gankit
from gankit.data.loader import Loader
from gankit.recipe.sections import Loader as Settings
from gankit.testing import check_dataset
from gankit_datasets import Derived, ImageFolder, Shapes, Unpaired

KINDS = ("gray", "downscale", "edges", "hole", "noise", "blur")


class Smooth:
    """Random smooth pictures, whose sizes differ; on the left of each, there is a dark bar."""

    classes = None

    def __init__(self, count: int = 8, height: int = 40, width: int = 56, channels: int = 3, **fields) -> None:
        self.count, self.height, self.width = count, height, width
        self.spec = gankit.DataSpec(image=gankit.ImageSpec.any_size(channels), **fields)

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int):
        random = torch.Generator().manual_seed(index)
        coarse = torch.rand(1, self.spec.image.channels, 4, 6, generator=random)
        size = self.height + 3 * (index % 2), self.width + index % 3
        image = F.interpolate(coarse, size=size, mode="bilinear")[0].mul(255).byte()
        image[..., : self.width // 4] //= 4
        return image


class Vectors(Smooth):
    def __getitem__(self, index: int):
        return {"image": super().__getitem__(index), "label": [index, 0.5]}


class InMemory(Shapes):
    def __init__(self, channels: int) -> None:
        super().__init__(count=12, size=20)
        self.spec = gankit.ImageSpec(20, 20, channels)

    def tensors(self):
        images, labels = super().tensors()
        return images[:, : self.spec.channels], labels

    def __getitem__(self, index: int):
        image, label = super().__getitem__(index)
        return image[: self.spec.channels], label


def derive(dataset: gankit.Dataset, source: str, **params) -> Derived:
    derived = Derived(dataset=dataset, source=source, **params)
    derived.prepare()
    return derived


@pytest.mark.parametrize("kind", KINDS)
def test_an_item_depends_on_seed_and_index_alone(kind):
    torch.manual_seed(0)
    first = derive(Smooth(), kind)
    item, state = first[5]["source"], torch.get_rng_state()
    torch.rand(3)
    np.random.seed(1)
    for _ in range(2):
        assert torch.equal(first[5]["source"], item)
    assert torch.equal(derive(Smooth(), kind)[5]["source"], item)
    assert torch.equal(derive(Smooth(), kind, seed=1)[5]["source"], item) == (kind not in ("hole", "noise"))
    torch.set_rng_state(state)
    derive(Smooth(), kind)[0]
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("channels", [1, 3])
def test_data_in_memory_stays_there(kind, channels):
    if kind == "gray" and channels == 1:
        with pytest.raises(ValueError, match="source 'gray' would equal the image, which has 1 channel"):
            derive(InMemory(channels), kind)
        return
    derived = derive(InMemory(channels), kind)
    check_dataset(derived)
    tensors = derived.tensors()
    for index in range(12):
        assert torch.equal(tensors["source"][index], derived[index]["source"])
    assert derived.spec["source"].channels == (1 if kind in ("gray", "edges") else channels)
    assert derived.classes == Shapes.classes
    assert derived.labels.tolist() == tensors["label"].tolist() == Shapes(count=12, size=20).labels.tolist()


def test_items_are_read_in_parts(monkeypatch):
    """The random numbers of an item do not depend on the part that it is in."""
    monkeypatch.setattr("gankit_datasets.derived.CHUNK", 5)
    derived = derive(Shapes(count=12, size=9), "noise", size=16)
    check_dataset(derived)
    assert derived.spec.shape_of("source") == (3, 16, 16)
    assert torch.equal(derived.tensors()["source"], torch.stack([derived[i]["source"] for i in range(12)]))
    assert not hasattr(derive(Smooth(), "gray"), "tensors")


class TestTheLoader:
    @pytest.mark.parametrize("keys", [{"crop": "random"}, {"cache": "memory"}, {"cache": "none", "workers": 2}, {"fit": "pad"}])
    @pytest.mark.parametrize("size", [None, 32])
    def test_a_downscaled_source_stays_aligned(self, keys, size):
        derived = derive(Smooth(12, 70, 110), "downscale", scale=4, size=size)
        check_dataset(derived)
        batch = self.batch(derived, 12, **keys)
        assert batch["source"].shape == (12, 3, 8, 8)
        reduced = F.avg_pool2d(batch.images, 4)
        for left, right in zip(reduced, batch["source"], strict=True):
            own = (left - right).abs().mean()
            assert own < 0.06
            assert all((left.roll(by, dims) - right).abs().mean() > 1.5 * own for by in (-1, 1) for dims in (1, 2))
        bars = (batch["source"][..., :2].mean((1, 2, 3)) < batch["source"][..., -2:].mean((1, 2, 3))).tolist()
        assert set(bars) == {True, False}  # the bar is mirrored with its picture

    @pytest.mark.parametrize("kind", KINDS)
    def test_with_size_the_source_is_that_of_the_images_seen(self, kind):
        """Nothing is resized again: the loader only crops."""
        derived = derive(Smooth(6, 70, 110), kind, size=32, scale=4)
        batch = self.batch(derived, 6, flip=False, crop="random")
        images, sources = (batch[name].add(1).mul(127.5).round().byte() for name in ("image", "source"))
        factor = images.shape[-1] // sources.shape[-1]
        assert factor == (4 if kind == "downscale" else 1)
        for image, source in zip(images, sources, strict=True):
            items = [derived[i] for i in range(6)]
            places = [
                torch.equal(item["image"][..., left : left + 32], image)
                and torch.equal(item["source"][..., left // factor : left // factor + 32 // factor], source)
                for item in items
                for left in range(0, item["image"].shape[-1] - 31, factor)
            ]
            assert sum(places) == 1

    @staticmethod
    def batch(dataset, count, **keys):
        settings = Settings(batch_size=count, **({"workers": 0, "flip": True} | keys))
        return next(Loader(dataset, dataset.spec.at_size(32, 32), settings, 3, torch.device("cpu")).stream(0))


@given(st.integers(1, 60), st.integers(1, 60), st.sampled_from([2, 4, 8]), st.sampled_from([None, 8, 24]))
@settings(max_examples=100, deadline=None)
def test_sizes_are_multiples_of_the_scale(height, width, scale, size):
    class OneSize(Smooth):
        def __getitem__(self, index):
            return torch.zeros(3, height, width, dtype=torch.uint8)

    derived = derive(OneSize(), "downscale", scale=scale, size=size)
    if size is None and min(height, width) < scale:
        with pytest.raises(gankit.DataError, match=f"image 3 is {height} x {width} pixels, .* too small to be downscaled by"):
            derived[3]
        return
    item = derived[3]
    (new_height, new_width), source = item["image"].shape[1:], item["source"].shape[1:]
    assert tuple(source) == (new_height / scale, new_width / scale)
    if size is None:
        assert 0 <= height - new_height < scale
        assert 0 <= width - new_width < scale
    else:
        assert min(new_height, new_width) == size
        aspect = min(max(height, width) / min(height, width), 8)
        assert -0.51 <= size * aspect - max(new_height, new_width) < scale + 0.51


def test_what_the_wrapped_dataset_knows_passes_through(put, png):
    files = {f"{folder}/{i}.png": png(i) for folder in "ab" for i in range(9)} | {"x.txt": b"x"}
    derived = derive(ImageFolder(path=put(files), test_fraction=0.4), "gray")
    check_dataset(derived)
    inner = ImageFolder(path=derived.dataset.path, test_fraction=0.4)
    inner.prepare()
    assert derived.describe().summary == f"{inner.describe().summary}; source: gray"
    assert derived.describe().skipped == inner.describe().skipped
    assert (derived.classes, derived.split) == (("a", "b"), "train")
    assert np.array_equal(derived.labels, inner.labels)
    assert [int(derived[i]["label"]) for i in range(len(derived))] == inner.labels.tolist()
    assert len(derived.held_out()) == 18 - len(derived)
    assert derived.held_out()[0]["source"].shape == (1, 6, 8)


def test_held_out_data():
    assert not hasattr(derive(Smooth(), "gray"), "held_out")
    held_out = derive(Smooth(8), "hole", held_out=Smooth(3, 20, 20), hole=0.3, seed=4).held_out()
    assert len(held_out) == 3
    assert torch.equal(held_out[2]["source"], derive(Smooth(3, 20, 20), "hole", hole=0.3, seed=4)[2]["source"])
    with pytest.raises(ValueError, match=r"held-out data has the fields image \(1 channels\), .*; expected those of"):
        derive(Smooth(), "blur", held_out=Smooth(channels=1))


def test_the_fingerprint_depends_on_the_data_and_all_parameters():
    changes = [{"source": "blur"}, {"size": 16}, {"scale": 4}, {"noise_sigma": 1.0}, {"blur_sigma": 1.0}, {"hole": 0.1}, {"seed": 1}]
    prints = [Derived(**{"dataset": Smooth(), "source": "noise"} | change).fingerprint() for change in [{}, *changes]]
    prints.append(Derived(dataset=Smooth(9), source="noise").fingerprint())
    assert len(set(prints)) == 9
    assert Derived(dataset=Smooth(), source="noise").fingerprint() == prints[0]


@pytest.mark.parametrize(
    ("dataset", "params", "message"),
    [
        (Smooth(channels=4), {"source": "blur"}, "images have 4 channels, one of them alpha; use images of 1 or 3 channels"),
        (Smooth(), {"source": "downscale", "size": 30, "scale": 4}, "size 30 is not a multiple of scale 4; use 28 or 32"),
        (Smooth(), {"source": "downscale", "size": 3, "scale": 8}, "size 3 is not a multiple of scale 8; use 8"),
        (Shapes(size=6), {"source": "downscale", "scale": 8}, "images of 6 x 6 pixels cannot be downscaled by 8"),
        (Unpaired(image=Smooth(), source=Smooth()), {"source": "gray"}, "wrapped dataset has the further fields 'source'"),
    ],
)
def test_what_is_refused(dataset, params, message):
    with pytest.raises(ValueError, match=message):
        Derived(dataset=dataset, **params)


def test_labels_may_be_vectors():
    derived = derive(Vectors(label=gankit.VectorSpec(2)), "gray")
    check_dataset(derived)
    assert derived[3]["label"].tolist() == [3, 0.5]
