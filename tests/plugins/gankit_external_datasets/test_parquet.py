"""Parquet files: columns, labels, row groups, fields, and what is wrong with a file."""

from __future__ import annotations

import pickle

import pytest
import torch

import gankit
from gankit.data.order import Order
from gankit.testing import check_dataset
from gankit_external_datasets import Parquet, row_groups

pytest.importorskip("pyarrow")


def prepared(**params):
    dataset = Parquet(**params)
    dataset.prepare()
    return dataset


@pytest.fixture
def labelled(write_parquet):
    return write_parquet({"label": [i % 3 for i in range(12)]})


def test_images_and_labels_of_several_files(write_parquet, pixels, require_images, tmp_path):
    write_parquet({"label": [0, 1, 2] * 4}, "set/b.parquet")
    write_parquet({"label": [2] * 12}, "set/a.parquet", group=5)
    dataset = prepared(path=tmp_path / "set")
    require_images(dataset, [*pixels, *pixels])
    assert dataset.classes == ("0", "1", "2")
    assert dataset.labels.tolist() == [2] * 12 + [0, 1, 2] * 4 == [int(dataset[i]["label"]) for i in range(24)]
    assert dataset.describe().summary == "24 images, classes: 0 4, 1 4, 2 16"
    assert len(prepared(path=tmp_path / "set/*.parquet")) == 24
    require_images(pickle.loads(pickle.dumps(dataset)), [*pixels, *pixels])


def test_plain_bytes_without_labels(write_parquet, encoded, pixels, require_images):
    dataset = prepared(path=write_parquet({}, image=encoded))
    require_images(dataset, pixels)
    assert dataset.classes is None
    assert dataset.labels is None


def test_images_by_path(write_parquet, encoded, pixels, require_images, tmp_path):
    for index, data in enumerate(encoded):
        (tmp_path / f"{index}.png").write_bytes(data)
    path = write_parquet({"label": [0] * 12}, image=[f"{index}.png" for index in range(12)])
    require_images(prepared(path=path, image="image"), pixels)
    with pytest.raises(gankit.DataError, match="no column has images .*; it has 'image' .*; set `image` to the column of"):
        prepared(path=path)
    (tmp_path / "5.png").unlink()
    with pytest.raises(gankit.DataError, match="item 5, column 'image': '5.png' cannot be used: "):
        prepared(path=path, image="image")[5]


def test_images_by_path_with_labels_and_a_second_image(write_parquet, encoded, pixels, require_images, tmp_path):
    for index, data in enumerate(encoded):
        (tmp_path / f"{index}.png").write_bytes(data)
    names = [f"{index}.png" for index in range(12)]
    path = write_parquet({"label": [*range(12)], "other": names[::-1]}, image=names)
    dataset = prepared(path=path, image="image", images={"source": "other"}, label="label")
    dataset.fingerprint()  # reads the columns of paths alone
    require_images(dataset, pixels)
    assert [int(dataset[index]["label"]) for index in range(12)] == [*range(12)]
    assert all(torch.equal(dataset[index]["source"], pixels[11 - index]) for index in range(12))


def test_every_path_is_part_of_the_fingerprint(write_parquet, encoded, tmp_path):
    for index, data in enumerate(encoded):
        (tmp_path / f"{index}.png").write_bytes(data)
    names = ["0.png"] * 600
    first = prepared(path=write_parquet({}, image=names), image="image").fingerprint()
    names[1] = "1.png"  # between the rows whose files are read
    assert prepared(path=write_parquet({}, image=names), image="image").fingerprint() != first


def test_files_behind_paths_are_part_of_the_fingerprint(write_parquet, encoded, tmp_path):
    for index, data in enumerate(encoded):
        (tmp_path / f"{index}.png").write_bytes(data)
    path = write_parquet({}, image=[f"{index}.png" for index in range(12)])
    first = prepared(path=path, image="image").fingerprint()
    assert prepared(path=path, image="image").fingerprint() == first
    (tmp_path / "5.png").write_bytes(encoded[8])  # of the same size in pixels
    assert prepared(path=path, image="image").fingerprint() != first


