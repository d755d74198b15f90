"""The dataset ``degraded``: its items, parameters and the dataset that it wraps."""

from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

import gankit
from gankit.data.loader import Loader
from gankit.recipe.sections import Loader as LoaderSettings
from gankit.testing import check_dataset
from gankit_superresolution.degraded import Degraded


class Photos:
    """Smooth images with some noise, whose class is the parity of the index."""

    def __init__(
        self, count: int = 6, size: tuple[int, int] | None = (32, 32), channels: int = 3, shift: int = 0, **more: Any
    ) -> None:
        self.count, self.size, self.shift, self.prepared = count, size, shift, 0
        self.spec: Any = gankit.ImageSpec(*size, channels) if size else gankit.ImageSpec.any_size(channels)
        self.channels = channels
        self.__dict__ |= more

    def prepare(self) -> None:
        self.prepared += 1

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Any:
        random = torch.Generator().manual_seed(index + self.shift)
        height, width = self.size or (40 + 4 * index, 70 - 3 * index)
        coarse = torch.rand(1, self.channels, 5, 5, generator=random)
        image = F.interpolate(coarse, (height, width), mode="bicubic") * 0.9
        image = image + 0.1 * torch.rand(self.channels, height, width, generator=random)
        return image[0].mul(255).clamp(0, 255).to(torch.uint8), index % 2


def items(dataset: Degraded) -> list[dict[str, Tensor]]:
    return [dataset[index] for index in range(len(dataset))]


def equal(mine: list[dict[str, Tensor]], theirs: list[dict[str, Tensor]]) -> bool:
    return len(mine) == len(theirs) and all(
        torch.equal(a[name], b[name]) for a, b in zip(mine, theirs, strict=True) for name in ("image", "source", "label")
    )


def psnr(item: dict[str, Tensor]) -> float:
    """Of the source, enlarged, against the image."""
    image = item["image"][None].float()
    enlarged = F.interpolate(item["source"][None].float(), image.shape[-2:], mode="bicubic")
    return float(10 * torch.log10(255**2 / (image - enlarged).square().mean()))


