"""Classes of an image folder from a CSV file."""

from __future__ import annotations

from pathlib import Path

import pytest

import gankit

FILES = ("x/0.png", "x/1.png", "2.png")


@pytest.fixture
def labelled(put, png):
    """``labelled(text, name="labels.csv")``: a folder of three images with this CSV file."""
    return lambda text, name="labels.csv": put({file: png(0) for file in FILES} | {name: text.encode()})


@pytest.mark.parametrize(
    "text",
    [
        "file,label\nx/0.png,cat\nx/1.png,ant\n2.png,cat\n",
        "2.png,cat\nx/1.png, ant \nx/0.png,cat\ngone.png,dog\n",
        '\ufeffimage,"class"\r\n"x/0.png","cat"\r\n"x/1.png","ant"\r\n\r\n"2.png","cat"\r\n',
    ],
)
def test_classes_are_its_labels(labelled, prepared, text):
    dataset = prepared(labelled(text), labels=Path("labels.csv"))
    assert dataset.classes == ("ant", "cat")
    assert dataset.labels.tolist() == [1, 1, 0]  # of 2.png, x/0.png and x/1.png
    assert dataset.describe().summary == "3 images, classes: ant 1, cat 2"
    assert not dataset.describe().skipped


def test_numbers_are_in_their_order(labelled, prepared):
    assert prepared(labelled("x/0.png,10\nx/1.png,9\n2.png,10\n"), labels=Path("labels.csv")).classes == ("9", "10")


def test_equal_numbers_are_in_the_order_of_their_text(labelled, prepared):
    """Not in that of a set, which differs between processes."""
    dataset = prepared(labelled("x/0.png,1\nx/1.png,001\n2.png,01\n"), labels=Path("labels.csv"))
    assert dataset.classes == ("001", "01", "1")


def test_a_number_that_is_too_long_is_a_name(labelled, prepared):
    text = "x/0.png,{0}\nx/1.png,3\n2.png,{0}\n".format("9" * 5000)
    assert prepared(labelled(text), labels=Path("labels.csv")).classes == ("3", "9" * 5000)


def test_names_may_be_relative_to_it(put, prepared, png):
    path = put({"set/a.png": png(0), "set/b.png": png(1), "set/l.csv": b"a.png,ant\nb.png,bee\n"})
    assert prepared(path, labels=Path("set/l.csv")).classes == ("ant", "bee")


def test_it_may_be_elsewhere(labelled, prepared, tmp_path):
    elsewhere = tmp_path / "elsewhere.csv"
    elsewhere.write_text("x/0.png,a\nx/1.png,b\n2.png,c\n")
    assert prepared(labelled("", "other.txt"), labels=elsewhere).classes == ("a", "b", "c")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x/0.png,a\nx/1.png,b\n", r"labels.csv: has no label for '2.png'$"),
        ("file,label\nsomething,a\n", "has no label for '2.png', 'x/0.png', 'x/1.png'; its lines should be 'image,label'"),
        ("x/0.png,a\nx/1.png\n2.png,c\n", r"labels.csv:2: expected an image and its label"),
        ("x/0.png,a\nx/1.png,b\n2.png,c\nx/0.png,b\n", r"labels.csv:4: 'x/0.png' is 'b', but 'a' in an earlier line"),
        ("x/0.png,a,3\nx/1.png,b,4\n2.png,c,5\n", r"labels.csv:1: expected an image and its label"),
    ],
)
def test_what_does_not_fit(labelled, prepared, text, message):
    with pytest.raises(gankit.DataError, match=message):
        prepared(labelled(text), labels=Path("labels.csv"))


def test_a_file_that_cannot_be_read(labelled, prepared):
    with pytest.raises(gankit.DataError, match="nowhere.csv: the labels cannot be read: .*No such file"):
        prepared(labelled(""), labels=Path("nowhere.csv"))
