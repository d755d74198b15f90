"""Recipes that extend others."""

from __future__ import annotations

from pathlib import Path

import pytest

from gankit.recipe.inheritance import read_document


def test_mappings_merge_and_lists_are_replaced(write):
    write("base.yaml", "image: {size: 64, x: 1}\nlist: [1, 2]\nname: base\n")
    child = write("child.yaml", "extends: base.yaml\nimage: {size: 32}\nlist: [3]\n")
    document = read_document(child)
    assert document.data == {"image": {"size": 32, "x": 1}, "list": [3], "name": "base"}


def test_components_are_merged_if_they_have_the_same_name(write):
    write("base.yaml", "generator: {name: a, width: 8, depth: 2}\ndiscriminator: {name: a, width: 8}\n")
    child = write("child.yaml", "extends: base.yaml\ngenerator: {name: b, width: 1}\ndiscriminator: {name: a, x: 1}\n")
    assert read_document(child).data == {
        "generator": {"name": "b", "width": 1},
        "discriminator": {"name": "a", "width": 8, "x": 1},
    }


@pytest.mark.parametrize(
    ("base", "child", "merged"),
    [
        ("bce", "hinge", "hinge"),
        ("bce", "{label_smoothing: 0.1}", {"name": "bce", "label_smoothing": 0.1}),
        ("bce", "{name: bce, label_smoothing: 0.1}", {"name": "bce", "label_smoothing": 0.1}),
        ("bce", "{name: hinge, margin: 1}", {"name": "hinge", "margin": 1}),
        ("{name: bce, label_smoothing: 0.1}", "hinge", "hinge"),
        # a name is short for {name: ...}: the same name keeps the parameters
        ("{name: bce, label_smoothing: 0.1}", "bce", {"name": "bce", "label_smoothing": 0.1}),
        ("{name: bce}", "null", None),
    ],
)
def test_component_given_by_name(write, base, child, merged):
    write("base.yaml", f"loss: {base}\n")
    assert read_document(write("child.yaml", f"extends: base.yaml\nloss: {child}\n")).data == {"loss": merged}


def test_places_are_in_the_file_that_sets_the_value(write):
    write("sub/base.yaml", "\nimage: {size: 64}\nloss: bce\ngenerator: {name: a, width: 3}\n")
    child = write("child.yaml", "extends: sub/base.yaml\nloss:\n  smoothing: 1\ngenerator:\n  name: b\n")
    document = read_document(child)
    assert document.place(("image", "size")) == "sub/base.yaml:2:15"
    assert document.place(("loss",)) == "child.yaml:3:3"
    assert document.place(("loss", "name")) == "sub/base.yaml:3:7"
    assert document.place(("loss", "smoothing"), of_key=True) == "child.yaml:3:3"
    assert document.place(("generator", "name")) == "child.yaml:5:9"
    assert ("generator", "width") not in document.values
    assert document.place(("dataset",)) == "child.yaml:1:1"  # missing keys are reported for the child


def test_paths_are_relative_to_the_extending_file(write):
    write("a/one.yaml", "extends: ../b/two.yaml\nx: 1\n")
    write("b/two.yaml", "extends: three.yaml\ny: 2\n")
    write("b/three.yaml", "z: 3\n")
    document = read_document("a/one.yaml")
    assert document.data == {"z": 3, "y": 2, "x": 1}
    assert document.place(("z",)) == "b/three.yaml:1:4"
    assert document.place(("y",)) == "b/two.yaml:2:4"


@pytest.mark.parametrize("length", ["steps: 3", "images: 3", "epochs: 3"])
def test_length_replaces_the_inherited_one(write, length):
    write("base.yaml", "train: {epochs: 25, device: cpu}\n")
    data = read_document(write("child.yaml", f"extends: base.yaml\ntrain: {{{length}}}\n")).data
    assert data["train"] == {"device": "cpu", length[:-3]: 3}


def test_null_length_does_not_replace_the_inherited_one(write):
    write("base.yaml", "train: {steps: 3}\n")
    data = read_document(write("child.yaml", "extends: base.yaml\ntrain: {epochs: null}\n")).data
    assert data["train"] == {"steps": 3, "epochs": None}


def test_two_lengths_in_one_file_are_kept(write):
    write("base.yaml", "train: {epochs: 25}\n")
    data = read_document(write("child.yaml", "extends: base.yaml\ntrain: {steps: 1, images: 2}\n")).data
    assert data["train"] == {"steps": 1, "images": 2}


@pytest.mark.parametrize(
    ("parent", "message"),
    [
        ("nothing.yaml", "f.yaml:2:10: extends: nothing.yaml: no such file"),
        (".", "f.yaml:2:10: extends: .: is a folder; give the recipe file in it"),
        ('"a\\0b"', "f.yaml:2:10: extends: a\0b: cannot be read: embedded null byte"),
        ("f.yaml", "f.yaml:2:10: extends: is circular: f.yaml -> f.yaml"),
        ("[a, b]", "f.yaml:2:10: extends: should be the path of a recipe, relative to this file; got ['a', 'b']"),
        ("null", "f.yaml:2:10: extends: should be the path of a recipe, relative to this file; got None"),
        ('""', "f.yaml:2:10: extends: should be the path of a recipe, relative to this file; got ''"),
    ],
)
def test_invalid_parent(write, error_of, parent, message):
    assert error_of(write("f.yaml", f"a: 1\nextends: {parent}\n")) == message


def test_circle_starts_at_the_repeated_file(write, error_of):
    write("a.yaml", "extends: b.yaml\n")
    write("b.yaml", "extends: sub/c.yaml\n")
    write("sub/c.yaml", "x: 1\nextends: ../b.yaml\n")
    assert error_of("a.yaml") == "sub/c.yaml:2:10: extends: is circular: b.yaml -> sub/c.yaml -> b.yaml"


def test_circle_through_a_symbolic_link(write, error_of):
    Path("link.yaml").symlink_to("a.yaml")
    assert "is circular" in error_of(write("a.yaml", "extends: link.yaml\n"))


def test_many_parents(write):
    for index in range(40):
        write(f"{index}.yaml", f"extends: {index + 1}.yaml\nx{index}: {index}\nnearest: {index}\n")
    write("40.yaml", "x40: 40\nnearest: 40\n")
    assert read_document("0.yaml").data == {"nearest": 0, **{f"x{index}": index for index in range(41)}}


def test_problems_of_parents(write, error_of):
    write("base.yaml", "a: 1\na: 2\n")
    document = read_document(write("child.yaml", "extends: base.yaml\nb: 1\nb: 2\n"))
    assert [problem.place for problem in document.problems] == ["base.yaml:2:1", "child.yaml:3:1"]
    write("base.yaml", "a: [\n")
    assert error_of("child.yaml").startswith("base.yaml:2:1: invalid YAML")
