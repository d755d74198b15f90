"""Untrusted zip archives and IDX files: refused or skipped by name, in bounded time and memory."""

from __future__ import annotations

import gzip
import os
import stat
import struct
import time
import zipfile
from pathlib import Path

import pytest

import gankit
from gankit_cifar10.image_zip import read_zip
from gankit_datasets import ImageFolder
from gankit_datasets.idx import read_idx


@pytest.fixture(autouse=True)
def _bounded(within):
    with within(8, 768):
        yield


def bomb(path: Path, start: bytes, mebibytes: int) -> Path:
    """Add an entry that expands to this size, while the zip stays below 2 MiB."""
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive, archive.open("a/z.png", "w") as entry:
        entry.write(start)
        for _ in range(mebibytes):
            entry.write(bytes(2**20))
    assert path.stat().st_size < 2**21
    return path


def test_a_png_that_claims_60000_x_60000_pixels(tmp_path, claiming, zipped, skipped):
    path = zipped(tmp_path / "x.zip", **{"a/z.png": claiming(60_000, 60_000)})
    assert skipped(path) == ("a/z.png",)
    with pytest.raises(gankit.DataError, match=r"'a/z.png' claims more than 67,108,864 pixels"):
        ImageFolder(path=path).prepare()
    with pytest.raises(gankit.DataError, match=r"'a/z.png' is damaged: claims more than 67,108,864 pixels"):
        read_zip(path, ("a", "b"), gankit.ImageSpec(32, 32, 3))


def test_an_entry_that_expands_to_300_mib(tmp_path, claiming, zipped, skipped):
    path = bomb(zipped(tmp_path / "x.zip"), claiming(10, 10)[:-12], 300)
    assert skipped(path) == ("a/z.png",)
    with pytest.raises(gankit.DataError, match=r"'a/z.png' is damaged: it has more than 1,048,576 bytes"):
        read_zip(path, ("a", "b"), gankit.ImageSpec(32, 32, 3))


def test_entries_that_are_links_or_encrypted(tmp_path, zipped, skipped):
    path = zipped(tmp_path / "x.zip")
    link = zipfile.ZipInfo("a/z.png")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(link, "/etc/passwd")
    assert skipped(path) == ("a/z.png",)
    content = bytearray(path.read_bytes())
    entry = content.rindex(b"PK\1\2")
    content[entry + 8] |= 1  # the encryption flag
    path.write_bytes(content)
    assert skipped(path) == ("a/z.png",)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_duplicate_names_count_once(tmp_path, small_png, zipped):
    path = zipped(tmp_path / "x.zip")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("a/x.png", small_png)
    images = ImageFolder(path=path)
    images.prepare()
    assert len(images) == 2


def test_idx_files_with_false_sizes(tmp_path):
    path = tmp_path / "x.gz"
    with gzip.open(path, "wb") as file:
        file.write(bytes((0, 0, 8, 3)) + struct.pack(">III", 2**32 - 1, 2**32 - 1, 2**32 - 1) + b"x")
    with pytest.raises(gankit.DataError, match="has 1 bytes of data, but its header says 4294967295 x"):
        read_idx(path, 3)
    with gzip.open(path, "wb", compresslevel=1) as file:
        for _ in range(300):
            file.write(bytes(2**20))
    with pytest.raises(gankit.DataError, match="has more than 268,435,456 bytes"):
        read_idx(path, 3)


def test_a_million_entries_are_refused(tmp_path, zipped):
    """By counting them before they are parsed, as the number at the end of the zip may be false."""
    path = zipped(tmp_path / "x.zip")
    content = path.read_bytes()
    start = content.index(b"PK\1\2")
    end = content.rindex(b"PK\5\6")
    entry = content[start : content.index(b"PK\1\2", start + 1)]
    many = entry * 1_000_000
    record = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 2, 2, len(many), start, 0)
    path.write_bytes(content[:start] + many + record)
    assert len(content) - end == len(record)
    started = time.process_time()
    message = "has 1,000,000 entries, above the limit of 500,000; extract the zip and use the folder"
    for on_error in ("skip", "refuse"):
        with pytest.raises(gankit.DataError, match=message):
            ImageFolder(path=path, on_error=on_error).prepare()
    with pytest.raises(
        gankit.DataError, match=r"its list of entries has 53,000,000 bytes, above the limit of 51,200,000"
    ):
        read_zip(path, ("a", "b"), gankit.ImageSpec(32, 32, 3))
    assert time.process_time() - started < 2


def test_the_limit_of_entries_is_inclusive(tmp_path, zipped):
    path = zipped(tmp_path / "x.zip")
    assert len(gankit.open_zip(path, 2).namelist()) == 2
    with pytest.raises(gankit.DataError, match="has 2 entries, above the limit of 1"):
        gankit.open_zip(path, 1)


def test_pipes_and_devices_are_refused_without_waiting(tmp_path):
    os.mkfifo(tmp_path / "pipe.zip")
    (tmp_path / "device.zip").symlink_to("/dev/zero")
    for name in ("pipe.zip", "device.zip"):
        with pytest.raises(gankit.DataError, match=f"{name} is not a readable zip: is not a regular file"):
            read_zip(tmp_path / name, ("a", "b"), gankit.ImageSpec(32, 32, 3))


def test_thousands_of_damaged_images_give_a_short_message(tmp_path, zipped):
    """If more than half of the first images are damaged, the others are not decoded."""
    path = zipped(tmp_path / "x.zip", **{f"a/{number}.png": b"" for number in range(5_000)})
    for on_error in ("skip", "refuse"):
        with pytest.raises(
            gankit.DataError, match=r"of 1024 images cannot be used: .*the rest was not checked"
        ) as caught:
            ImageFolder(path=path, on_error=on_error).prepare()
        assert len(str(caught.value)) < 1_000


@pytest.mark.parametrize(
    "name", ["../x.png", "a/../../x.png", "/etc/x.png", "\\\\server\\x.png", "..\\x.png", "C:\\x.png", "C:x.png", "a/" * 600 + "x.png"]
)  # fmt: skip
def test_names_that_lead_out_of_the_zip(tmp_path, name, small_png, zipped):
    (tmp_path / "in").mkdir()
    path = zipped(tmp_path / "in/x.zip", **{name: small_png})
    before = sorted(tmp_path.rglob("*"))
    for on_error in ("skip", "refuse"):
        with pytest.raises(gankit.DataError, match="points out of the zip|an entry's name has 1,205 characters"):
            ImageFolder(path=path, on_error=on_error).prepare()
    assert sorted(tmp_path.rglob("*")) == before


def test_names_that_are_not_utf8(tmp_path, small_png, zipped):
    """Without the UTF-8 flag they are decoded as cp437; with it, the zip is damaged."""
    path = zipped(tmp_path / "x.zip", **{"a/zz.png": small_png})
    path.write_bytes(path.read_bytes().replace(b"a/zz.png", b"a/\xff\xfe.png"))
    images = ImageFolder(path=path)
    images.prepare()
    assert len(images) == 3
    assert [images[index][1] for index in range(3)] == [0, 0, 1]
    path.write_bytes(zipped(path, **{"a/\xe9.png": small_png}).read_bytes().replace(b"a/\xc3\xa9", b"a/\xff\xfe"))
    for read in (
        lambda: ImageFolder(path=path).prepare(),
        lambda: read_zip(path, ("a", "b"), gankit.ImageSpec(32, 32, 3)),
    ):
        with pytest.raises(gankit.DataError, match=r"is not a readable zip: .*can't decode byte 0xff"):
            read()
