"""Images and archives of a stranger: refused or skipped by name, soon and in little memory."""

from __future__ import annotations

import gzip
import io
import resource
import stat
import struct
import time
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

import gankit
from gankit_cifar10.image_zip import read_zip
from gankit_datasets import ImageFolder
from gankit_datasets.idx import read_idx


@pytest.fixture(autouse=True)
def _little() -> Iterator[None]:
    begun, before = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    assert time.process_time() - begun < 8
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 3 << 18


def small() -> bytes:
    data = io.BytesIO()
    Image.new("RGB", (32, 32)).save(data, "PNG")
    return data.getvalue()


def claiming(width: int, height: int) -> bytes:
    """A PNG with next to no pixels."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def zipped(path: Path, **more: bytes) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in {"a/x.png": small(), "b/x.png": small(), **more}.items():
            archive.writestr(name, data)
    return path


def bomb(path: Path, mebibytes: int) -> Path:
    """An entry that inflates to so much, in a zip of next to nothing."""
    with zipfile.ZipFile(zipped(path), "a", zipfile.ZIP_DEFLATED) as archive, archive.open("a/z.png", "w") as entry:
        entry.write(claiming(10, 10)[:-12])
        for _ in range(mebibytes):
            entry.write(bytes(2**20))
    assert path.stat().st_size < 2**21
    return path


def skipped(path: Path) -> tuple[str, ...]:
    images = ImageFolder(path=path, on_error="skip")
    with pytest.warns(UserWarning, match="cannot be used: 'a/z.png' "):
        images.prepare()
    assert len(images) == 2
    return images.skipped


def test_sixty_thousand_pixels_a_side(tmp_path):
    path = zipped(tmp_path / "x.zip", **{"a/z.png": claiming(60_000, 60_000)})
    assert skipped(path) == ("a/z.png",)
    with pytest.raises(gankit.DataError, match=r"'a/z.png' claims more than 67,108,864 pixels"):
        ImageFolder(path=path).prepare()
    with pytest.raises(gankit.DataError, match=r"'a/z.png' is damaged: claims more than 67,108,864 pixels"):
        read_zip(path, ("a", "b"), gankit.ImageSpec(32, 32, 3))


def test_an_entry_that_inflates(tmp_path):
    path = bomb(tmp_path / "x.zip", 300)
    assert skipped(path) == ("a/z.png",)
    with pytest.raises(gankit.DataError, match=r"'a/z.png' is damaged: it holds more than 1,048,576 bytes"):
        read_zip(path, ("a", "b"), gankit.ImageSpec(32, 32, 3))


def test_an_entry_that_is_a_link_or_encrypted(tmp_path):
    path = zipped(tmp_path / "x.zip")
    link = zipfile.ZipInfo("a/z.png")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(link, "/etc/passwd")
    assert skipped(path) == ("a/z.png",)
    content = bytearray(path.read_bytes())
    entry = content.rindex(b"PK\1\2")
    content[entry + 8] |= 1  # the flag of encryption
    path.write_bytes(content)
    assert skipped(path) == ("a/z.png",)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_that_is_there_twice(tmp_path):
    path = zipped(tmp_path / "x.zip")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("a/x.png", small())
    images = ImageFolder(path=path)
    images.prepare()
    assert len(images) == 2


def test_idx_files_that_lie(tmp_path):
    path = tmp_path / "x.gz"
    with gzip.open(path, "wb") as file:
        file.write(bytes((0, 0, 8, 3)) + struct.pack(">III", 2**32 - 1, 2**32 - 1, 2**32 - 1) + b"x")
    with pytest.raises(gankit.DataError, match="holds 1 bytes, where its header promises 4294967295 x"):
        read_idx(path, 3)
    with gzip.open(path, "wb", compresslevel=1) as file:
        for _ in range(300):
            file.write(bytes(2**20))
    with pytest.raises(gankit.DataError, match="holds more than 268,435,456 bytes"):
        read_idx(path, 3)
