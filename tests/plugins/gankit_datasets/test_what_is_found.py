"""What an image folder recognizes, leaves out, refuses and reports."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
from PIL import Image, features

import gankit
from gankit_datasets import ImageFolder


def encoded(form: str, seed: int = 0, **options: object) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, form, **options)
    return buffer.getvalue()


HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100)
GRAY_TIFF = encoded("TIFF")


class TestContent:
    @pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "GIF", "BMP", *(["AVIF"] if features.check("avif") else [])])
    def test_images_are_recognized_by_their_content(self, put, prepared, form):
        names = ("a", "b.dat", "c.jfif", "d.jpe", "e.PNG", "deep/f")
        dataset = prepared(put({name: encoded(form, seed) for seed, name in enumerate(names)}), on_error="skip")
        assert len(dataset) == len(names)
        assert dataset.describe().skipped == {}

    def test_other_files_are_counted_by_suffix(self, put, prepared):
        files = {"a.jpg": encoded("JPEG"), "b": encoded("PNG"), "LICENSE": b"BM is a word", "c.txt": b"x", "d.TXT": b"y"}
        description = prepared(put(files)).describe()
        assert description.summary == "2 images; ignored: 2 .txt, 1 without suffix"
        assert set(description.skipped) == {"LICENSE", "c.txt", "d.TXT"}

    def test_raw_files_of_cameras_are_not_images(self, put, prepared):
        """They are TIFF containers, whose first image is a preview."""
        files = {"a.tif": GRAY_TIFF, "b": GRAY_TIFF, "c.nef": GRAY_TIFF}
        assert prepared(put(files)).describe().summary == "2 images; ignored: 1 .nef"

    def test_heic_is_named_with_a_remedy(self, put, prepared):
        files = {f"{i}.heic": HEIC for i in range(5)} | {f"{i}.png": encoded("PNG", i) for i in range(2)}
        description = prepared(put(files)).describe()
        assert description.summary == "2 images; ignored: 5 .heic"
        (warning,) = description.warnings
        assert "does not read these images: 5 .heic; convert them" in warning

    def test_nothing_but_heic(self, put, prepared):
        with pytest.raises(gankit.DataError, match=r"has no images .*; it has 1 .heic; .* convert them to JPEG"):
            prepared(put({"1.heic": HEIC}))

    @pytest.mark.parametrize("brand", [b"heic", b"mif1"])
    def test_heic_under_another_name(self, put, prepared, brand):
        with pytest.raises(gankit.DataError, match=r"'1.jpg' is a HEIC image, which is not supported; convert it"):
            prepared(put({"1.jpg": HEIC.replace(b"heic", brand, 1)}))


class TestFolders:
    def test_system_files_are_left_out_and_named(self, put, prepared, class_files):
        others = ("@eaDir/a.png", "a/@eaDir/b.png", "__MACOSX/c.png", ".ipynb_checkpoints/d.png", "Thumbs.db", "a/.DS_Store")
        description = prepared(put(class_files | {name: encoded("PNG") for name in others})).describe()
        assert description.summary.startswith("12 images, classes: a 4, b 4, c 4; ignored: ")
        for part in ("2 @eaDir", "1 __MACOSX", "1 .ipynb_checkpoints", "1 Thumbs.db", "1 hidden"):
            assert part in description.summary

    @pytest.mark.parametrize("place", ["results/one", "a/mine"])
    def test_run_directories_are_left_out_and_named(self, put, prepared, class_files, place):
        inside = {"recipe.yaml": b"", "run.json": b"{}", "real_samples.png": encoded("PNG"), "best/x.png": encoded("PNG")}
        files = class_files | {f"{place}/{name}": data for name, data in inside.items()}
        dataset = prepared(put(files))
        assert dataset.describe().summary == f"12 images, classes: a 4, b 4, c 4; ignored: run directory {place}"

    def test_a_folder_with_a_recipe_alone_is_data(self, put, prepared, class_files):
        assert len(prepared(put(class_files | {"a/recipe.yaml": b"", "a/4.png": encoded("PNG")}))) == 13

    def test_caches_of_gankit_are_left_out(self, put, prepared, class_files):
        description = prepared(put(class_files | {"data/gankit-images/x.png": encoded("PNG")})).describe()
        assert description.summary.endswith("ignored: 1 cache gankit-images")

    def test_a_class_folder_without_images_is_named(self, put, prepared, class_files):
        description = prepared(put(class_files | {"d/1.heic": HEIC})).describe()
        assert description.summary.endswith("folders without images: d; ignored: 1 .heic")

    def test_a_stray_image_next_to_classes_is_named(self, put, prepared, class_files):
        dataset = prepared(put(class_files | {"logo.png": encoded("PNG")}))
        assert dataset.classes is None
        expected = "13 images, no classes because 'logo.png' lies next to the folders 'a', 'b', 'c'"
        assert dataset.describe().summary.startswith(expected)

    def test_many_classes_are_shortened(self, put, prepared):
        files = {f"{i:03}/{j}.png": encoded("PNG", i) for i in range(40) for j in range(1 + i % 2)}
        summary = prepared(put(files)).describe().summary
        assert summary.startswith("60 images, classes: 000 1, 001 2, ")
        assert summary.endswith("011 2, and 28 more (1 to 2 images each)")

    @pytest.mark.parametrize("top", ["", "set/"])
    @pytest.mark.parametrize("splits", [("train", "val"), ("Training", "test"), ("train", "valid", "extra")])
    def test_parts_of_a_dataset_are_not_classes(self, put, prepared, top, splits):
        files = {f"{top}{split}/ant/{i}.png": encoded("PNG", i) for split in splits for i in range(2)}
        with pytest.raises(gankit.DataError, match=rf"look like parts of a dataset.*set `path` to .*{splits[0]}"):
            prepared(put(files))

    def test_one_class_may_have_the_name_of_a_part(self, put, prepared):
        files = {f"{name}/0.png": encoded("PNG") for name in ("bus", "train", "car")}
        assert prepared(put(files)).classes == ("bus", "car", "train")

    def test_the_only_folder_may_be_a_part(self, put, prepared):
        files = {f"train/{name}/0.png": encoded("PNG") for name in ("ant", "bee")}
        assert prepared(put(files)).classes == ("ant", "bee")


class TestDatasetJson:
    """As written by StyleGAN's dataset_tool.py, which puts images into numbered folders."""

    NAMES = ("00000/img00000000.png", "00000/img00000001.png", "00001/img00001000.png")

    @pytest.fixture
    def with_json(self, put, prepared):
        def make(document: object, top: str = "") -> ImageFolder:
            files = {top + name: encoded("PNG", seed) for seed, name in enumerate(self.NAMES)}
            return prepared(put(files | {f"{top}dataset.json": json.dumps(document).encode()}))

        return make

    @pytest.mark.parametrize("top", ["", "set/"])
    def test_its_labels_are_used(self, with_json, top):
        dataset = with_json({"labels": [[name, label] for name, label in zip(self.NAMES, (2, 0, 2), strict=True)]}, top)
        assert dataset.classes == ("0", "1", "2")
        assert dataset.labels.tolist() == [2, 0, 2]
        assert dataset.describe().summary == "3 images, classes: 0 1, 1 0, 2 2"

    def test_it_may_name_the_classes(self, with_json):
        labels = [[name, label] for name, label in zip(self.NAMES, (2, 0, 2), strict=True)]
        dataset = with_json({"labels": labels, "classes": ["owl", "cat", "ant", "bee"]})
        assert dataset.classes == ("owl", "cat", "ant", "bee")
        assert dataset.labels.tolist() == [2, 0, 2]
        assert "ignored" not in dataset.describe().summary

    @pytest.mark.parametrize(
        ("classes", "message"),
        [
            (["owl", "cat"], "has 2 classes, but a label is 2"),
            (["owl", "cat", "owl"], "should be a list of different names"),
            ("abc", "should be a list of different names"),
        ],
    )
    def test_names_of_classes_that_do_not_fit_are_refused(self, with_json, classes, message):
        with pytest.raises(gankit.DataError, match=rf"dataset.json: .*{message}"):
            with_json({"labels": [[name, 2] for name in self.NAMES], "classes": classes})

    def test_a_damaged_file_is_no_other_file(self, put, prepared):
        files = {name: encoded("PNG", seed) for seed, name in enumerate(self.NAMES)}
        with pytest.raises(gankit.DataError, match=r"dataset.json: is not valid JSON \(.*\); correct it, or delete it"):
            prepared(put(files | {"dataset.json": b'{"labels": [["00000/img00000000.png", 1],]}'}))

    def test_a_file_in_another_folder_does_not_count(self, put, prepared):
        files = {"cat/0.png": encoded("PNG", 0), "cat2/0.png": encoded("PNG", 1)}
        dataset = prepared(put(files | {"cat/dataset.json": json.dumps({"labels": [["0.png", 0]]}).encode()}))
        assert dataset.classes == ("cat", "cat2")

    def test_without_labels_there_are_no_classes(self, with_json):
        dataset = with_json({"labels": None})
        assert dataset.classes is None
        assert dataset.describe().summary == "3 images, no classes as dataset.json has no labels"

    def test_another_file_of_this_name_is_ignored(self, with_json):
        dataset = with_json({"title": "birds"})
        assert dataset.classes == ("00000", "00001")
        assert dataset.describe().summary.endswith("; ignored: 1 .json")

    @pytest.mark.parametrize(
        ("labels", "message"),
        [
            ([["00000/img00000000.png", 1]], "has no label for '00000/img00000001.png'"),
            ([[name, [0.0, 1.0]] for name in NAMES], r"the label of '00000/img00000000.png' is \[0.0, 1.0\]"),
            ("birds", "should be a list of"),
            ([[NAMES[0], 1], *([name, 0] for name in NAMES)], "has two labels for '00000/img00000000.png'"),
        ],
    )
    def test_labels_that_do_not_fit_are_refused(self, with_json, labels, message):
        with pytest.raises(gankit.DataError, match=rf"dataset.json: .*{message}"):
            with_json({"labels": labels})


@pytest.mark.parametrize("on_error", ["skip", "refuse"])
@pytest.mark.parametrize(("largest", "shown"), [(1, 1), (4095, 16), (65535, None)])
def test_nearly_black_images_cause_a_warning(put, prepared, on_error, largest, shown):
    """Masks of class numbers, and 12-bit values in 16-bit files."""
    dtype = np.uint8 if largest < 256 else np.uint16
    files = {}
    for seed in range(3):
        buffer = io.BytesIO()
        pixels = np.random.default_rng(seed).integers(0, largest + 1, (8, 8)).astype(dtype)
        pixels[0, 0] = largest
        Image.fromarray(pixels).save(buffer, "PNG")
        files[f"{seed}.png"] = buffer.getvalue()
    warnings = prepared(put(files), on_error=on_error).describe().warnings
    assert [f"from 0 to {shown} of 255" in warning for warning in warnings] == ([True] if shown else [])
