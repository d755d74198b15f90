"""Images and archives of a stranger: refused or skipped by name, soon and in little memory."""

from __future__ import annotations

import gzip
import io
import os
import stat
import struct
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import gankit
from gankit.data.resize import resize
from gankit.evaluation.folder_images import FolderImages
from gankit_cifar10.image_zip import read_zip
from gankit_datasets import ImageFolder
from gankit_datasets.idx import read_idx

Within = Callable[[float, int], AbstractContextManager[None]]


@pytest.fixture(autouse=True)
def _little(within: Within) -> Iterator[None]:
    with within(8, 768):
        yield


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


def test_a_million_entries(tmp_path):
    """Refused before they are read, by what there really is; the end of the zip may lie."""
    path = zipped(tmp_path / "x.zip")
    content = path.read_bytes()
    start = content.index(b"PK\1\2")
    end = content.rindex(b"PK\5\6")
    entry = content[start : content.index(b"PK\1\2", start + 1)]
    many = entry * 1_000_000
    record = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 2, 2, len(many), start, 0)
    path.write_bytes(content[:start] + many + record)
    assert len(content) - end == len(record)
    begun = time.process_time()
    message = "has 1,000,000 entries, and 500,000 is the limit of a zip; unpack it and name the folder"
    for on_error in ("skip", "refuse"):
        with pytest.raises(gankit.DataError, match=message):
            ImageFolder(path=path, on_error=on_error).prepare()
    with pytest.raises(
        gankit.DataError, match=r"its list of entries has 53,000,000 bytes, and 51,200,000 is the limit"
    ):
        read_zip(path, ("a", "b"), gankit.ImageSpec(32, 32, 3))
    assert time.process_time() - begun < 2


def test_as_many_entries_as_there_may_be(tmp_path):
    path = zipped(tmp_path / "x.zip")
    assert len(gankit.open_zip(path, 2).namelist()) == 2
    with pytest.raises(gankit.DataError, match="has 2 entries, and 1 is the limit of a zip"):
        gankit.open_zip(path, 1)


def test_a_zip_that_is_a_pipe_or_a_device(tmp_path):
    """Nothing is waited for."""
    os.mkfifo(tmp_path / "pipe.zip")
    (tmp_path / "device.zip").symlink_to("/dev/zero")
    for name in ("pipe.zip", "device.zip"):
        with pytest.raises(gankit.DataError, match=f"{name} is no readable zip: is no regular file"):
            read_zip(tmp_path / name, ("a", "b"), gankit.ImageSpec(32, 32, 3))


def test_thousands_of_damaged_images(tmp_path):
    """More than half of what was looked at: the rest is left alone, and few are named."""
    path = zipped(tmp_path / "x.zip", **{f"a/{number}.png": b"" for number in range(5_000)})
    for on_error in ("skip", "refuse"):
        with pytest.raises(gankit.DataError, match=r"of 1024 images cannot be used: .*the others were not") as caught:
            ImageFolder(path=path, on_error=on_error).prepare()
        assert len(str(caught.value)) < 1_000


@pytest.mark.parametrize(
    "name", ["../x.png", "a/../../x.png", "/etc/x.png", "\\\\server\\x.png", "..\\x.png", "C:\\x.png", "C:x.png", "a/" * 600 + "x.png"]
)  # fmt: skip
def test_names_that_lead_out(tmp_path, name):
    (tmp_path / "in").mkdir()
    path = zipped(tmp_path / "in/x.zip", **{name: small()})
    before = sorted(tmp_path.rglob("*"))
    for on_error in ("skip", "refuse"):
        with pytest.raises(gankit.DataError, match="points out of the zip|an entry has a name of 1,205 characters"):
            ImageFolder(path=path, on_error=on_error).prepare()
    assert sorted(tmp_path.rglob("*")) == before


def test_names_that_are_not_utf8(tmp_path):
    """Without the flag of UTF-8 they are read as DOS did; with it, the zip is damaged."""
    path = zipped(tmp_path / "x.zip", **{"a/zz.png": small()})
    path.write_bytes(path.read_bytes().replace(b"a/zz.png", b"a/\xff\xfe.png"))
    images = ImageFolder(path=path)
    images.prepare()
    assert len(images) == 3
    assert [images[index][1] for index in range(3)] == [0, 0, 1]
    path.write_bytes(zipped(path, **{"a/\xe9.png": small()}).read_bytes().replace(b"a/\xc3\xa9", b"a/\xff\xfe"))
    for read in (
        lambda: ImageFolder(path=path).prepare(),
        lambda: read_zip(path, ("a", "b"), gankit.ImageSpec(32, 32, 3)),
    ):
        with pytest.raises(gankit.DataError, match=r"is no readable zip: .*can't decode byte 0xff"):
            read()