def test_columns_of_one_name(tmp_path, encoded):
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.Table.from_arrays([pa.array(encoded), pa.array([0] * 12), pa.array([1] * 12)], names=["image", "label", "label"])
    pq.write_table(table, tmp_path / "x.parquet")
    with pytest.raises(gankit.DataError, match="several columns are called 'label'; rename all but one"):
        prepared(path=tmp_path / "x.parquet")


def test_fields_and_vector_labels(write_parquet, encoded, pixels):
    path = write_parquet(
        {
            "other": [{"bytes": data, "path": None} for data in reversed(encoded)],
            "attributes": [[index, 0.5] for index in range(12)],
            "caption": [[1.0, 2.0, index] for index in range(12)],
        }
    )
    params = {"image": "image", "images": {"source": "other"}, "vectors": {"caption": 3}}
    dataset = prepared(path=path, label="attributes", label_size=2, **params)
    item = gankit.read_item(dataset, 4, dataset.spec, False)
    assert torch.equal(item["image"], pixels[4])
    assert torch.equal(item["source"], pixels[7])
    assert item["caption"].tolist() == [1, 2, 4]
    assert item["label"].tolist() == [4, 0.5]
    with pytest.raises(gankit.DataError, match="item 0 has 3 numbers in column 'caption'; expected 4, as set by vectors.caption"):
        prepared(path=path, image="image", vectors={"caption": 4})[0]
    with pytest.raises(gankit.DataError, match=r"label: column 'attributes' \(list.*\) has vectors; set `label_size`"):
        prepared(path=path, image="image", label="attributes")


def test_a_column_of_text_that_is_called_like_a_label(write_parquet):
    dataset = prepared(path=write_parquet({"label": ["cat", "dog"] * 6}))
    assert dataset.classes is None
    assert dataset.describe().summary == "12 images; not used: column 'label' (string), which has no class numbers"


def test_grayscale(labelled):
    assert prepared(path=labelled, channels=1)[0]["image"].shape == (1, 6, 8)


@pytest.mark.parametrize(
    ("columns", "params", "message"),
    [
        ({"text": ["a cat"] * 12}, {"vectors": {"text": 8}}, r"vectors.text: column 'text' \(string\) is text, but networks receive numbers: "),
        ({"text": ["cat"] * 12}, {"label": "text"}, "label: column 'text' .* is text, but .*class_encode_column"),
        ({"x": [0.5] * 12}, {"label": "x"}, "has fractions or empty cells, not class numbers"),
        ({"x": [0.5] * 12}, {"vectors": {"x": 1}}, "has no vectors of numbers"),
        ({"label": [0] * 11 + [-3]}, {}, "column 'label': item 11 has the label -3; expected 0 to "),
        ({"label": [0] * 11 + [None]}, {}, "column 'label' is empty for 1 of 12 items, first for item 11; fill in"),
        ({"label": [0] * 12}, {"label": "lable"}, "there is no column 'lable'; did you mean 'label'?"),
        ({"label": [0] * 12}, {"image": "label"}, r"column 'label' \(int64\) has no images"),
        ({"more": [b"x"] * 12}, {}, "the columns 'image' and 'more' have images; set `image` to one of them"),
        ({}, {"label_size": 2}, "label_size is set, but no column is known to be the label; set `label`"),
    ],
)  # fmt: skip
def test_columns_that_do_not_fit(write_parquet, columns, params, message):
    with pytest.raises(gankit.DataError, match=message):
        prepared(path=write_parquet(columns), **params)


@pytest.mark.parametrize("params", [{"images": {"label": "a"}}, {"images": {"z": "a"}}, {"images": {"a": "b"}, "vectors": {"a": 3}}])
def test_names_of_fields_that_do_not_fit(params):
    with pytest.raises(ValueError, match="a further field cannot be called 'label'|cannot be called 'z'|both have the field 'a'"):
        Parquet(path="a.parquet", **params)


def test_labels_of_minus_one_are_none(write_parquet):
    assert prepared(path=write_parquet({"label": [-1] * 12})).classes is None


