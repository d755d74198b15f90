"""Damaged files, unsafe paths and links in image folders."""

import io
import os
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import gankit
from gankit_datasets import ImageFolder


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
    with pytest.raises(gankit.DataError, match=r"images\S* has no images \(.jpg, .jpeg"):
        prepared(put({"notes.txt": b"x"}))


def test_missing_path(tmp_path):
    dataset = ImageFolder(path=tmp_path / "absent")
    with pytest.raises(gankit.DataError, match=r"absent does not exist; set `path` to a folder or a zip"):
        dataset.prepare()


@pytest.mark.parametrize("content", [b"", b"hello", "truncated"])
def test_a_file_that_is_not_a_zip(tmp_path, content):
    path = pack(tmp_path / "images.zip", CLASSES)
    path.write_bytes(path.read_bytes()[:-40] if content == "truncated" else content)
    with pytest.raises(gankit.DataError, match=r"images.zip is neither a folder nor a complete zip"):
        prepared(path)


@pytest.mark.parametrize("name", ["/etc/x.png", "../x.png", "a/../../x.png", "C:/x.png", "C:\\x.png", "a\\..\\x.png"])
def test_zip_entries_that_point_elsewhere_are_refused(tmp_path, name):
    path = pack(tmp_path / "images.zip", CLASSES | {name: png(0)})
    with pytest.raises(gankit.DataError, match=r"points out of the zip"):
        prepared(path)


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
