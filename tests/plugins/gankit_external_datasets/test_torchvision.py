"""torchvision's datasets by the name of their class: parameters, labels, and items of other kinds."""

from __future__ import annotations

import gzip
import struct

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image

import gankit
from gankit.testing import check_dataset
from gankit_external_datasets import TorchvisionSet


def prepared(**params):
    dataset = TorchvisionSet(**params)
    dataset.prepare()
    return dataset


@pytest.fixture
def mnist(tmp_path):
    """Ten digits in MNIST's files, in torchvision's folder."""
    pixels = np.random.default_rng(0).integers(0, 256, (10, 28, 28), dtype=np.uint8)
    folder = tmp_path / "MNIST/raw"
    folder.mkdir(parents=True)
    for prefix in ("train", "t10k"):
        (folder / f"{prefix}-images-idx3-ubyte").write_bytes(struct.pack(">HBBIII", 0, 8, 3, 10, 28, 28) + pixels.tobytes())
        (folder / f"{prefix}-labels-idx1-ubyte").write_bytes(struct.pack(">HBBI", 0, 8, 1, 10) + bytes(range(10)))
    return tmp_path, torch.from_numpy(pixels)


def test_mnist(mnist):
    root, pixels = mnist
    dataset = prepared(set="MNIST", split="test", root=root, channels=1)
    assert dataset.split == "test"
    assert len(dataset) == 10
    assert dataset.classes == tuple(torchvision.datasets.MNIST.classes)
    assert dataset.labels.tolist() == [*range(10)]
    items = [gankit.read_item(dataset, index, gankit.spec_of(dataset), True) for index in range(10)]
    assert torch.equal(torch.stack([item["image"][0] for item in items]), pixels)
    assert [int(item["label"]) for item in items] == [*range(10)]
    check_dataset(dataset)


def test_parameters_of_the_base_class(mnist):
    """EMNIST passes ``train`` and ``download`` on to MNIST."""
    root, pixels = mnist
    (root / "MNIST").rename(root / "EMNIST")
    for file in (root / "EMNIST/raw").iterdir():
        part, _, kind = file.name.replace("t10k", "test").partition("-")
        file.rename(file.with_name(f"emnist-digits-{part}-{kind}"))
    dataset = prepared(set="EMNIST", split="digits", root=root, channels=1, params={"train": False})
    assert dataset.labels.tolist() == [*range(10)]
    assert torch.equal(gankit.read_item(dataset, 3, gankit.spec_of(dataset), True)["image"][0], pixels[3])
    with pytest.raises(ValueError, match="torchvision's EMNIST needs 'split'; set `split`"):
        TorchvisionSet(set="EMNIST", root=root)


@pytest.mark.parametrize("kind", ["category", "binary-category"])
def test_labels_that_differ_from_those_of_the_items(tmp_path, kind):
    """OxfordIIITPet lists breeds also if the labels are those of cats and dogs."""
    names = [("Abyssinian_1", 1, 1), ("beagle_1", 2, 2), ("boxer_1", 3, 2)]
    for folder in ("images", "annotations"):
        (tmp_path / "oxford-iiit-pet" / folder).mkdir(parents=True)
    for name, _, _ in names:
        Image.new("RGB", (8, 8)).save(tmp_path / f"oxford-iiit-pet/images/{name}.jpg")
    lines = [f"{name} {breed} {species} 1" for name, breed, species in names]
    (tmp_path / "oxford-iiit-pet/annotations/trainval.txt").write_text("\n".join(lines))
    dataset = prepared(set="OxfordIIITPet", root=tmp_path, download=False, params={"target_types": kind})
    if kind == "category":
        assert dataset.labels.tolist() == [0, 1, 2]
        assert dataset.classes == ("Abyssinian", "Beagle", "Boxer")
    else:
        assert dataset.labels is dataset.classes is None
        assert dataset.describe().summary == "3 images; not used: the labels, of which the set has no list"


def test_names_and_labels_of_caltech256(tmp_path):
    for number, name in enumerate(["001.bear", "002.cup"]):
        folder = tmp_path / "caltech256/256_ObjectCategories" / name
        folder.mkdir(parents=True)
        Image.new("RGB", (8, 8)).save(folder / f"00{number + 1}_0001.jpg")
    dataset = prepared(set="Caltech256", root=tmp_path, download=False)
    assert dataset.classes == ("001.bear", "002.cup")
    assert dataset.labels.tolist() == [0, 1]


