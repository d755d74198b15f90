"""Hugging Face datasets from local files: classes, columns, splits, streaming, and what cannot be loaded."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
import torch
from PIL import Image

import gankit
from gankit.testing import check_dataset
from gankit_external_datasets import HuggingFace, Parquet, row_groups

datasets = pytest.importorskip("datasets")

FEATURES = datasets.Features({"picture": datasets.Image(), "animal": datasets.ClassLabel(names=["ant", "bee"])})


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


@pytest.fixture
def table(encoded):
    cells = [{"bytes": data, "path": None} for data in encoded]
    return datasets.Dataset.from_dict({"picture": cells, "animal": [0, 1, 1] * 4}, FEATURES)


@pytest.fixture
def folder(table, tmp_path):
    (tmp_path / "insects/data").mkdir(parents=True)
    table.to_parquet(tmp_path / "insects/data/train-00000.parquet", batch_size=4)
    table.select(range(3)).to_parquet(tmp_path / "insects/data/test-00000.parquet")
    return tmp_path / "insects"


def prepared(**params):
    dataset = HuggingFace(**params)
    dataset.prepare()
    return dataset


@pytest.mark.parametrize("streaming", [False, True])
def test_items_are_those_of_the_library(folder, table, streaming):
    dataset = prepared(path=str(folder), streaming=streaming)
    assert dataset.classes == ("ant", "bee")
    assert dataset.describe().summary == "12 images, classes: ant 4, bee 8"
    assert len(dataset) == len(table)
    for index, row in enumerate(table):  # decoded by the library
        item = dataset[index]
        assert torch.equal(item["image"], torch.from_numpy(np.array(row["picture"])).permute(2, 0, 1))
        assert item["label"] == row["animal"]
    assert len(prepared(path=str(folder), split="test", streaming=streaming)) == 3
    check_dataset(dataset)


def test_parquet_reads_the_same(folder, table):
    dataset, other = Parquet(path=folder / "data/train-00000.parquet"), prepared(path=str(folder))
    dataset.prepare()
    assert dataset.classes == other.classes
    assert dataset.labels.tolist() == other.labels.tolist() == table["animal"][:]
    assert torch.equal(dataset[7]["image"], other[7]["image"])


def test_a_part_of_a_split(folder, pixels):
    dataset = prepared(path=str(folder), split="train[25%:50%]")
    assert len(dataset) == 3
    assert torch.equal(dataset[0]["image"], pixels[3])
    with pytest.raises(ValueError, match=r"streaming reads whole splits; got 'train\[:2\]'; leave out the brackets"):
        HuggingFace(path=str(folder), split="train[:2]", streaming=True)


@pytest.mark.parametrize("suffix", ["parquet", "arrow"])
def test_local_files(table, tmp_path, suffix, pixels):
    path = tmp_path / f"x.{suffix}"
    if suffix == "parquet":
        table.to_parquet(path)
    else:
        with datasets.arrow_writer.ArrowWriter(path=str(path), features=table.features) as writer:
            for row in table.cast_column("picture", datasets.Image(decode=False)):
                writer.write(row)
            writer.finalize()
    dataset = prepared(path=str(path))
    assert dataset.classes == ("ant", "bee")
    assert torch.equal(dataset[11]["image"], pixels[11])


@pytest.mark.parametrize("suffix", ["csv", "json", "jsonl"])
def test_files_that_list_images(tmp_path, encoded, pixels, suffix):
    for index, data in enumerate(encoded):
        (tmp_path / f"{index}.png").write_bytes(data)
    lines = [json.dumps({"file": f"{index}.png", "label": index % 2}) for index in range(12)]
    if suffix == "csv":
        lines = ["file,label", *(f"{index}.png,{index % 2}" for index in range(12))]
    (tmp_path / f"x.{suffix}").write_text("\n".join(lines))
    dataset = prepared(path=str(tmp_path / f"x.{suffix}"), image="file")
    assert dataset.labels.tolist() == [0, 1] * 6
    assert torch.equal(dataset[5]["image"], pixels[5])


def test_classes_in_another_order(table, tmp_path):
    """As of files whose labels were encoded apart."""
    names = datasets.Features({**FEATURES, "animal": datasets.ClassLabel(names=["bee", "ant"])})
    table.to_parquet(tmp_path / "a.parquet")
    datasets.Dataset.from_dict(table.cast_column("picture", datasets.Image(decode=False)).to_dict(), names).to_parquet(tmp_path / "b.parquet")
    with pytest.raises(gankit.DataError, match=r"b\.parquet names other classes in column 'animal' than .*a\.parquet"):
        Parquet(path=tmp_path).prepare()


def test_images_in_the_cache_of_the_library(tmp_path, encoded, pixels, monkeypatch):
    """A repository of image files has rows with absolute paths."""
    for index, data in enumerate(encoded):
        (tmp_path / f"{index}.png").write_bytes(data)
    cells = [{"bytes": None, "path": str(tmp_path / f"{index}.png")} for index in range(12)]
    rows = datasets.Dataset.from_dict({"picture": cells}, datasets.Features({"picture": datasets.Image()}))
    monkeypatch.setattr(datasets, "load_dataset", lambda **given: rows)
    monkeypatch.chdir(tmp_path)
    dataset = prepared(path="user/photos")
    assert torch.equal(dataset[5]["image"], pixels[5])
    first = dataset.fingerprint()
    assert prepared(path="user/photos").fingerprint() == first
    (tmp_path / "5.png").write_bytes(encoded[8])
    assert prepared(path="user/photos").fingerprint() != first


def test_folder_of_images(tmp_path, encoded, pixels):
    for index, data in enumerate(encoded[:4]):
        place = tmp_path / f"photos/{'ab'[index % 2]}/{index}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
    dataset = prepared(path=str(tmp_path / "photos"))
    assert dataset.classes == ("a", "b")
    assert torch.equal(dataset[3]["image"], pixels[3])
    with pytest.raises(gankit.DataError, match=r"streaming needs parquet files; got '.*png'; on the Hub, try"):
        prepared(path=str(tmp_path / "photos"), streaming=True)


@pytest.mark.parametrize("splits", [False, True])
def test_folders_of_save_to_disk(table, tmp_path, splits):
    saved = datasets.DatasetDict({"train": table, "test": table.select(range(3))}) if splits else table
    saved.save_to_disk(tmp_path / "saved")
    dataset = prepared(path=str(tmp_path / "saved"))
    assert dataset.describe().summary == "12 images, classes: ant 4, bee 8"
    check_dataset(dataset)
    if splits:
        assert len(prepared(path=str(tmp_path / "saved"), split="test")) == 3
    with pytest.raises(gankit.DataError, match=rf"saved: has the splits train{', test' * splits}; got split: val"):
        prepared(path=str(tmp_path / "saved"), split="val")
    with pytest.raises(gankit.DataError, match="cannot be streamed; set streaming: false"):
        prepared(path=str(tmp_path / "saved"), streaming=True)


def test_streamed_data_is_shuffled_by_row_groups(folder, monkeypatch):
    monkeypatch.setattr(row_groups, "KEPT_BYTES", 1000)
    blocks = prepared(path=str(folder), streaming=True).blocks
    assert blocks is not None
    assert sum(blocks.sizes) == 12
    assert prepared(path=str(folder)).blocks is None


def test_fingerprint(table, folder, tmp_path):
    same = prepared(path=str(folder)).fingerprint()
    table.to_parquet(tmp_path / "elsewhere.parquet")
    assert prepared(path=str(tmp_path / "elsewhere.parquet")).fingerprint() == same
    changed = io.BytesIO()
    Image.new("RGB", (4, 4)).save(changed, "PNG")
    rows = [{"bytes": changed.getvalue(), "path": None}, *table.cast_column("picture", datasets.Image(decode=False))["picture"][1:]]
    datasets.Dataset.from_dict({"picture": rows, "animal": [0, 1, 1] * 4}, FEATURES).to_parquet(tmp_path / "other.parquet")
    assert prepared(path=str(tmp_path / "other.parquet")).fingerprint() != same


def test_two_columns_with_classes(tmp_path, table):
    twice = table.add_column("kind", [0] * 12).cast_column("kind", datasets.ClassLabel(names=["insect"]))
    twice.to_parquet(tmp_path / "x.parquet")
    with pytest.raises(gankit.DataError, match="the columns 'animal' and 'kind' have classes; set `label` to one of them"):
        prepared(path=str(tmp_path / "x.parquet"))
    assert prepared(path=str(tmp_path / "x.parquet"), label="kind").classes == ("insect",)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"split": "trian"}, r"\(trian\) cannot be loaded: .*check `path`, `config` and `split`"),
        ({"split": "trian", "streaming": True}, "there is no split 'trian'; did you mean 'train'?"),
        ({"config": "small"}, "cannot be loaded: .*small"),
        ({"image": "pictures"}, "there is no column 'pictures'; did you mean 'picture'?"),
    ],
)
def test_wrong_parameters(folder, params, message):
    with pytest.raises(gankit.DataError, match=message):
        prepared(path=str(folder), **params)


def test_files_that_cannot_be_read(tmp_path):
    (tmp_path / "x.txt").write_text("x")
    with pytest.raises(gankit.DataError, match="x.txt is none of .parquet, .arrow, "):
        prepared(path=str(tmp_path / "x.txt"))
    (tmp_path / "x.parquet").write_text("x")
    for streaming in (False, True):
        with pytest.raises(gankit.DataError, match="x.parquet.*cannot be (loaded|read)"):
            prepared(path=str(tmp_path / "x.parquet"), streaming=streaming)


def test_a_missing_dataset_of_the_hub(monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(gankit.DataError, match=r"nobody/nothing \(train\) cannot be loaded: .* the network and your login"):
        prepared(path="nobody/nothing")


def test_without_the_library(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "datasets", None)
    with pytest.raises(gankit.GankitError, match=r"dataset 'huggingface' needs the package 'datasets', .*gankit\[huggingface\]"):
        prepared(path="nobody/nothing")
