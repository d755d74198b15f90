"""Two domains: independent orders, different numbers of images, and what is held out."""

from __future__ import annotations

from collections import Counter

import pytest
import torch

import gankit
from gankit.data.loader import Loader
from gankit.recipe.sections import Loader as Settings
from gankit.testing import check_dataset
from gankit_datasets import ImageFolder, Shapes, Subset, Unpaired, unpaired_folders


class Numbers:
    """Images of their index, dark on the left."""

    classes = ("even", "odd")

    def __init__(self, count: int, channels: int = 3) -> None:
        self.count, self.spec = count, gankit.ImageSpec(8, 8, channels)

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int):
        image = torch.full((self.spec.channels, 8, 8), index, dtype=torch.uint8)
        image[:, :, 4:] += 128
        return image, index % 2


class InMemory(Numbers):
    def tensors(self):
        items = [self[i] for i in range(self.count)]
        return torch.stack([image for image, _ in items]), torch.tensor([label for _, label in items])


def prepared(**params) -> Unpaired:
    dataset = Unpaired(**params)
    dataset.prepare()
    return dataset


@pytest.mark.parametrize("kind", [Numbers, InMemory])
@pytest.mark.parametrize(("images", "sources"), [(24, 24), (24, 10), (7, 24)])
def test_an_epoch_has_all_images_of_both_domains(kind, images, sources):
    dataset = prepared(image=kind(images), source=kind(sources, 1))
    check_dataset(dataset)
    settings = Settings(batch_size=6, flip=True, workers=0, cache="none" if kind is Numbers else "auto")
    loader = Loader(dataset, dataset.spec.at_size(8, 8, 2), settings, 3, torch.device("cpu"))
    batches = [loader.at(start, 6) for start in range(0, 24, 6)]
    seen = {name: torch.cat([batch[name] for batch in batches]).add(1).mul(127.5).round() for name in ("image", "source")}
    numbers = {name: values[:, 0, 0].amin(1).int().tolist() for name, values in seen.items()}
    for name, count in (("image", images), ("source", sources)):
        counts = Counter(numbers[name])
        assert set(counts) == set(range(count))
        assert max(counts.values()) - min(counts.values()) <= 1
    pairs = {(image % sources, source % images) for image, source in zip(numbers["image"], numbers["source"], strict=True)}
    assert len({image == source for image, source in pairs}) == 2  # their orders differ
    flips = {name: (values[:, 0, 0, 0] > 127) for name, values in seen.items()}
    assert not torch.equal(flips["image"], flips["source"])
    assert torch.cat([batch.labels for batch in batches]).tolist() == [number % 2 for number in numbers["image"]]


def test_labels_are_those_of_the_images():
    dataset = prepared(image=Shapes(count=9, size=8), source=Shapes(count=20, size=8, seed=1))
    assert dataset.labels.tolist() == [*Shapes(count=9, size=8).labels.tolist() * 2, *Shapes(count=9, size=8).labels[:2].tolist()]
    assert dataset.classes == ("circle", "square", "triangle")
    assert dataset.split == "train"
    with pytest.raises(IndexError, match="item 20 of 20"):
        dataset[20]
    assert len(list(dataset)) == 20


def test_classes_of_a_dataset_as_domains():
    """As CIFAR-10 horse -> deer: nothing is read from files."""
    image, source = (Subset(dataset=Shapes(count=40, size=8), classes=[name]) for name in ("circle", "square"))
    dataset = prepared(image=image, source=source)
    check_dataset(dataset)
    images, labels = Shapes(count=40, size=8).tensors()
    tensors = dataset.tensors()
    count = max(int((labels == 0).sum()), int((labels == 1).sum()))
    for name, label in (("image", 0), ("source", 1)):
        own = images[labels == label]
        assert torch.equal(tensors[name], torch.cat([own, own])[:count])
    assert dataset.describe().summary.startswith("source: ")


def test_held_out_data():
    shapes = Shapes(count=4, size=8)
    assert not hasattr(prepared(image=shapes, source=shapes), "held_out")
    dataset = prepared(image=shapes, source=shapes, held_out_image=Numbers(3), held_out_source=Numbers(5))
    assert len(dataset.held_out()) == 5
    assert torch.equal(dataset.held_out()[4]["source"], Numbers(5)[4][0])
    with pytest.raises(ValueError, match="held_out_source is missing; give both"):
        Unpaired(image=shapes, source=shapes, held_out_image=shapes)
    with pytest.raises(ValueError, match=r"held-out data has the fields image \(3 channels\), source \(1 channels\); expected"):
        Unpaired(image=shapes, source=shapes, held_out_image=shapes, held_out_source=Numbers(5, 1))