def test_fake_data_is_that_of_torchvision():
    params = {"size": 20, "image_size": [3, 10, 12], "num_classes": 4}
    dataset, other = prepared(set="FakeData", params=params), torchvision.datasets.FakeData(20, (3, 10, 12), 4)
    assert dataset.classes == ("0", "1", "2", "3")
    for index in (0, 19, 7):
        item = gankit.read_item(dataset, index, gankit.spec_of(dataset), True)
        assert torch.equal(item["image"], torch.from_numpy(np.array(other[index][0])).permute(2, 0, 1))
        assert item["label"] == other[index][1]
    with pytest.raises(IndexError):
        dataset[20]


def test_image_folder(tmp_path, encoded, pixels):
    for index in range(4):
        place = tmp_path / f"{'ab'[index // 2]}/{index}.png"
        place.parent.mkdir(exist_ok=True)
        place.write_bytes(encoded[index])
    dataset = prepared(set="ImageFolder", root=tmp_path)
    assert dataset.classes == ("a", "b")
    assert dataset.labels.tolist() == [0, 0, 1, 1]
    first = gankit.data_fingerprint(dataset)
    assert torch.equal(gankit.read_item(dataset, 2, gankit.spec_of(dataset), True)["image"], pixels[2])
    (tmp_path / "a/0.png").write_bytes(encoded[5])
    assert gankit.data_fingerprint(dataset) != first
    (tmp_path / "b/3.png").write_bytes(encoded[3][:60])
    with pytest.raises(gankit.DataError, match="item 3 of torchvision's ImageFolder cannot be read: "):
        dataset[3]


def test_vector_labels(tmp_path):
    """CelebA's attributes, in files of its format."""
    folder = tmp_path / "celeba"
    (folder / "img_align_celeba").mkdir(parents=True)
    files = [f"{index:06}.jpg" for index in range(3)]
    for name in files:
        Image.new("RGB", (8, 8)).save(folder / "img_align_celeba" / name)
    rows = {
        "list_attr_celeba.txt": ["3", "Bald Young", *(f"{name} 1 -1" for name in files)],
        "identity_CelebA.txt": [f"{name} 1" for name in files],
        "list_bbox_celeba.txt": ["3", "image_id x y w h", *(f"{name} 1 1 1 1" for name in files)],
        "list_landmarks_align_celeba.txt": ["3", "x y", *(f"{name} 1 1" for name in files)],
        "list_eval_partition.txt": [f"{name} 0" for name in files],
    }
    for name, lines in rows.items():
        (folder / name).write_text("\n".join(lines) + "\n")
    kind = torchvision.datasets.CelebA
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kind, "_check_integrity", lambda self: True)
        dataset = prepared(set="CelebA", split="train", root=tmp_path, download=False, label_size=2)
    assert gankit.read_item(dataset, 1, gankit.spec_of(dataset), False)["label"].tolist() == [1, 0]


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"set": "MINST"}, "torchvision.datasets has no class of images 'MINST'; did you mean 'MNIST'?"),
        ({"set": "VisionDataset"}, "has no class of images 'VisionDataset'"),
        ({"set": "MNIST", "split": "val"}, "torchvision's MNIST has the splits 'train' and 'test'; got 'val'"),
        ({"set": "FakeData", "split": "train"}, "torchvision's FakeData has no splits; leave `split` out"),
        ({"set": "FakeData", "params": {"sise": 3}}, "torchvision's FakeData has no 'sise'; did you mean 'size'?"),
        ({"set": "FakeData", "params": {"transform": 3}}, "params.transform cannot be set: gankit resizes and converts"),
        ({"set": "MNIST", "params": {"root": "x"}}, "params.root: use the parameters `root`, `split` and `download`"),
        ({"set": "EMNIST"}, "torchvision's EMNIST needs 'split'; set `split`"),
        ({"set": "Kinetics", "split": "train"}, "torchvision's Kinetics needs 'frames_per_clip'; set `params: {frames_per_clip: ...}`"),
    ],
)  # fmt: skip
def test_wrong_parameters(params, message):
    with pytest.raises(ValueError, match=message):
        TorchvisionSet(**params)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"set": "Flowers102", "split": "trian"}, "torchvision's Flowers102 cannot be created: .*trian"),
        ({"set": "Flowers102", "download": False}, "torchvision's Flowers102 cannot be created: Dataset not found"),
    ],
)
def test_sets_that_cannot_be_created(params, message, tmp_path):
    with pytest.raises(gankit.DataError, match=message):
        prepared(root=tmp_path, **params)


def test_damaged_files(mnist):
    root, _ = mnist
    (root / "MNIST/raw/train-labels-idx1-ubyte").write_bytes(gzip.compress(b"x"))
    with pytest.raises(gankit.DataError, match="torchvision's MNIST cannot be created: "):
        prepared(set="MNIST", split="train", root=root, download=False)
