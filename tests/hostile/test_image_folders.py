"""Untrusted folders of images: links, pipes, depth and names."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from PIL import Image

import gankit
from gankit.data.files import folder_walk
from gankit.evaluation.folder_images import FolderImages
from gankit_datasets import ImageFolder


@pytest.fixture(autouse=True)
def _bounded(within):
    with within(8, 768):
        yield


class TestFolders:
    @pytest.fixture
    def pictures(self, tmp_path, small_png):
        folder = tmp_path / "pictures"
        (folder / "a").mkdir(parents=True)
        (folder / "a" / "x.png").write_bytes(small_png)
        return folder

    def test_links_out_of_the_folder_are_followed_to_images_only(self, pictures, tmp_path, small_png):
        """Pipes, devices, other files and broken links are refused without waiting."""
        (tmp_path / "other").mkdir()
        (tmp_path / "other" / "y.png").write_bytes(small_png)
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
        images.prepare()
        assert "5 of 7 images cannot be used" in images.describe().warnings[0]
        assert len(images) == 2
        with pytest.raises(gankit.DataError, match=r"p.png: cannot be read as an image: is not a regular file"):
            FolderImages(pictures, 3, 7, 0)

    def test_crossing_links_are_bounded(self, tmp_path, monkeypatch):
        """Thirty folders with 2^30 paths through them."""
        monkeypatch.setattr(folder_walk, "MAX_REVISITED", 5_000)  # the default is tested below
        for number in range(30):
            (tmp_path / f"d{number}").mkdir()
            for side in "lr":
                (tmp_path / f"d{number}" / side).symlink_to(tmp_path / f"d{number + 1}")
        with pytest.raises(gankit.DataError, match=r"same folders repeatedly, with more than 5,000 entries"):
            ImageFolder(path=tmp_path / "d0").prepare()

    def test_many_links_to_one_folder_are_bounded(self, tmp_path):
        """300 links to a folder of 1,000 files give 300,000 paths."""
        (tmp_path / "many").mkdir()
        for number in range(1_000):
            (tmp_path / "many" / f"{number}.png").touch()
        (tmp_path / "links").mkdir()
        for number in range(300):
            (tmp_path / "links" / f"{number}").symlink_to(tmp_path / "many")
        with pytest.raises(gankit.DataError, match=r"same folders repeatedly, with more than 100,000 entries"):
            ImageFolder(path=tmp_path / "links").prepare()

    def test_one_link_per_class_is_allowed(self, tmp_path, small_png):
        """Each class may be a link to another disk."""
        for number in range(1_500):
            (tmp_path / "disk" / f"{number}").mkdir(parents=True)
            (tmp_path / "disk" / f"{number}" / "x.png").write_bytes(small_png)
        (tmp_path / "linked").mkdir()
        for number in range(1_500):
            (tmp_path / "linked" / f"{number}").symlink_to(tmp_path / "disk" / f"{number}")
        images = ImageFolder(path=tmp_path / "linked")
        images.prepare()
        assert len(images) == len(images.classes) == 1_500

    def test_links_to_files_without_suffix(self, tmp_path, small_png):
        """As in the cache of the Hugging Face Hub, whose links lead to files named by their hash."""
        for number in range(4):
            blob = tmp_path / "blobs" / f"{number:064}"
            blob.parent.mkdir(exist_ok=True)
            blob.write_bytes(small_png)
            link = tmp_path / "snapshots" / "0" / f"class{number % 2}" / f"{number}.png"
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(Path("../../..", "blobs", blob.name))
        images = ImageFolder(path=tmp_path / "snapshots" / "0")
        images.prepare()
        assert (len(images), images.classes) == (4, ("class0", "class1"))
        assert FolderImages(tmp_path / "snapshots", 3, 4, 0).size == (32, 32)

    def test_a_link_to_a_parent_folder_is_ignored(self, pictures):
        (pictures / "a" / "root").symlink_to("/")
        images = ImageFolder(path=pictures)
        images.prepare()
        assert len(images) == 1

    def test_folders_deeper_than_the_recursion_limit(self, tmp_path, monkeypatch, small_png):
        monkeypatch.chdir(tmp_path)
        for _ in range(1_200):
            os.mkdir("a")  # noqa: PTH102  # the absolute path would be too long
            os.chdir("a")
        Path("x.png").write_bytes(small_png)
        os.chdir(tmp_path)
        images = ImageFolder(path=tmp_path)
        images.prepare()
        assert len(images) == 1
        inner = FolderImages(tmp_path, 3, 1, 0)
        assert inner.size == (32, 32)
        top = str(tmp_path / "a")
        os.system(f"rm -rf '{top}'")  # pytest removes folders recursively

    def test_control_characters_in_names_are_escaped(self, pictures, cli):
        (pictures / "a" / "\x1b]0;owned\x07\nerror: none.png").write_bytes(b"x")
        with pytest.raises(gankit.DataError) as caught:
            ImageFolder(path=pictures).prepare()
        assert str(caught.value).isprintable()
        with pytest.raises(gankit.DataError) as caught:
            FolderImages(pictures, 3, 2, 0)
        assert str(caught.value).isprintable()

    @pytest.mark.parametrize("fault", ["pixels", "bytes"])
    def test_evaluated_images_have_the_same_limits(self, pictures, fault, small_png, claiming):
        if fault == "pixels":
            (pictures / "a" / "z.png").write_bytes(claiming(60_000, 60_000))
            with pytest.raises(
                gankit.DataError, match=r"z.png: cannot be read as an image: claims more than 67,108,864"
            ):
                FolderImages(pictures, 3, 2, 0, (32, 32))
            return
        (pictures / "a" / "z.png").write_bytes(small_png + bytes(2**25))
        images = FolderImages(pictures, 3, 2, 0)
        with pytest.raises(
            gankit.DataError, match=r"z.png: .* holds more than .* bytes, which is too many for its pixels"
        ):
            list(images.batches())

    def test_evaluating_large_images_requires_a_size(self, tmp_path):
        Image.new("L", (5_000, 5_000)).save(tmp_path / "x.png")
        with pytest.raises(gankit.DataError, match=r"are 5000 x 5000; images of more than 16,777,216 pixels .* --size N"):
            FolderImages(tmp_path, 3, 1, 0)
