"""WebDataset shards: samples, labels, the stored index, and damaged shards."""

from __future__ import annotations

import io
import tarfile

import pytest
import torch

import gankit
from gankit.testing import check_dataset
from gankit_external_datasets import WebDataset

library = pytest.importorskip("webdataset")


def prepared(**params):
    dataset = WebDataset(**params)
    dataset.prepare()
    return dataset


@pytest.fixture
def shards(tmp_path, encoded):
    """Three shards of four samples, written by the library."""
    for shard in range(3):
        with library.TarWriter(str(tmp_path / f"{shard:03}.tar")) as writer:
            for index in range(4 * shard, 4 * shard + 4):
                meta = {"kind": index % 2, "vector": [index, 0.5], "name": "x", "large": 10**30}
                writer.write({"__key__": f"a/{index:04}", "png": encoded[index], "cls": index % 3, "json": meta, "txt": "a cat"})
    return tmp_path


@pytest.mark.parametrize("pattern", ["{000..002}.tar", "*.tar", ""])
def test_samples_are_those_of_the_library(shards, pattern):
    dataset = prepared(path=str(shards / pattern))
    urls = [str(shards / f"{shard:03}.tar") for shard in range(3)]
    expected = [*library.WebDataset(urls, shardshuffle=False).decode("rgb8").to_tuple("png", "cls")]
    assert len(dataset) == len(expected) == 12
    for index, (image, label) in enumerate(expected):
        assert torch.equal(dataset[index][0], torch.from_numpy(image).permute(2, 0, 1))
        assert int(dataset[index][1]) == label
    assert dataset.classes == ("0", "1", "2")
    assert dataset.describe().summary == "12 images, classes: 0 4, 1 4, 2 4"
    check_dataset(dataset)


def test_a_list_of_shards_in_this_order(shards, pixels, require_images):
    paths = [str(shards / "002.tar"), str(shards / "000.tar")]
    require_images(prepared(path=paths), [*pixels[8:], *pixels[:4]])
    require_images(prepared(path="::".join(paths)), [*pixels[8:], *pixels[:4]])


def test_labels_in_json(shards):
    path = str(shards)
    dataset = prepared(path=path, label="json", label_field="kind", classes=["even", "odd"])
    assert dataset.labels.tolist() == [0, 1] * 6
    assert dataset.classes == ("even", "odd")
    dataset = prepared(path=path, label="json", label_field="vector", label_size=2)
    assert dataset.classes is None
    assert gankit.read_item(dataset, 3, dataset.spec, False)["label"].tolist() == [3, 0.5]


def test_without_labels(shards, write_tar, encoded):
    dataset = prepared(path=str(write_tar("x.tar", [("0.jpg", encoded[0]), ("1.jpg", encoded[1])])))
    assert dataset.classes is None
    assert dataset[1][1] is None
    assert prepared(path=str(shards), label="none").classes is None


def test_the_index_is_kept(shards, monkeypatch, pixels, require_images):
    first = prepared(path=str(shards)).fingerprint()
    opened = []
    monkeypatch.setattr(tarfile, "open", lambda *given: opened.append(given))
    dataset = prepared(path=str(shards))
    require_images(dataset, pixels)
    assert dataset.fingerprint() == first
    assert not opened
    stored = next((gankit.data_root() / "gankit-shards").iterdir())
    stored.write_bytes(stored.read_bytes()[:100])
    monkeypatch.undo()
    monkeypatch.setenv("GANKIT_DATA_DIR", str(stored.parents[1]))
    assert prepared(path=str(shards)).fingerprint() == first  # read again


def test_labels_that_were_corrected(write_tar, encoded):
    """Also in a shard whose size, first 16 KiB and last 16 KiB stay the same."""

    def prepared_with(labels):
        padding = encoded[0] + b"x" * 20_000  # behind the end of the image
        members = [("0.png", padding), ("0.cls", b"0"), ("3.png", padding), ("3.cls", b"0")]
        inner = [(f"{key}.{suffix}", content) for key, label in zip("12", labels, strict=True) for suffix, content in (("png", encoded[1]), ("cls", label))]
        return prepared(path=str(write_tar("x.tar", [*members[:2], *inner, *members[2:]])))

    before, after = prepared_with([b"0", b"1"]), prepared_with([b"1", b"0"])
    assert (before.labels.tolist(), after.labels.tolist()) == ([0, 0, 1, 0], [0, 1, 0, 0])
    assert before._identity == after._identity
    assert before.fingerprint() != after.fingerprint()