def test_what_is_refused(tmp_path, png, fill):
    pairs = prepared(image=Numbers(2), source=Numbers(2))
    for side in ("image", "source"):
        with pytest.raises(ValueError, match=f"{side} has the further fields 'source'; use a dataset of images alone"):
            Unpaired(**{"image": Numbers(2), "source": Numbers(2), side: pairs})
        with pytest.raises(gankit.DataError, match=f"^{side}: the dataset is empty"):
            prepared(**{"image": Numbers(2), "source": Numbers(2), side: Numbers(0)})


class TestFolders:
    @pytest.fixture
    def folders(self, fill, pack, png, tmp_path):
        return {
            "image": fill(tmp_path / "deer", {f"{i}.png": png(i) for i in range(12)} | {"x.txt": b"x"}),
            "source": pack(tmp_path / "horse.zip", {f"{i}.png": png(i + 50, 9, 9) for i in range(20)}),
        }

    def test_they_are_image_folders(self, folders):
        dataset = unpaired_folders(**folders, source_channels=1)
        dataset.prepare()
        check_dataset(dataset)
        assert dataset.describe().summary == "source: 20 images; image: 12 images; ignored: 1 .txt"
        assert [*dataset.describe().skipped] == ["image: x.txt"]
        image, source = ImageFolder(path=folders["image"]), ImageFolder(path=folders["source"], channels=1)
        for side in (image, source):
            side.prepare()
        assert torch.equal(dataset[15]["image"], image[3][0])
        assert torch.equal(dataset[15]["source"], source[15][0])
        assert dataset.spec["source"].channels == 1

    def test_a_share_or_other_folders_are_held_out(self, folders):
        train = unpaired_folders(**folders, test_fraction=0.4)
        train.prepare()
        test = unpaired_folders(**folders, test_fraction=0.4, split="test")
        test.prepare()
        assert (len(train.image) + len(test.image), len(train.source) + len(test.source)) == (12, 20)
        assert train.held_out().fingerprint() == test.fingerprint() != train.fingerprint()
        other = unpaired_folders(**folders, held_out_image=folders["source"], held_out_source=folders["image"])
        other.prepare()
        assert other.held_out().describe().summary == "source: 12 images; ignored: 1 .txt; image: 20 images"
        with pytest.raises(ValueError, match="give either held-out folders or `test_fraction`"):
            unpaired_folders(**folders, held_out_image=folders["source"], test_fraction=0.1)
        with pytest.raises(ValueError, match="split 'test' has no images"):
            unpaired_folders(**folders, split="test")

    def test_errors_name_the_side(self, folders, tmp_path, fill):
        empty = fill(tmp_path / "empty", {"x.txt": b"x"})
        with pytest.raises(gankit.DataError, match=r"^source: \S*empty has no images .*; it has 1 .txt"):
            unpaired_folders(image=folders["image"], source=empty).prepare()
        with pytest.raises(gankit.DataError, match=r"^image: \S*gone does not exist"):
            unpaired_folders(image=tmp_path / "gone", source=empty).prepare()
        fill(folders["image"], {"3.png": b"nothing"})
        with pytest.raises(gankit.DataError, match=r"^image: \S*deer: 1 of 12 images cannot be used: '3.png' is not an image"):
            unpaired_folders(**folders).prepare()
        dataset = unpaired_folders(**folders, on_error="skip")
        dataset.prepare()
        assert "image: 11 images; damaged: 1" in dataset.describe().summary

    def test_the_fingerprint_is_of_both(self, folders):
        same = unpaired_folders(**folders)
        other = unpaired_folders(image=folders["source"], source=folders["image"])
        gray = unpaired_folders(**folders, source_channels=1)
        again = unpaired_folders(**folders)
        for dataset in (same, other, gray, again):
            dataset.prepare()
        assert same.fingerprint() == again.fingerprint()
        assert len({same.fingerprint(), other.fingerprint(), gray.fingerprint()}) == 3
