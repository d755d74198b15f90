"""Damaged files, unsafe paths and links in image folders."""

import json
import os
import re
import warnings
import zipfile

import pytest

import gankit
from gankit_datasets import ImageFolder


@pytest.fixture
def damaged(png):
    """Damaged files, by path."""
    return {"a/3.png": png(0)[:-60], "b/x.png": b"nothing", "c/y.jpg": b""}


def test_refuse_names_broken_headers_at_once(put, prepared, class_files, damaged):
    with pytest.raises(gankit.DataError) as caught:
        prepared(put(class_files | damaged))
    message = str(caught.value)
    assert "2 of 14 images cannot be used: 'b/x.png' is not an image" in message
    assert "'c/y.jpg' is not an image" in message
    assert "set `on_error: skip`" in message


def test_refuse_names_a_truncated_image_when_it_is_read(put, prepared, class_files, damaged):
    dataset = prepared(put(class_files | {"a/3.png": damaged["a/3.png"]}))
    assert dataset[2][0].shape == (3, 6, 10)
    with pytest.raises(gankit.DataError, match=r"images\S*: 'a/3.png' is damaged: .*set `on_error: skip`"):
        dataset[3]


def test_skip_leaves_out_the_broken_and_names_them_once(put, prepared, names, class_files, damaged):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dataset = prepared(put(class_files | damaged), on_error="skip")
    (warning,) = dataset.describe().warnings
    assert re.search(r"3 of 14 images cannot be used: 'a/3.png' is damaged.*; skipped", warning)
    assert list(dataset.describe().skipped) == ["a/3.png", "b/x.png", "c/y.jpg"]
    assert dataset.skipped == ("a/3.png", "b/x.png", "c/y.jpg")
    assert names(dataset, class_files) == [name for name in sorted(class_files) if name != "a/3.png"]
    assert dataset.labels.tolist() == [0] * 3 + [1] * 4 + [2] * 4


def test_a_run_prints_one_sentence_about_the_broken(
    cli, tiny_recipe, tiny_plugin_file, tmp_path, monkeypatch, fill, class_files, damaged
):
    monkeypatch.chdir(tmp_path)
    fill(tmp_path / "images", class_files | damaged)
    recipe = tiny_recipe(tmp_path, dataset={"name": "image_folder", "path": "images", "on_error": "skip"})
    said = cli("run", recipe, "--plugin", tiny_plugin_file)
    assert said.code == 0, said.err
    (line,) = [line for line in said.err.splitlines() if "cannot be used" in line]
    assert line.startswith(f"warning: {tmp_path / 'images'}: 3 of 14 images cannot be used: 'a/3.png' is damaged")
    assert "image_folder.py" not in said.err
    assert "data: 11 images, classes: a 3, b 4, c 4; damaged: 3" in said.out
    (run,) = (tmp_path / "results").iterdir()
    lines = [json.loads(line) for line in (run / "skipped_files.jsonl").read_text().splitlines()]
    assert [line["file"] for line in lines] == ["a/3.png", "b/x.png", "c/y.jpg"]
    assert all("damaged" in line["reason"] or "not an image" in line["reason"] for line in lines)
    assert json.loads((run / "run.json").read_text())["data"]["summary"].startswith("11 images")


def test_skip_is_silent_where_nothing_is_broken(put, prepared, class_files):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dataset = prepared(put(class_files), on_error="skip")
    assert dataset.skipped == ()
    assert dataset.describe() == gankit.DataDescription("12 images, classes: a 4, b 4, c 4")


def test_a_long_list_of_broken_files_is_cut(put, prepared):
    broken = {f"{i}.png": b"x" for i in range(9)}
    with pytest.raises(gankit.DataError, match=r"9 of 9 images cannot be used: '0.png' .*'4.png'[^']*; and 4 more"):
        prepared(put(broken))
    with pytest.raises(gankit.DataError, match="none of 9 images is left for split 'train'; .* 9 of 9"):
        prepared(put(broken), on_error="skip")