@pytest.mark.parametrize("scale", [1, 2, 4])
@pytest.mark.parametrize("channels", [1, 3])
def test_it_is_a_dataset_of_pairs(scale: int, channels: int) -> None:
    dataset = Degraded(dataset=Photos(channels=channels, classes=("even", "odd")), scale=scale)  # type: ignore[arg-type]
    check_dataset(dataset)
    source = gankit.ImageSpec(32 // scale, 32 // scale, channels, scale=1 / scale)
    assert dataset.spec == gankit.DataSpec(image=gankit.ImageSpec(32, 32, channels), source=source)
    for index, item in enumerate(items(dataset)):
        assert torch.equal(item["image"], dataset.dataset[index][0])
        assert item["source"].shape == (channels, 32 // scale, 32 // scale)
        assert item["label"].item() == index % 2


class TestDeterminism:
    def test_items_depend_on_seed_and_index_alone(self) -> None:
        dataset = Degraded(dataset=Photos(8))
        first = items(dataset)
        torch.manual_seed(5)
        np.random.seed(5)
        backwards = [dataset[index] for index in reversed(range(8))][::-1]
        with ThreadPoolExecutor(4) as pool:
            in_threads = list(pool.map(dataset.__getitem__, range(8)))
        copied = items(pickle.loads(pickle.dumps(dataset)))
        assert equal(backwards, first)
        assert equal(in_threads, first)
        assert equal(copied, first)

    def test_workers_read_the_same_items(self) -> None:
        dataset = Degraded(dataset=Photos(8))
        spec = dataset.spec.at_size(32, 32)
        batches = [
            next(Loader(dataset, spec, LoaderSettings(batch_size=4, cache="none", workers=workers), 0, torch.device("cpu")).stream(0))
            for workers in (0, 1)
        ]  # fmt: skip
        assert torch.equal(batches[0]["source"], batches[1]["source"])
        assert torch.equal(batches[0].images, batches[1].images)

    def test_seeds_and_indices_differ(self) -> None:
        class Same(Photos):
            def __getitem__(self, index: int) -> Any:
                return super().__getitem__(0)

        sources = [item["source"] for seed in (0, 1) for item in items(Degraded(dataset=Same(4), seed=seed))]
        assert len({tuple(source.flatten().tolist()) for source in sources}) == 8


class TestQuality:
    @pytest.mark.parametrize(("rounds", "low", "high"), [(0, 27.0, 34.0), (1, 18.0, 27.0), (2, 16.0, 25.0)])
    def test_enlarged_sources_resemble_the_images(self, rounds: int, low: float, high: float) -> None:
        pairs = items(Degraded(dataset=Photos(40, (64, 64)), rounds=rounds))  # type: ignore[arg-type]
        found = [psnr(item) for item in pairs]
        assert low < np.mean(found) < high
        assert min(found) > 11
        other = [psnr({**item, "image": pairs[0]["image"]}) for item in pairs[1:6]]
        assert np.mean(other) < min(np.mean(found) - 3, 14)  # another image is not nearly as close

    def test_degradations_differ_widely(self) -> None:
        assert np.std([psnr(item) for item in items(Degraded(dataset=Photos(40, (64, 64))))]) > 1


class TestSize:
    def test_the_loader_leaves_items_as_they_are(self) -> None:
        dataset = Degraded(dataset=Photos(size=None), size=(16, 24))
        loader = Loader(dataset, dataset.spec.at_size(16, 24), LoaderSettings(batch_size=6), 0, torch.device("cpu"))
        order, batch = loader.order.at(0, 6).indices, loader.at(0, 6)
        for row, index in enumerate(order):
            for name, values in (("image", batch.images), ("source", batch["source"])):
                torch.testing.assert_close(values[row], dataset[int(index)][name].float() / 127.5 - 1)

    def test_a_patch_is_a_part_of_the_image_at_a_random_place(self) -> None:
        photos = Photos(size=None)
        dataset, places = Degraded(dataset=photos, size=24, copies=5), set()
        for index, item in enumerate(items(dataset)):
            image = photos[index % 6][0]
            found = [
                (top, left)
                for top in range(image.shape[1] - 23)
                for left in range(image.shape[2] - 23)
                if torch.equal(image[:, top : top + 24, left : left + 24], item["image"])
            ]
            assert len(found) == 1
            places |= {*found}
        assert len(places) > 25

    @pytest.mark.parametrize(("fit", "size"), [("crop", (24, 16)), ("patch", (64, 64))])
    def test_resized_images_are_those_of_the_loader(self, fit: str, size: tuple[int, int]) -> None:
        """``crop`` gives the images that a run without this dataset has; so does ``patch`` for images that are too small."""
        photos = Photos(size=None)
        loader = Loader(photos, gankit.ImageSpec(*size, 3), LoaderSettings(batch_size=6), 0, torch.device("cpu"))
        expected = dict(zip(loader.order.at(0, 6).indices.tolist(), loader.at(0, 6).images, strict=True))
        dataset = Degraded(dataset=photos, size=size, fit=fit)  # type: ignore[arg-type]
        for index in range(6):
            torch.testing.assert_close(dataset[index]["image"].float() / 127.5 - 1, expected[index])

    def test_sizes_that_cannot_work_are_refused(self) -> None:
        with pytest.raises(ValueError, match=r"may have any size: set size, to the image.size of the recipe"):
            Degraded(dataset=Photos(size=None))
        with pytest.raises(ValueError, match=r"images of 30x32 .*no source of 1/4 .*multiples of 4: 28x32 and 32x32$"):
            Degraded(dataset=Photos(size=(30, 32)))
        with pytest.raises(ValueError, match=r"images of 3x3 .*multiples of 4: 4x4$"):
            Degraded(dataset=Photos(), size=3)
        assert Degraded(dataset=Photos(size=(30, 32)), scale=2).size == (30, 32)


class TestTheWrappedDataset:
    def test_classes_labels_split_and_description_are_passed_on(self) -> None:
        description = gankit.DataDescription("six photos")
        photos = Photos(split="validation", labels=[0, 1, 0, 1, 0, 1], describe=lambda: description, classes=())
        dataset = Degraded(dataset=photos, copies=2)
        assert dataset.classes == ()
        photos.classes = ("even", "odd")
        gankit.prepare_dataset(dataset)
        assert photos.prepared == 1
        assert dataset.classes == ("even", "odd")
        assert dataset.split == "validation"
        assert gankit.describe_dataset(dataset) is description
        known = gankit.labels_of(dataset)
        assert known is not None
        assert known.tolist() == [item["label"].item() for item in items(dataset)]

    def test_it_may_lack_everything_optional(self) -> None:
        class Bare:
            def __len__(self) -> int:
                return 3

            def __getitem__(self, index: int) -> Any:
                return np.full((16, 16, 3), 40 * index, np.uint8)

        dataset = Degraded(dataset=Bare(), size=16)
        gankit.prepare_dataset(dataset)
        assert (dataset.classes, dataset.labels, dataset.split) == (None, None, "")
        assert gankit.describe_dataset(dataset) is None
        assert not hasattr(dataset, "held_out")
        assert torch.equal(dataset[2]["image"], torch.full((3, 16, 16), 80, dtype=torch.uint8))

    def test_vectors_stay_labels(self) -> None:
        class Described(Photos):
            def __getitem__(self, index: int) -> Any:
                return super().__getitem__(index)[0], [index, 0.5]

        photos = Described(spec=gankit.DataSpec(image=gankit.ImageSpec(32, 32, 3), label=gankit.VectorSpec(2)))
        dataset = Degraded(dataset=photos)
        assert dataset.spec.label == gankit.VectorSpec(2)
        assert dataset[3]["label"].tolist() == [3, 0.5]

    def test_copies_are_further_items_of_the_same_images(self) -> None:
        dataset = Degraded(dataset=Photos(), copies=3)
        assert len(dataset) == 18
        for index in range(6):
            same = [dataset[index + 6 * copy] for copy in range(3)]
            assert all(torch.equal(item["image"], same[0]["image"]) for item in same)
            assert not torch.equal(same[0]["source"], same[1]["source"])
        assert equal(items(dataset)[:6], items(Degraded(dataset=Photos())))
        with pytest.raises(IndexError, match="image 18 of 18"):
            dataset[18]

    def test_other_channels_and_fields_are_refused(self) -> None:
        with pytest.raises(ValueError, match="images of the dataset have 4 channels; choose 1 .gray. or 3 .RGB."):
            Degraded(dataset=Photos(channels=4))
        fields = gankit.DataSpec(image=gankit.ImageSpec(8, 8, 3), mask=gankit.ImageSpec(8, 8, 1))
        with pytest.raises(ValueError, match="the dataset has further fields .'mask'., which 'degraded' cannot keep"):
            Degraded(dataset=Photos(spec=fields))


class TestHeldOut:
    def test_given_images_are_degraded_for_samples(self) -> None:
        others = Photos(3, (40, 40), shift=100)
        dataset = Degraded(dataset=Photos(), held_out=others, scale=2, size=16, fit="crop", rounds=1, copies=4, seed=7)
        gankit.prepare_dataset(dataset)
        held_out = dataset.held_out()
        assert others.prepared == 1
        assert equal(items(pickle.loads(pickle.dumps(dataset)).held_out()), items(held_out))
        assert equal(items(held_out), items(Degraded(dataset=others, scale=2, size=16, fit="crop", rounds=1, seed=7)))

    def test_those_of_the_wrapped_dataset_are_used_otherwise(self) -> None:
        others = Photos(3, shift=100)
        dataset = Degraded(dataset=Photos(held_out=lambda: others))
        assert equal(items(dataset.held_out()), items(Degraded(dataset=others)))
        mine = Photos(2, shift=50)
        assert len(Degraded(dataset=Photos(held_out=lambda: others), held_out=mine).held_out()) == 2
        assert not hasattr(Degraded(dataset=Photos()), "held_out")

    def test_images_of_another_kind_are_refused(self) -> None:
        with pytest.raises(ValueError, match=r"held_out are 32x32 with 1 channels, those of the dataset are 32x32 with 3"):
            Degraded(dataset=Photos(), held_out=Photos(channels=1))


def test_the_fingerprint_changes_with_the_images_and_every_parameter() -> None:
    def fingerprint(photos: Photos | None = None, **params: Any) -> str:
        return gankit.data_fingerprint(Degraded(dataset=photos or Photos(), **params))

    assert fingerprint() == fingerprint(scale=4, fit="patch", rounds=2, copies=1, seed=0, size=32)
    assert fingerprint(held_out=Photos(2)) == fingerprint()  # the items of training are the same
    changed = [{"scale": 2}, {"size": 16}, {"size": (16, 32)}, {"fit": "crop"}, {"rounds": 1}, {"copies": 2}, {"seed": 1}]
    found = [fingerprint(), fingerprint(Photos(shift=1)), fingerprint(Photos(5)), *(fingerprint(**one) for one in changed)]
    assert len(set(found)) == len(found)
    assert fingerprint(Photos(fingerprint=lambda: "a")) != fingerprint(Photos(fingerprint=lambda: "b"))
