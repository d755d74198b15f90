"""Images that were decoded once are not decoded again, and fingerprints of the data."""

from __future__ import annotations

import os
import shutil

import pytest

import gankit
from gankit.data.files import image_scan
from gankit_datasets import ImageFolder


@pytest.fixture
def decoded(monkeypatch, tmp_path):
    """The number of images that were verified so far, as a list; small folders are indexed too."""
    calls: list[int] = []

    def verify(file):
        calls.append(1)
        return original(file)

    original = image_scan.verify_image
    monkeypatch.setattr(image_scan, "verify_image", verify)
    monkeypatch.setattr(image_scan, "INDEXED_BYTES", 0)
    monkeypatch.setenv("GANKIT_DATA_DIR", str(tmp_path / "data"))
    return calls


class TestIndex:
    def test_unchanged_images_are_not_decoded_again(self, put, prepared, class_files, decoded):
        path = put(class_files | {"a/3.png": b"nothing"})
        first = prepared(path, on_error="skip")
        assert len(decoded) == 12
        again = prepared(path, on_error="skip")
        assert len(decoded) == 12
        assert first.skipped == again.skipped == ("a/3.png",)
        assert first.describe() == again.describe()
        assert first.fingerprint() == again.fingerprint()

    def test_only_changed_images_are_decoded_again(self, tmp_path, fill, png, prepared, class_files, decoded):
        path = fill(tmp_path / "images", class_files)
        prepared(path, on_error="skip")
        before = (path / "a/1.png").stat()
        data = bytearray(class_files["a/1.png"])
        data[len(data) // 2] ^= 1  # of the same length, with the same time stamps
        (path / "a/1.png").write_bytes(data)
        os.utime(path / "a/1.png", ns=(before.st_atime_ns, before.st_mtime_ns))
        (path / "b/new.png").write_bytes(png(50))
        os.utime(path / "c/0.png")  # touched, but the same
        del decoded[:]
        assert prepared(path, on_error="skip").skipped == ("a/1.png",)
        assert len(decoded) == 2

    def test_splits_share_an_index(self, put, prepared, class_files, decoded):
        path = put(class_files)
        for _ in range(2):
            for split in ("train", "test"):
                prepared(path, on_error="skip", split=split, test_fraction=0.5)
        assert len(decoded) == 12

    @pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"files": {"a/0.png": [1, 2, 3, 4]}}'])
    def test_a_damaged_index_is_replaced(self, tmp_path, put, prepared, class_files, decoded, content):
        path = put(class_files)
        prepared(path, on_error="skip")
        (index,) = (tmp_path / "data" / "gankit-images").iterdir()
        index.write_bytes(content)
        for _ in range(2):
            assert len(prepared(path, on_error="skip")) == 12
        assert len(decoded) == 24

    def test_an_index_that_cannot_be_written_is_said(self, tmp_path, put, prepared, class_files, decoded):
        (tmp_path / "data").touch()  # a file in the place of the folder
        (warning,) = prepared(put(class_files), on_error="skip").describe().warnings
        assert "checked again at the next start" in warning

    def test_small_folders_leave_no_index(self, tmp_path, monkeypatch, put, prepared, class_files):
        monkeypatch.setenv("GANKIT_DATA_DIR", str(tmp_path / "data"))
        prepared(put(class_files), on_error="skip")
        assert not (tmp_path / "data").exists()


class TestFingerprint:
    def fingerprint(self, path, **params) -> str:
        dataset = ImageFolder(path=path, **params)
        dataset.prepare()
        return dataset.fingerprint()

    @pytest.fixture(params=["folder", "zip"])
    def place(self, request, tmp_path, fill, pack):
        """``place(name, files)``: a folder or a zip of this name."""
        write = fill if request.param == "folder" else pack
        return lambda name, files: write(tmp_path / name, files)

    def test_it_does_not_depend_on_place_or_time(self, place, class_files):
        path = place("one", class_files)
        before = self.fingerprint(path)
        os.utime(path, (0, 0))
        assert self.fingerprint(path) == before
        assert self.fingerprint(path, on_error="skip") == before
        moved = shutil.move(path, path.with_name("two"))
        assert self.fingerprint(moved) == before

    @pytest.mark.parametrize("change", ["added", "removed", "renamed", "replaced", "other class", "class renamed"])
    def test_it_depends_on_the_images(self, place, png, class_files, change):
        files = dict(class_files)
        if change == "added":
            files["a/9.png"] = png(99)
        elif change == "replaced":
            files["a/0.png"] = png(99)
        elif change == "class renamed":
            files = {name.replace("a/", "d/"): data for name, data in files.items()}
        else:
            data = files.pop("a/0.png")
            if change != "removed":
                files["a/z.png" if change == "renamed" else "b/z.png"] = data
        assert self.fingerprint(place("one", class_files)) != self.fingerprint(place("two", files))

    def test_it_depends_on_the_channels_but_not_on_other_files(self, place, class_files):
        before = self.fingerprint(place("one", class_files))
        assert self.fingerprint(place("one", class_files), channels=1) != before
        assert self.fingerprint(place("two", class_files | {"notes.txt": b"x", "a/.DS_Store": b"y"})) == before

    def test_uncompressed_images_are_read_whole(self, tmp_path):
        """An edit in the middle changes neither their size nor their ends."""
        from PIL import Image

        for name, color in (("one", "red"), ("two", "blue")):
            image = Image.new("RGB", (256, 256))
            image.paste(color, (120, 120, 130, 130))
            (tmp_path / name).mkdir()
            image.save(tmp_path / name / "x.bmp")
        assert self.fingerprint(tmp_path / "one") != self.fingerprint(tmp_path / "two")


def test_progress_is_reported(put, class_files):
    seen = []
    ImageFolder(path=put(class_files)).prepare(report=lambda *args: seen.append(args))
    assert seen[0] == ("checking images", 0, 12)
    assert seen[-1] == ("checking images", 12, 12)


def test_an_unprepared_dataset_has_no_fingerprint(tmp_path):
    for method in ("fingerprint", "describe"):
        with pytest.raises(RuntimeError, match=r"prepare\(\)"):
            getattr(ImageFolder(path=tmp_path), method)()


def test_image_folders_describe_themselves(put, prepared, class_files):
    assert isinstance(prepared(put(class_files)).describe(), gankit.DataDescription)