def noise(mode: str, size: tuple[int, int] = (32, 32)) -> Image.Image:
    channels = len(Image.new(mode, (1, 1)).getbands())
    shape = (size[1], size[0], channels) if channels > 1 else (size[1], size[0])
    return Image.frombytes(mode, size, np.random.default_rng(0).integers(0, 256, shape, np.uint8).tobytes())


def encoded(image: Image.Image, form: str, **options: Any) -> bytes:
    data = io.BytesIO()
    image.save(data, form, **options)
    return data.getvalue()


@pytest.mark.parametrize(
    ("form", "options"), [("GIF", {}), ("PNG", {}), ("WEBP", {"lossless": True}), ("TIFF", {})]
)  # fmt: skip
def test_animations_give_their_first_frame(tmp_path, form, options):
    frames = [noise("L"), Image.new("L", (32, 32), 255)] + [Image.new("L", (32, 32), shade) for shade in range(50)]
    frames = [frame.convert("RGB") for frame in frames] if form == "WEBP" else frames
    data = encoded(frames[0], form, save_all=True, append_images=frames[1:], **options)
    assert Image.open(io.BytesIO(data)).n_frames > 2
    images = ImageFolder(path=zipped(tmp_path / "x.zip", **{f"a/w.{form.lower()}": data}))
    images.prepare()
    assert torch.equal(images[0][0][0], torch.from_numpy(np.asarray(noise("L"))))


@pytest.mark.parametrize(
    ("mode", "form"), [("CMYK", "JPEG"), ("CMYK", "TIFF"), ("I;16", "PNG"), ("I;16", "TIFF"), ("YCbCr", "JPEG")]
)
def test_other_kinds_of_pixels(tmp_path, mode, form):
    if mode == "I;16":
        image = Image.fromarray(np.random.default_rng(0).integers(0, 2**16, (32, 32), np.uint16))
    else:
        image = noise(mode)
    data = encoded(image, form)
    images = ImageFolder(path=zipped(tmp_path / "x.zip", **{f"a/w.{form.lower()}": data}))
    images.prepare()
    if mode == "I;16":
        expected = np.rint(np.asarray(image) * (255 / 65535)).astype(np.uint8)[..., None].repeat(3, 2)
    else:
        expected = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    assert np.array_equal(images[0][0].permute(1, 2, 0).numpy(), expected)


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"])
def test_images_that_are_cut_short(tmp_path, form):
    data = encoded(noise("RGB", (64, 64)), form)
    for part in (0.1, 0.5, 0.9):
        assert skipped(zipped(tmp_path / "x.zip", **{"a/z.png": data[: int(part * len(data))]})) == ("a/z.png",)


@pytest.mark.parametrize("form", ["EPS", "PDF", "PPM", "JPEG2000", "ICO"])
def test_formats_under_another_name(tmp_path, form):
    """Pillow would open them by what they are, and start Ghostscript for the first."""
    data = encoded(noise("RGB", (64, 64)), form)
    path = zipped(tmp_path / "x.zip", **{"a/z.png": data})
    assert skipped(path) == ("a/z.png",)
    with pytest.raises(
        gankit.DataError, match=r"'a/z.png' is no image of a known format \(JPEG, PNG, WEBP, BMP, TIFF, GIF\)"
    ):
        ImageFolder(path=path).prepare()
    with pytest.raises(gankit.DataError, match=r"'a/z.png' is damaged: is no image of a known format"):
        read_zip(path, ("a", "b"), gankit.ImageSpec(32, 32, 3))
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "z.png").write_bytes(data)
    with pytest.raises(gankit.DataError, match=r"z.png: cannot be read as an image: is no image of a known format"):
        FolderImages(tmp_path / "pictures", 3, 1, 0)