def test_nothing_to_find(put, prepared):
    with pytest.raises(gankit.DataError, match=r"images\S* has no images \(.jpg, .jpeg"):
        prepared(put({"notes.txt": b"x"}))


@pytest.mark.parametrize(
    ("on_error", "message"),
    [
        ("skip", r"images\S*: all images of class 'd' are damaged: 'd/0.png' is not an image.*; replace them, or delete"),
        ("refuse", r"images\S*: 3 of 15 images cannot be used: 'd/0.png' is not an image.*'d/1.png'.*'d/2.png'.*`on_error"),
    ],
)
def test_a_class_whose_images_are_all_damaged_is_refused(put, prepared, class_files, on_error, message):
    files = class_files | {f"d/{i}.png": b"nothing" for i in range(3)}
    with pytest.raises(gankit.DataError, match=message):
        prepared(put(files), on_error=on_error)


def test_missing_path(tmp_path):
    dataset = ImageFolder(path=tmp_path / "absent")
    with pytest.raises(gankit.DataError, match=r"absent does not exist; give the path of a folder or a zip"):
        dataset.prepare()


@pytest.mark.parametrize("content", [b"", b"hello", "truncated"])
def test_a_file_that_is_not_a_zip(tmp_path, content, pack, prepared, class_files):
    path = pack(tmp_path / "images.zip", class_files)
    path.write_bytes(path.read_bytes()[:-40] if content == "truncated" else content)
    with pytest.raises(gankit.DataError, match=r"images.zip is neither a folder nor a complete zip"):
        prepared(path)


@pytest.mark.parametrize("name", ["/etc/x.png", "../x.png", "a/../../x.png", "C:/x.png", "C:\\x.png", "a\\..\\x.png"])
def test_zip_entries_that_point_elsewhere_are_refused(tmp_path, name, png, pack, prepared, class_files):
    path = pack(tmp_path / "images.zip", class_files | {name: png(0)})
    with pytest.raises(gankit.DataError, match=r"points out of the zip"):
        prepared(path)


def test_zip_entry_with_a_wrong_checksum(tmp_path, pack, prepared, class_files):
    path = pack(tmp_path / "images.zip", class_files, zipfile.ZIP_STORED)
    data = bytearray(path.read_bytes())
    data[data.index(class_files["b/2.png"]) + len(class_files["b/2.png"]) - 1] ^= 1
    path.write_bytes(data)
    dataset = prepared(path, on_error="skip")
    assert dataset.skipped == ("b/2.png",)
    with pytest.raises(gankit.DataError, match=r"'b/2.png' .*Bad CRC-32"):
        prepared(path)[6]


def test_symbolic_links_are_followed_but_not_in_circles(tmp_path, png, fill, prepared, class_files):
    folder = fill(tmp_path / "images", class_files)
    elsewhere = fill(tmp_path / "elsewhere", {"0.png": png(100), "deep/1.png": png(101)})
    (folder / "d").symlink_to(elsewhere)
    (elsewhere / "deep" / "back").symlink_to(folder)
    (folder / "a" / "up").symlink_to(folder)
    (folder / "self").symlink_to(folder / "self")
    (folder / "a" / "4.png").symlink_to(elsewhere / "0.png")
    dataset = prepared(folder)
    assert dataset.classes == ("a", "b", "c", "d")
    assert len(dataset) == 12 + 1 + 2


def test_broken_link_is_named(tmp_path, fill, prepared, class_files):
    folder = fill(tmp_path / "images", class_files)
    (folder / "a" / "9.png").symlink_to(tmp_path / "gone.png")
    with pytest.raises(gankit.DataError, match=r"'a/9.png' cannot be read: .*No such file"):
        prepared(folder)


def test_a_named_pipe_does_not_block(tmp_path, fill, prepared, class_files):
    folder = fill(tmp_path / "images", class_files)
    os.mkfifo(folder / "a" / "pipe.png")
    assert len(prepared(folder)) == 12
