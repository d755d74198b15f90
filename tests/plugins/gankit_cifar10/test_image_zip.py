import io
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import gankit
from gankit.testing import check_dataset
from gankit_cifar10 import CIFAR10
from gankit_cifar10.dataset import CLASSES


def write_zip(path: Path, files: dict[str, bytes]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def picture(seed: int, size: tuple[int, int] = (32, 32), form: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(buffer, form)
    return buffer.getvalue()


@pytest.fixture
def zip_files() -> dict[str, bytes]:
    """Three images a class, in no order."""
    names = [f"{name}/{i:04d}.png" for name in reversed(CLASSES) for i in (2, 0, 1)]
    return {name: picture(seed) for seed, name in enumerate(names)}


def prepared(root: Path, split: str = "train") -> CIFAR10:
    dataset = CIFAR10(root=root, split=split, download=False)
    dataset.prepare()
    return dataset


def test_items_follow_the_classes_then_the_names(tmp_path, zip_files):
    write_zip(tmp_path / "cifar10-train.zip", zip_files)
    dataset = prepared(tmp_path)
    assert dataset.labels.tolist() == [label for label in range(10) for _ in range(3)] == dataset.tensors()[1].tolist()
    names = [f"{name}/{i:04d}.png" for name in CLASSES for i in range(3)]
    for index, name in enumerate(names):
        expected = np.asarray(Image.open(io.BytesIO(zip_files[name])))
        image, label = dataset[index]
        np.testing.assert_array_equal(image.permute(1, 2, 0).numpy(), expected)
        assert CLASSES[label] == name.split("/")[0]


def test_split_chooses_the_zip(tmp_path, zip_files):
    write_zip(tmp_path / "cifar10-train.zip", zip_files)
    write_zip(tmp_path / "cifar10-test.zip", {name: zip_files[name] for name in zip_files if "0001" in name})
    assert len(prepared(tmp_path, "train")) == 30
    assert len(prepared(tmp_path, "test")) == 10


def test_keeps_the_contract(tmp_path, zip_files):
    write_zip(tmp_path / "cifar10-train.zip", zip_files)
    check_dataset(prepared(tmp_path))


def test_sound_archive_is_preferred(local, archive, tmp_path, zip_files):
    write_zip(tmp_path / "cifar10-train.zip", zip_files)
    local(root=tmp_path).prepare()
    assert not (tmp_path / "cifar-10-batches-py").exists()
    (tmp_path / "cifar10-train.zip").rename(tmp_path / "aside.zip")
    local(root=tmp_path).prepare()
    (tmp_path / "aside.zip").rename(tmp_path / "cifar10-train.zip")
    dataset = local(root=tmp_path)
    dataset.prepare()
    assert len(dataset) == len(archive.labels["train"])


def test_other_files_are_ignored(tmp_path, zip_files):
    extra = {"README.txt": b"x", "__MACOSX/airplane/._0000.png": b"x", ".hidden/a.png": b"x", "cat/.a.png": b"x"}
    write_zip(tmp_path / "cifar10-train.zip", zip_files | extra)
    assert len(prepared(tmp_path)) == 30


@pytest.mark.parametrize("name", ["plane/0000.png", "0000.png", "train/cat/0000.png"])
def test_image_outside_the_class_folders_is_named(tmp_path, zip_files, name):
    write_zip(tmp_path / "cifar10-train.zip", zip_files | {name: picture(0)})
    with pytest.raises(gankit.DataError, match=f"cifar10-train.zip: '{name}' is not in a class folder.*airplane, auto"):
        prepared(tmp_path)


def test_missing_classes_are_named(tmp_path, zip_files):
    kept = {name: data for name, data in zip_files.items() if not name.startswith(("frog", "deer"))}
    write_zip(tmp_path / "cifar10-train.zip", kept)
    with pytest.raises(gankit.DataError, match=r"has no images for deer, frog"):
        prepared(tmp_path)


@pytest.mark.parametrize("damage", [b"no image at all", picture(0)[:-200], b""])
def test_damaged_image_is_named(tmp_path, zip_files, damage):
    write_zip(tmp_path / "cifar10-train.zip", zip_files | {"horse/0001.png": damage})
    with pytest.raises(gankit.DataError, match=r"'horse/0001.png' is damaged"):
        prepared(tmp_path)


def test_damaged_entry_is_named(tmp_path, zip_files):
    path = write_zip(tmp_path / "cifar10-train.zip", zip_files)
    data = bytearray(path.read_bytes())
    data[data.index(zip_files["ship/0002.png"]) + 1000] ^= 255
    path.write_bytes(data)
    with pytest.raises(gankit.DataError, match=r"'ship/0002.png' is damaged: Bad CRC-32"):
        prepared(tmp_path)


def test_other_sizes_are_refused(tmp_path, zip_files):
    write_zip(tmp_path / "cifar10-train.zip", zip_files | {"cat/0000.png": picture(0, (32, 31))})
    with pytest.raises(gankit.DataError, match=r"'cat/0000.png' is 32 x 31 pixels; every image must be 32 x 32"):
        prepared(tmp_path)


@pytest.mark.parametrize("content", [b"", b"no zip", "truncated"])
def test_damaged_zip_is_named(tmp_path, zip_files, content):
    path = write_zip(tmp_path / "cifar10-train.zip", zip_files)
    path.write_bytes(path.read_bytes()[:-50] if content == "truncated" else content)
    with pytest.raises(gankit.DataError, match=r"cifar10-train.zip is not a readable zip: .*; create it again"):
        prepared(tmp_path)


def test_the_real_images():
    root = os.environ.get("GANKIT_DATA_DIR", "")
    if not (Path(root) / "cifar10-test.zip").exists() or (Path(root) / "cifar-10-batches-py").exists():
        pytest.skip("needs cifar10-test.zip in $GANKIT_DATA_DIR")
    images, labels = prepared(Path(root), "test").tensors()
    assert images.shape == (10_000, 3, 32, 32)
    assert labels.bincount().tolist() == [1000] * 10
    mean = images.double().mean((0, 2, 3)) / 255
    assert np.abs(mean.numpy() - [0.494, 0.485, 0.450]).max() < 0.005  # the test set's well-known channel means