class TestFolders:
    @pytest.fixture
    def pictures(self, tmp_path):
        folder = tmp_path / "pictures"
        (folder / "a").mkdir(parents=True)
        (folder / "a" / "x.png").write_bytes(small())
        return folder

    def test_links_out_of_it(self, pictures, tmp_path):
        """Are followed to images, and to nothing else; nothing is waited for."""
        (tmp_path / "other").mkdir()
        (tmp_path / "other" / "y.png").write_bytes(small())
        (pictures / "b").symlink_to(tmp_path / "other")
        for name, target in (
            ("p", tmp_path / "pipe"),
            ("q", "/dev/zero"),
            ("r", "/etc/passwd"),
            ("s", "/no"),
            ("t", "t.png"),
        ):
            (pictures / "a" / f"{name}.png").symlink_to(target)
        os.mkfifo(tmp_path / "pipe")
        images = ImageFolder(path=pictures, on_error="skip")
        with pytest.warns(UserWarning, match="5 of 7 images cannot be used"):
            images.prepare()
        assert len(images) == 2
        with pytest.raises(gankit.DataError, match=r"p.png: cannot be read as an image: is no regular file"):
            FolderImages(pictures, 3, 7, 0)

    def test_links_that_multiply(self, tmp_path):
        """Thirty folders, and two to the power of thirty ways through them."""
        for number in range(30):
            (tmp_path / f"d{number}").mkdir()
            for side in "lr":
                (tmp_path / f"d{number}" / side).symlink_to(tmp_path / f"d{number + 1}")
        with pytest.raises(gankit.DataError, match=r"same folders again and again, with more than 100,000 entries"):
            ImageFolder(path=tmp_path / "d0").prepare()

    def test_links_to_one_folder(self, tmp_path):
        """Three hundred, to a thousand files: next to nothing on the disk, and three hundred thousand images."""
        (tmp_path / "many").mkdir()
        for number in range(1_000):
            (tmp_path / "many" / f"{number}.png").touch()
        (tmp_path / "links").mkdir()
        for number in range(300):
            (tmp_path / "links" / f"{number}").symlink_to(tmp_path / "many")
        with pytest.raises(gankit.DataError, match=r"same folders again and again"):
            ImageFolder(path=tmp_path / "links").prepare()

    def test_as_many_links_to_folders_as_there_are_classes(self, tmp_path):
        """Data on another disk, of which each class is linked: what is there once is no excess."""
        for number in range(1_500):
            (tmp_path / "disk" / f"{number}").mkdir(parents=True)
            (tmp_path / "disk" / f"{number}" / "x.png").write_bytes(small())
        (tmp_path / "linked").mkdir()
        for number in range(1_500):
            (tmp_path / "linked" / f"{number}").symlink_to(tmp_path / "disk" / f"{number}")
        images = ImageFolder(path=tmp_path / "linked")
        images.prepare()
        assert len(images) == len(images.classes) == 1_500

    def test_a_cache_of_links_to_nameless_files(self, tmp_path):
        """As the Hugging Face Hub's: names are links, and what they lead to lies elsewhere under its checksum."""
        for number in range(4):
            blob = tmp_path / "blobs" / f"{number:064}"
            blob.parent.mkdir(exist_ok=True)
            blob.write_bytes(small())
            link = tmp_path / "snapshots" / "0" / f"class{number % 2}" / f"{number}.png"
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(Path("../../..", "blobs", blob.name))
        images = ImageFolder(path=tmp_path / "snapshots" / "0")
        images.prepare()
        assert (len(images), images.classes) == (4, ("class0", "class1"))
        assert FolderImages(tmp_path / "snapshots", 3, 4, 0).size == (32, 32)

    def test_a_link_to_all_there_is(self, pictures):
        (pictures / "a" / "root").symlink_to("/")
        images = ImageFolder(path=pictures)
        images.prepare()
        assert len(images) == 1

    def test_deeper_than_python_goes(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        for _ in range(1_200):
            os.mkdir("a")  # noqa: PTH102  # relative, and not recursive as pathlib's
            os.chdir("a")
        Path("x.png").write_bytes(small())
        os.chdir(tmp_path)
        images = ImageFolder(path=tmp_path)
        images.prepare()
        assert len(images) == 1
        inner = FolderImages(tmp_path, 3, 1, 0)
        assert inner.size == (32, 32)
        top = str(tmp_path / "a")
        os.system(f"rm -rf '{top}'")  # shutil.rmtree, which pytest takes, is recursive

    def test_names_that_steer_a_terminal(self, pictures, cli):
        (pictures / "a" / "\x1b]0;owned\x07\nerror: none.png").write_bytes(b"x")
        with pytest.raises(gankit.DataError) as caught:
            ImageFolder(path=pictures).prepare()
        assert str(caught.value).isprintable()
        with pytest.raises(gankit.DataError) as caught:
            FolderImages(pictures, 3, 2, 0)
        assert str(caught.value).isprintable()

    @pytest.mark.parametrize("fault", ["pixels", "bytes"])
    def test_what_is_evaluated_has_the_same_limits(self, pictures, fault):
        if fault == "pixels":
            (pictures / "a" / "z.png").write_bytes(claiming(60_000, 60_000))
            with pytest.raises(
                gankit.DataError, match=r"z.png: cannot be read as an image: claims more than 67,108,864"
            ):
                FolderImages(pictures, 3, 2, 0, (32, 32))
            return
        (pictures / "a" / "z.png").write_bytes(small() + bytes(2**25))
        images = FolderImages(pictures, 3, 2, 0)
        with pytest.raises(
            gankit.DataError, match=r"z.png: .* holds more than .* bytes, which its pixels do not account"
        ):
            list(images.batches())

    def test_large_images_need_a_size(self, tmp_path):
        Image.new("L", (5_000, 5_000)).save(tmp_path / "x.png")
        with pytest.raises(gankit.DataError, match=r"are 5000 x 5000; images of more than 16,777,216 pixels .* --size N"):
            FolderImages(tmp_path, 3, 1, 0)


class TestLargeImages:
    @pytest.mark.parametrize(("form", "size"), [("JPEG", (8_192, 6_144)), ("PNG", (4_096, 4_098))])
    def test_a_photo_of_fifty_megapixels(self, form, size):
        """Comes in half its size, close to the mean of each four pixels."""
        small_one = noise("RGB", (83, 62))
        image = small_one.resize(size, Image.Resampling.BILINEAR)
        data = encoded(image, form, **({"quality": 95} if form == "JPEG" else {"compress_level": 1}))
        begun = time.process_time()
        found = gankit.decode_image(io.BytesIO(data), 3)
        assert time.process_time() - begun < 6
        assert found.shape == (3, size[1] // 2, size[0] // 2)
        expected = np.asarray(image.reduce(2)).astype(np.int16)
        error = np.abs(found.permute(1, 2, 0).numpy() - expected)
        assert error.max() <= (0 if form == "PNG" else 8)

    def test_a_photo_of_twenty_four_megapixels_stays_as_it_is(self):
        data = encoded(Image.new("RGB", (6_000, 4_000), "red"), "PNG")
        assert gankit.decode_image(io.BytesIO(data), 3).shape == (3, 4_000, 6_000)
        assert gankit.decode_image(io.BytesIO(data), 3, least=1_000).shape == (3, 2_000, 3_000)

    def test_a_line_of_pixels(self):
        """Resized as a whole it would have a height of 64 and a width of three thousand million."""
        for sides in ((1, 40_000_000), (40_000_000, 1)):
            line = torch.zeros(1, 3, *sides, dtype=torch.uint8)
            assert resize(line, 64, 64).shape == (1, 3, 64, 64)

    def test_a_line_of_pixels_across_an_image_that_is_a_line(self):
        assert resize(torch.full((1, 3, 100, 1), 7, dtype=torch.uint8), 8, 256).eq(7).all()
        assert resize(torch.full((1, 3, 1, 100), 7, dtype=torch.uint8), 256, 8).eq(7).all()

    def test_scans_without_end(self):
        """A progressive JPEG may go over all pixels again and again, for ten bytes each time."""
        data = encoded(Image.new("L", (4_096, 4_096)), "JPEG", progressive=True)
        last = data.rindex(b"\xff\xda")
        with pytest.raises(gankit.DecodeError, match=r"has 5,\d\d\d scans of 4096 x 4096 pixels; save it anew"):
            gankit.decode_image(io.BytesIO(data[:last] + data[last:-2] * 5_000 + data[-2:]), 1)
        assert gankit.decode_image(io.BytesIO(data), 1).shape == (1, 4_096, 4_096)