def test_damaged_files_and_images(write_parquet, labelled, encoded, tmp_path):
    damaged = write_parquet({}, "damaged.parquet", image=[*encoded[:3], b"no image", *encoded[4:]])
    with pytest.raises(gankit.DataError, match="item 3, column 'image': the image is not an image in a supported format"):
        prepared(path=damaged)[3]
    content = bytearray(labelled.read_bytes())
    content[100:400] = bytes(300)
    (tmp_path / "b.parquet").write_bytes(content)
    dataset = prepared(path=tmp_path / "b.parquet", label=None)
    with pytest.raises(gankit.DataError, match="b.parquet cannot be read as a parquet file|the image"):
        dataset[0]
    (tmp_path / "c.parquet").write_bytes(content[:-20])
    with pytest.raises(gankit.DataError, match="c.parquet cannot be read as a parquet file"):
        prepared(path=tmp_path / "c.parquet")
    for path, message in ((tmp_path / "none", "does not exist"), (tmp_path / "empty", r"has no files \*.parquet")):
        (tmp_path / "empty").mkdir(exist_ok=True)
        with pytest.raises(gankit.DataError, match=message):
            prepared(path=path)


def test_files_with_other_columns(write_parquet, tmp_path):
    write_parquet({"label": [0] * 12}, "set/a.parquet")
    write_parquet({}, "set/b.parquet")
    with pytest.raises(gankit.DataError, match=r"b.parquet has other columns than .*a.parquet"):
        prepared(path=tmp_path / "set")


def test_large_data_is_read_by_row_group(labelled, write_parquet, monkeypatch, pixels, require_images):
    assert prepared(path=labelled).blocks is None
    metadata = prepared(path=labelled)._table
    size = metadata._bytes_of(metadata._groups[0], ["image", "label"])
    monkeypatch.setattr(row_groups, "KEPT_BYTES", int(2.5 * size))
    dataset = prepared(path=labelled)
    assert dataset.blocks == gankit.Blocks([4, 4, 4], 2)
    require_images(dataset, pixels)
    reads = []
    monkeypatch.setattr(row_groups.RowGroups, "_read", lambda table, group, names, read=row_groups.RowGroups._read: reads.append(group) or read(table, group, names))
    dataset = prepared(path=labelled)
    reads.clear()
    for index in Order(12, 0, blocks=dataset.blocks).at(0, 12).indices:
        assert torch.equal(dataset[int(index)]["image"], pixels[index])
    assert len(reads) == 3  # each group once
    monkeypatch.setattr(row_groups, "MAX_GROUP_BYTES", 100)
    with pytest.raises(gankit.DataError, match="a row group has .* write the file again with fewer rows in each group"):
        prepared(path=labelled)[0]


def test_fingerprint(write_parquet, encoded):
    first = prepared(path=write_parquet({"label": [0, 1] * 6}, "a.parquet")).fingerprint()
    assert prepared(path=write_parquet({"label": [0, 1] * 6}, "b.parquet")).fingerprint() == first
    assert prepared(path=write_parquet({"label": [1, 0] * 6}, "c.parquet")).fingerprint() != first
    other = [encoded[0], encoded[0], *encoded[2:]]
    assert prepared(path=write_parquet({"label": [0, 1] * 6}, "d.parquet", image=other)).fingerprint() != first


def test_check_dataset_and_wrappers(labelled, pixels):
    check_dataset(Parquet(path=labelled))
    datasets = gankit.Runtime().registries.datasets
    subset = datasets.get("subset").factory(dataset=Parquet(path=labelled), classes=["1", "2"])
    subset.prepare()
    assert len(subset) == 8
    assert subset.classes == ("1", "2")
    derived = datasets.get("derived").factory(dataset=Parquet(path=labelled), source="gray")
    derived.prepare()
    luma = torch.tensordot(torch.tensor([0.299, 0.587, 0.114]), pixels[3].float(), 1)
    assert (derived[3]["source"][0].float() - luma).abs().max() <= 1
    assert torch.equal(derived[3]["image"], pixels[3])
