"""Image folders and zip files: layouts, labels, channels, splits."""

import io
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch.utils.data import DataLoader

import gankit
from gankit.testing import check_dataset
from gankit_datasets import ImageFolder
from gankit_datasets.shapes import Shapes


def test_class_folders_become_labels(put, names, class_files):
    dataset = ImageFolder(path=put(class_files))
    assert dataset.spec == gankit.ImageSpec.any_size(3)
    assert dataset.classes == ()
    dataset.prepare()
    assert isinstance(dataset, gankit.Dataset)
    assert dataset.classes == ("a", "b", "c")
    assert len(dataset) == 12
    assert names(dataset, class_files) == sorted(class_files)
    assert dataset.labels.tolist() == [dataset[i][1] for i in range(12)] == [0] * 4 + [1] * 4 + [2] * 4
    assert dataset.labels.dtype == torch.int64
    image, label = dataset[5]
    assert image.shape == (3, 6, 9)  # its own size
    assert type(label) is int


@pytest.mark.parametrize(
    ("layout", "classes", "labels"),
    [
        (["x.png", "y.png"], None, [0, 0]),
        (["x.png", "cat/y.png", "dog/z.png"], None, [0, 0, 0]),
        (["cat/x.png"], ("cat",), [0]),
        (["cat/x.png", "dog/deep/er/y.png", "dog/z.png"], ("cat", "dog"), [0, 1, 1]),
        (["set/cat/x.png", "set/dog/y.png"], ("cat", "dog"), [0, 1]),
        (["set/all/cat/x.png", "set/all/dog/y.png"], ("cat", "dog"), [0, 1]),
        (["set/cat/x.png", "set/y.png"], ("set",), [0, 0]),
        (["Zoo/x.png", "ape/y.png"], ("Zoo", "ape"), [0, 1]),
        (["a b/x.png", "a/y.png", "ä/z.png"], ("a", "a b", "ä"), [0, 1, 2]),
    ],
)
def test_layouts(put, layout, classes, labels, png, prepared):
    dataset = prepared(put({name: png(i) for i, name in enumerate(layout)}))
    assert dataset.classes == classes
    assert [dataset[i][1] for i in range(len(dataset))] == labels == dataset.labels.tolist()


def test_other_files_are_ignored(put, prepared, names, class_files):
    others = {
        "notes.txt": b"x",
        ".DS_Store": b"x",
        "a/.0.png": b"x",
        "__MACOSX/a/._0.png": b"x",
        ".thumbs/0.png": b"x",
        "d/readme.md": b"x",
    }
    dataset = prepared(put(class_files | others))
    assert names(dataset, class_files) == sorted(class_files)
    assert dataset.classes == ("a", "b", "c")


def test_recognises_suffixes_in_any_case(put, png, prepared):
    image = Image.open(io.BytesIO(png(0)))
    files = {}
    for suffix in ("jpg", "JPEG", "png", "webp", "BMP", "tif", "TIFF", "gif"):
        buffer = io.BytesIO()
        image.save(buffer, {"jpg": "JPEG", "tif": "TIFF"}.get(suffix, suffix))
        files[f"image.{suffix}"] = buffer.getvalue()
    assert len(prepared(put(files), on_error="skip")) == 8


@settings(max_examples=25, deadline=None)
@given(
    layout=st.sets(
        st.lists(st.sampled_from(["a", "b", "B", "c d", "é", "1", "10", "2"]), min_size=1, max_size=3).map("/".join),
        min_size=1,
        max_size=12,
    )
)
def test_zip_and_folder_give_identical_items(tmp_path_factory, layout, png, fill, pack, prepared):
    root = tmp_path_factory.mktemp("layout")
    files = {f"{name}.png": png(seed, 2 + seed, 3) for seed, name in enumerate(sorted(layout))}
    one, other = prepared(fill(root / "folder", files)), prepared(pack(root / "zip.zip", files))
    assert one.classes == other.classes
    assert len(one) == len(other) == len(files)
    for i in range(len(one)):
        assert torch.equal(one[i][0], other[i][0])
        assert one[i][1] == other[i][1]


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_channels(put, channels, prepared, class_files):
    dataset = prepared(put(class_files), channels=channels)
    assert dataset.spec == gankit.ImageSpec.any_size(channels)
    assert dataset[0][0].shape[0] == channels


@pytest.mark.parametrize("call", [len, lambda dataset: dataset[0], lambda dataset: dataset.labels])
def test_empty_until_prepared(tmp_path, call):
    with pytest.raises(RuntimeError, match=r"prepare\(\)"):
        call(ImageFolder(path=tmp_path))