def test_fingerprint(shards, encoded, write_tar):
    first = prepared(path=str(shards)).fingerprint()
    members = [(f"{index}.png", encoded[index]) for index in range(4)]
    one = prepared(path=str(write_tar("one/x.tar", members))).fingerprint()
    assert prepared(path=str(write_tar("two/x.tar", members))).fingerprint() == one != first
    assert prepared(path=str(write_tar("three/x.tar", members[::-1]))).fingerprint() != one


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"label": "txt"}, "000.tar: sample 'a/0000': 'txt' is 'a cat', but labels are numbers; write class numbers"),
        ({"label": "json"}, "the label is .*; expected a class number; set `label_field`"),
        ({"label": "json", "label_field": "knd"}, "'json' is .*, but labels are numbers with the field 'knd'"),
        ({"label": "json", "label_field": "vector", "label_size": 3}, "expected 3 numbers, as set by label_size"),
        ({"label": "json", "label_field": "vector"}, "expected a class number.*`label_size` if labels are vectors"),
        ({"label_size": 3, "label": "npy"}, "no sample has 'npy'; set `label`"),
        ({"label": "json", "label_field": "large"}, "the label is .*; expected a class number"),
        ({"image": "jpg"}, r"has no image \(jpg\): it has 'cls', 'json', 'png', 'txt'; set `image`"),
        ({"classes": ["a", "b"]}, "item 2 has the label 2; expected 0 to 1"),
    ],
)  # fmt: skip
def test_wrong_parameters(shards, params, message):
    with pytest.raises(gankit.DataError, match=message):
        prepared(path=str(shards), **params)


def test_missing_shards(shards):
    with pytest.raises(gankit.DataError, match="003.tar does not exist; set `path` to the shards, such as 'data/{000..099}.tar'"):
        prepared(path=str(shards / "{000..003}.tar"))
    (shards / "empty").mkdir()
    with pytest.raises(gankit.DataError, match=r"empty has no files \*.tar"):
        prepared(path=str(shards / "empty"))


def test_damaged_shards(shards, tmp_path, encoded, write_tar):
    content = (shards / "000.tar").read_bytes()
    second = content.index(b"a/0001.png")
    for name, data, message in (
        ("cut.tar", content[: second + 700], "is truncated or not a plain file|is damaged at byte"),
        ("header.tar", content[: second + 20] + b"\xff" * 400 + content[second + 420 :], "is damaged at byte|bad checksum"),
        ("text.tar", b"no tar" * 500, "cannot be read as a tar file without compression"),
    ):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(gankit.DataError, match=message):
            prepared(path=str(tmp_path / name))
    compressed = write_tar("x.tar", [("0.png", encoded[0])], "w:gz")
    with pytest.raises(gankit.DataError, match="cannot be read as a tar file without compression: .*; decompress it"):
        prepared(path=str(compressed))
    damaged = prepared(path=str(write_tar("y.tar", [("0.png", encoded[0]), ("1.png", b"no image")])))
    with pytest.raises(gankit.DataError, match=r"y.tar: item 1 at byte \d+: the image is not an image in a supported format"):
        damaged[1]


def test_samples_that_differ(write_tar, encoded):
    members = [("0.png", encoded[0]), ("0.cls", b"1"), ("1.png", encoded[1])]
    with pytest.raises(gankit.DataError, match="sample '1' lacks a label, unlike the samples before"):
        prepared(path=str(write_tar("x.tar", members)))


def test_links_and_folders_are_ignored(tmp_path, encoded, pixels, require_images):
    with tarfile.open(tmp_path / "x.tar", "w") as tar:
        for name, kind in (("a", tarfile.DIRTYPE), ("a/0.jpg", tarfile.SYMTYPE)):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/passwd"
            tar.addfile(info)
        info = tarfile.TarInfo("a/1.png")
        info.size = len(encoded[1])
        tar.addfile(info, io.BytesIO(encoded[1]))
    require_images(prepared(path=str(tmp_path / "x.tar")), [pixels[1]])


def test_a_shard_that_vanishes(shards):
    dataset = prepared(path=str(shards))
    (shards / "001.tar").unlink()
    with pytest.raises(gankit.DataError, match="001.tar: item 4 at byte .* cannot be read: .*; restore the shard and resume"):
        dataset[4]


def test_without_the_library(monkeypatch, shards):
    monkeypatch.setitem(__import__("sys").modules, "webdataset", None)
    with pytest.raises(gankit.GankitError, match=r"dataset 'webdataset' needs the package 'webdataset', .*gankit\[webdataset\]"):
        prepared(path=str(shards))
