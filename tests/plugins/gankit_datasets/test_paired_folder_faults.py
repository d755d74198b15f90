"""Pairs that cannot be used: one sentence for each reason, and `on_error: skip`."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

import gankit
from gankit_datasets import PairedFolder


def prepared(**params) -> PairedFolder:
    dataset = PairedFolder(**params)
    dataset.prepare()
    return dataset


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({}, "give either `image` and `source` .* or `path` and `halves` .*; got none of them"),
        ({"image": Path("a")}, "got `image`$"),
        ({"source": Path("a"), "halves": "image|source"}, "got `source`, `halves`$"),
        ({"path": Path("a")}, "got `path`$"),
        ({"image": Path("a"), "source": Path("b"), "path": Path("c")}, "got `image`, `source`, `path`$"),
        ({"path": Path("a"), "halves": "image|source", "scale": 0.5}, "halves of a file have the same size; got scale 0.5"),
        ({"image": Path("a"), "source": Path("b"), "split": "test"}, "split 'test' has no images while test_fraction is 0"),
    ],
)
def test_parameters_that_contradict_each_other(params, message):
    with pytest.raises(ValueError, match=message):
        PairedFolder(**params)


@pytest.fixture
def folders(fill, tmp_path):
    """``folders(images, sources)``: write both, and return the parameters."""
    return lambda images, sources: {"image": fill(tmp_path / "a", images), "source": fill(tmp_path / "b", sources)}


def test_files_without_a_counterpart(folders, png):
    files = {f"{i}.png": png(i) for i in range(9)}
    fewer = {name: files[name] for name in ("0.png", "8.png")} | {"10.png": png(1)}
    message = (
        r"each image needs a source of the same name, except for its suffix: \S*a has 9 images, of which '1.png', "
        r"'2.png', '3.png' and 4 more have no counterpart; \S*b has 3 sources, of which '10.png' has no counterpart; add"
    )
    for on_error in ("refuse", "skip"):
        with pytest.raises(gankit.DataError, match=message):
            prepared(**folders(files, fewer), on_error=on_error)
    with pytest.raises(gankit.DataError, match=r"b has 10 sources, of which '10.png' has no counterpart; add"):
        prepared(**folders(files, files))


@pytest.mark.parametrize(("of_images", "of_sources"), [("{}.png", "{}x4.png"), ("{}_HR.png", "x2/{}_LR.png"), ("{}.png", "{}.png")])
def test_an_ending_that_all_files_of_a_side_share(folders, png, of_images, of_sources):
    names = ["0001", "0002", "0011"]
    images, sources = ({of.format(name): png(i) for i, name in enumerate(names)} for of in (of_images, of_sources))
    dataset = prepared(**folders(images, sources))
    assert len(dataset) == 3
    for index in range(3):
        assert torch.equal(dataset[index]["image"], dataset[index]["source"])
    one_more = sources | {"0003.png": png(3)}
    if of_images == "{}.png" != of_sources:
        with pytest.raises(gankit.DataError, match="'0003.png' has no counterpart|'0001x4.png', .* have no counterpart"):
            prepared(**folders(images, one_more))


def test_an_empty_or_missing_side(folders, png, tmp_path):
    params = folders({"1.png": png(0)}, {"notes.txt": b"x"})
    with pytest.raises(gankit.DataError, match=r"b has no images \(.jpg, .*; it has 1 .txt"):
        prepared(**params)
    with pytest.raises(gankit.DataError, match=r"nowhere does not exist"):
        prepared(image=params["image"], source=tmp_path / "nowhere")


def test_names_that_differ_only_in_their_suffix(folders, png):
    with pytest.raises(gankit.DataError, match=r"a: '1.bmp' and '1.png' differ only in their suffix; keep one of them"):
        prepared(**folders({"1.png": png(0), "1.bmp": png(1)}, {"1.png": png(0)}))


def test_parts_of_a_dataset_next_to_each_other(fill, png, tmp_path):
    path = fill(tmp_path / "facades", {f"{part}/1.png": png(0) for part in ("train", "val")})
    with pytest.raises(gankit.DataError, match="the folders 'train', 'val' look like parts .* set `path` to one of them"):
        prepared(path=path, halves="image|source")


class TestSizes:
    @pytest.mark.parametrize(
        ("width", "height", "scale", "fits"),
        [(8, 6, 1, True), (8, 5, 1, False), (4, 3, 1 / 2, True), (2, 2, 1 / 4, True), (2, 3, 1 / 4, False), (4, 3, 1, False)],
    )
    def test_they_correspond(self, folders, png, width, height, scale, fits):
        params = folders({"1.png": png(0)}, {"1.png": png(1, width, height)})
        if fits:
            assert len(prepared(**params, scale=scale)) == 1
            return
        message = (
            rf"1 of 1 pairs cannot be used: image '1.png' is 6 x 8 pixels \(height x width\) and source '1.png' is {height} x "
            rf"{width}; with scale {scale:g}, it should be {6 * scale:g} x {8 * scale:g}; resize them, change `scale`, or set"
        )
        with pytest.raises(gankit.DataError, match=message):
            prepared(**params, scale=scale)

    def test_halves_have_equal_widths(self, fill, png, tmp_path):
        path = fill(tmp_path / "ab", {f"{i}.png": png(i, 8 + (i > 1), 6) for i in range(7)})
        message = r"ab: 5 of 7 pairs cannot be used: '2.png' is 9 pixels wide, which is not .*'4.png' [^']*; and 2 more; save"
        with pytest.raises(gankit.DataError, match=message):
            prepared(path=path, halves="image|source")
        dataset = prepared(path=path, halves="image|source", on_error="skip")
        assert len(dataset) == 2
        assert dataset.describe().summary == "2 pairs; left out: 5"
        assert [*dataset.describe().skipped] == [f"{path}/{i}.png" for i in range(2, 7)]


class TestDamagedFiles:
    def test_they_are_refused(self, folders, png):
        files = {f"{i}.png": png(i) for i in range(3)}
        with pytest.raises(gankit.DataError, match=r"b: 1 of 3 images cannot be used: '1.png' is not an image"):
            prepared(**folders(files, files | {"1.png": b"nothing"}))
        dataset = prepared(**folders(files, files | {"1.png": png(1)[:-60]}))
        with pytest.raises(gankit.DataError, match=r"b: '1.png' is damaged: .*set `on_error: skip`"):
            dataset[1]

    def test_their_pairs_are_skipped(self, folders, png):
        files = {f"{i}.png": png(i) for i in range(5)}
        params = folders(files | {"0.png": png(0)[:-60]}, files | {"3.png": b""})
        dataset = prepared(**params, on_error="skip")
        assert len(dataset) == 3
        description = dataset.describe()
        assert description.summary == "3 pairs; left out: 2"
        assert re.search(r"2 of 5 pairs cannot be used: '0.png' is damaged.*'3.png' .*; skipped", description.warnings[-1])
        assert {*description.skipped} == {f"{params[side]}/{i}.png" for side in ("image", "source") for i in (0, 3)}

    def test_at_least_one_pair_must_be_left(self, folders, png):
        params = folders({"1.png": png(0)}, {"1.png": b""})
        with pytest.raises(gankit.DataError, match="none of 1 pairs is left for split 'train'; 1 of 1 pairs cannot be used"):
            prepared(**params, on_error="skip")

    def test_a_folder_that_vanishes_is_named(self, folders, png, tmp_path):
        dataset = prepared(**folders({"1.png": png(0)}, {"1.png": png(1)}))
        (tmp_path / "b").rename(tmp_path / "moved")
        with pytest.raises(gankit.DataError, match="b no longer exists; restore it"):
            dataset[0]
