import io
import os
import warnings
import zipfile
from pathlib import Path

import numpy as np
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


def png(seed: int, width: int = 8, height: int = 6) -> bytes:
    buffer = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def fill(folder: Path, files: dict[str, bytes]) -> Path:
    folder.mkdir(exist_ok=True)
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def pack(path: Path, files: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


@pytest.fixture(params=["folder", "zip"])
def put(request, tmp_path):
    """Writes files into a folder or a zip, and says where."""
    if request.param == "folder":
        return lambda files: fill(tmp_path / "images", files)
    return lambda files: pack(tmp_path / "images.zip", files)


def prepared(path: Path, **params: object) -> ImageFolder:
    dataset = ImageFolder(path=path, **params)
    dataset.prepare()
    return dataset


def names(dataset: ImageFolder, files: dict[str, bytes]) -> list[str]:
    """Which file each item is."""
    name_of = {np.asarray(Image.open(io.BytesIO(data))).tobytes(): name for name, data in files.items()}
    return [name_of[image.permute(1, 2, 0).numpy().tobytes()] for image, _ in (dataset[i] for i in range(len(dataset)))]


CLASSES = {
    f"{folder}/{i}.png": png(seed, 8 + i, 6) for seed, (folder, i) in enumerate((f, i) for f in "bca" for i in range(4))
}


def test_class_folders_become_labels(put):
    dataset = ImageFolder(path=put(CLASSES))
    assert dataset.spec == gankit.ImageSpec.any_size(3)
    assert dataset.classes == ()
    dataset.prepare()
    assert isinstance(dataset, gankit.Dataset)
    assert dataset.classes == ("a", "b", "c")
    assert len(dataset) == 12
    assert names(dataset, CLASSES) == sorted(CLASSES)
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
def test_layouts(put, layout, classes, labels):
    dataset = prepared(put({name: png(i) for i, name in enumerate(layout)}))
    assert dataset.classes == classes
    assert [dataset[i][1] for i in range(len(dataset))] == labels == dataset.labels.tolist()


def test_ignores_what_is_no_image(put):
    others = {
        "notes.txt": b"x",
        ".DS_Store": b"x",
        "a/.0.png": b"x",
        "__MACOSX/a/._0.png": b"x",
        ".thumbs/0.png": b"x",
        "d/readme.md": b"x",
    }
    dataset = prepared(put(CLASSES | others))
    assert names(dataset, CLASSES) == sorted(CLASSES)
    assert dataset.classes == ("a", "b", "c")


def test_recognises_suffixes_in_any_case(put):
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
def test_zip_and_folder_give_identical_items(tmp_path_factory, layout):
    root = tmp_path_factory.mktemp("layout")
    files = {f"{name}.png": png(seed, 2 + seed, 3) for seed, name in enumerate(sorted(layout))}
    one, other = prepared(fill(root / "folder", files)), prepared(pack(root / "zip.zip", files))
    assert one.classes == other.classes
    assert len(one) == len(other) == len(files)
    for i in range(len(one)):
        assert torch.equal(one[i][0], other[i][0])
        assert one[i][1] == other[i][1]


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_channels(put, channels):
    dataset = prepared(put(CLASSES), channels=channels)
    assert dataset.spec == gankit.ImageSpec.any_size(channels)
    assert dataset[0][0].shape[0] == channels


BROKEN = {"a/3.png": png(0)[:-60], "b/x.png": b"nothing", "c/y.jpg": b""}


def test_refuse_names_broken_headers_at_once(put):
    with pytest.raises(gankit.DataError) as caught:
        prepared(put(CLASSES | BROKEN))
    message = str(caught.value)
    assert "2 of 14 images cannot be used: 'b/x.png' is not an image" in message
    assert "'c/y.jpg' is not an image" in message
    assert "set `on_error: skip`" in message


def test_refuse_names_a_truncated_image_when_it_is_read(put):
    dataset = prepared(put(CLASSES | {"a/3.png": BROKEN["a/3.png"]}))
    assert dataset[2][0].shape == (3, 6, 10)
    with pytest.raises(gankit.DataError, match=r"images\S*: 'a/3.png' is damaged: .*set `on_error: skip`"):
        dataset[3]


def test_skip_leaves_out_the_broken_and_names_them_once(put):
    with pytest.warns(UserWarning, match=r"3 of 14 images cannot be used: 'a/3.png' is damaged.*; skipped") as caught:
        dataset = prepared(put(CLASSES | BROKEN), on_error="skip")
    assert len(caught) == 1
    assert dataset.skipped == ("a/3.png", "b/x.png", "c/y.jpg")
    assert names(dataset, CLASSES) == [name for name in sorted(CLASSES) if name != "a/3.png"]
    assert dataset.labels.tolist() == [0] * 3 + [1] * 4 + [2] * 4


def test_skip_is_silent_where_nothing_is_broken(put):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dataset = prepared(put(CLASSES), on_error="skip")
    assert dataset.skipped == ()


def test_a_long_list_of_broken_files_is_cut(put):
    broken = {f"{i}.png": b"x" for i in range(9)}
    with pytest.raises(gankit.DataError, match=r"9 of 9 images cannot be used: '0.png' .*'4.png'[^']*; and 4 more"):
        prepared(put(broken))
    with pytest.warns(UserWarning, match="9 of 9"), pytest.raises(gankit.DataError, match="none of 9 images is left"):
        prepared(put(broken), on_error="skip")


def test_nothing_to_find(put):
    with pytest.raises(gankit.DataError, match=r"images\S* holds no images \(.jpg, .jpeg"):
        prepared(put({"notes.txt": b"x"}))


def test_missing_path(tmp_path):
    dataset = ImageFolder(path=tmp_path / "absent")
    with pytest.raises(gankit.DataError, match=r"absent does not exist; set `path` to a folder or a zip"):
        dataset.prepare()


@pytest.mark.parametrize("content", [b"", b"hello", "truncated"])
def test_a_file_that_is_no_zip(tmp_path, content):
    path = pack(tmp_path / "images.zip", CLASSES)
    path.write_bytes(path.read_bytes()[:-40] if content == "truncated" else content)
    with pytest.raises(gankit.DataError, match=r"images.zip is neither a folder nor a complete zip"):
        prepared(path)


@pytest.mark.parametrize("call", [len, lambda dataset: dataset[0], lambda dataset: dataset.labels])
def test_empty_until_prepared(tmp_path, call):
    with pytest.raises(RuntimeError, match=r"prepare\(\)"):
        call(ImageFolder(path=tmp_path))


@pytest.mark.parametrize("name", ["/etc/x.png", "../x.png", "a/../../x.png", "C:/x.png", "C:\\x.png", "a\\..\\x.png"])
def test_zip_entries_that_point_elsewhere_are_refused(tmp_path, name):
    path = pack(tmp_path / "images.zip", CLASSES | {name: png(0)})
    with pytest.raises(gankit.DataError, match=r"points out of the zip"):
        prepared(path)


def test_zip_with_separators_of_windows(tmp_path):
    path = pack(tmp_path / "images.zip", {name.replace("/", "\\"): data for name, data in CLASSES.items()})
    dataset = prepared(path)
    assert dataset.classes == ("a", "b", "c")
    assert names(dataset, CLASSES) == sorted(CLASSES)


def test_zip_entry_with_a_wrong_checksum(tmp_path):
    path = pack(tmp_path / "images.zip", CLASSES, zipfile.ZIP_STORED)
    data = bytearray(path.read_bytes())
    data[data.index(CLASSES["b/2.png"]) + len(CLASSES["b/2.png"]) - 1] ^= 1
    path.write_bytes(data)
    with pytest.warns(UserWarning, match="skipped"):
        dataset = prepared(path, on_error="skip")
    assert dataset.skipped == ("b/2.png",)
    with pytest.raises(gankit.DataError, match=r"'b/2.png' .*Bad CRC-32"):
        prepared(path)[6]


def test_zip_is_read_by_forked_workers(tmp_path):
    dataset = prepared(pack(tmp_path / "images.zip", {f"{i:03}.png": png(i) for i in range(64)}))
    expected = [dataset[i][0] for i in range(64)]  # leaves the parent's file open
    loader = DataLoader(dataset, batch_size=4, num_workers=2, multiprocessing_context="fork")
    for _ in range(2):
        images = torch.cat([batch for batch, _ in loader])
        assert torch.equal(images, torch.stack(expected))


def test_keeps_the_contract(put):
    dataset = prepared(put(CLASSES))
    dataset[0]  # opens the zip
    check_dataset(dataset)


def test_symbolic_links_are_followed_but_not_in_circles(tmp_path):
    folder = fill(tmp_path / "images", CLASSES)
    elsewhere = fill(tmp_path / "elsewhere", {"0.png": png(100), "deep/1.png": png(101)})
    (folder / "d").symlink_to(elsewhere)
    (elsewhere / "deep" / "back").symlink_to(folder)
    (folder / "a" / "up").symlink_to(folder)
    (folder / "self").symlink_to(folder / "self")
    (folder / "a" / "4.png").symlink_to(elsewhere / "0.png")
    dataset = prepared(folder)
    assert dataset.classes == ("a", "b", "c", "d")
    assert len(dataset) == 12 + 1 + 2


def test_broken_link_is_named(tmp_path):
    folder = fill(tmp_path / "images", CLASSES)
    (folder / "a" / "9.png").symlink_to(tmp_path / "gone.png")
    with pytest.raises(gankit.DataError, match=r"'a/9.png' cannot be read: .*No such file"):
        prepared(folder)


def test_a_named_pipe_does_not_block(tmp_path):
    folder = fill(tmp_path / "images", CLASSES)
    os.mkfifo(folder / "a" / "pipe.png")
    assert len(prepared(folder)) == 12


def test_stays_with_its_folder_when_the_current_one_changes(tmp_path, monkeypatch):
    fill(tmp_path / "images", CLASSES)
    monkeypatch.chdir(tmp_path)
    dataset = prepared(Path("images"))
    monkeypatch.chdir("/")
    assert dataset[0][0].shape == (3, 6, 8)


def test_splits_share_nothing_and_keep_their_images(put, tmp_path):
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
    with pytest.raises(ValueError, match="split 'test' holds no images while test_fraction is 0; set test_fraction"):
        ImageFolder(path=tmp_path, split="test")


def test_registered_with_its_parameters(tmp_path):
    import gankit_datasets

    registries = gankit.Registries()
    gankit_datasets.register(registries)
    assert {entry.name for entry in registries.datasets} == {"image_folder", "mnist", "fashion_mnist", "shapes"}
    entry = registries.datasets.get("image_folder")
    dataset = entry.build(entry.schema(path=str(tmp_path), channels=1))
    assert (dataset.path, dataset.channels) == (tmp_path, 1)


def test_round_trip_of_a_whole_set(put):
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