def test_zip_with_separators_of_windows(tmp_path, pack, prepared, names, class_files):
    path = pack(tmp_path / "images.zip", {name.replace("/", "\\"): data for name, data in class_files.items()})
    dataset = prepared(path)
    assert dataset.classes == ("a", "b", "c")
    assert names(dataset, class_files) == sorted(class_files)


@pytest.mark.parametrize(("encoding", "expected"), [("utf-8", "Bäume"), ("cp437", "Bäume"), ("latin-1", "BΣume")])
def test_zip_names_without_the_utf8_flag(tmp_path, png, pack, prepared, encoding, expected):
    """macOS writes UTF-8 without the flag; the standard says cp437, which any other name is read as."""
    raw = "Bäume".encode(encoding)
    place = "B" + "x" * (len(raw) - 1)
    path = pack(tmp_path / "images.zip", {f"{place}/0.png": png(0), "Ast/0.png": png(1)})
    path.write_bytes(path.read_bytes().replace(place.encode() + b"/", raw + b"/"))
    dataset = prepared(path)
    assert dataset.classes == ("Ast", expected)
    assert [dataset[index][1] for index in range(2)] == [0, 1]


def test_zip_is_read_by_forked_workers(tmp_path, png, pack, prepared):
    dataset = prepared(pack(tmp_path / "images.zip", {f"{i:03}.png": png(i) for i in range(64)}))
    expected = [dataset[i][0] for i in range(64)]  # leaves the parent's file open
    loader = DataLoader(dataset, batch_size=4, num_workers=2, multiprocessing_context="fork")
    for _ in range(2):
        images = torch.cat([batch for batch, _ in loader])
        assert torch.equal(images, torch.stack(expected))


def test_keeps_the_contract(put, prepared, class_files):
    dataset = prepared(put(class_files))
    dataset[0]  # opens the zip
    check_dataset(dataset)


def test_stays_with_its_folder_when_the_current_one_changes(tmp_path, monkeypatch, fill, prepared, class_files):
    fill(tmp_path / "images", class_files)
    monkeypatch.chdir(tmp_path)
    dataset = prepared(Path("images"))
    monkeypatch.chdir("/")
    assert dataset[0][0].shape == (3, 6, 8)


def test_splits_share_nothing_and_keep_their_images(put, tmp_path, png, fill, prepared, names):
    files = {f"{folder}/{i:03}.png": png(i, 4, 4 + (folder == "b")) for folder in "ab" for i in range(100)}
    path = put(files)
    train, test = (prepared(path, split=split, test_fraction=0.2) for split in ("train", "test"))
    train_names, test_names = names(train, files), names(test, files)
    assert sorted(train_names + test_names) == sorted(files)
    assert 20 <= len(test_names) <= 60
    assert train.classes == test.classes == ("a", "b")
    fewer = {name: data for name, data in files.items() if not name.endswith("7.png")}
    again = prepared(fill(tmp_path / "fewer", fewer), split="test", test_fraction=0.2)
    assert names(again, fewer) == [name for name in test_names if name in fewer]


def test_test_split_of_nothing(tmp_path):
    with pytest.raises(ValueError, match="split 'test' has no images while test_fraction is 0; set test_fraction"):
        ImageFolder(path=tmp_path, split="test")


def test_registered_with_its_parameters(tmp_path):
    import gankit_datasets

    registries = gankit.Registries()
    gankit_datasets.register(registries)
    assert {entry.name for entry in registries.datasets} >= {"image_folder", "mnist", "fashion_mnist", "shapes"}
    entry = registries.datasets.get("image_folder")
    dataset = entry.build(entry.schema(path=str(tmp_path), channels=1))
    assert (dataset.path, dataset.channels) == (tmp_path, 1)


def test_round_trip_of_a_whole_set(put, prepared):
    shapes = Shapes(count=30, size=20)
    files = {}
    for i in range(30):
        image, label = shapes[i]
        buffer = io.BytesIO()
        Image.fromarray(image.permute(1, 2, 0).numpy()).save(buffer, "PNG")
        files[f"{shapes.classes[label]}/{i:02}.png"] = buffer.getvalue()
    dataset = prepared(put(files))
    assert dataset.classes == shapes.classes
    order = sorted(range(30), key=lambda i: (shapes[i][1], i))
    for i, j in enumerate(order):
        assert torch.equal(dataset[i][0], shapes[j][0])
        assert dataset[i][1] == shapes[j][1]
