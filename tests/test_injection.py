"""Which values a function receives, by the names of its parameters."""

from __future__ import annotations

import pytest

from gankit.injection import argument_names, default_values

NAMES = [
    (lambda z, labels=None: 0, ("z", "labels")),
    (lambda z: 0, ("z",)),
    (lambda labels, z: 0, ("labels", "z")),
    (lambda source, z: 0, ("source", "z")),
    (lambda noise, y=None: 0, ("z", "labels")),
    (lambda noise: 0, ("z",)),
    (lambda z, y: 0, ("z", "labels")),
    (lambda x, labels: 0, ("z", "labels")),
    (lambda x, y, more=1: 0, ("z", "labels")),
    (lambda *values: 0, ("z", "labels")),
    (lambda z, *, option=1: 0, ("z",)),
    (lambda z, source, extra: 0, None),
    (lambda x, z: 0, None),
    (lambda labels, x: 0, None),
    (lambda x, y, more: 0, None),
]


@pytest.mark.parametrize(("function", "names"), NAMES)
def test_which_values_a_function_receives(function, names):
    arguments = function, ("z", "labels", "source"), ("z", "labels"), "f"
    if names is None:
        with pytest.raises(ValueError, match=r"gankit passes z, labels, source by name, or \(z, labels\) by position"):
            argument_names(*arguments)
    else:
        assert argument_names(*arguments) == names


def test_a_mixture_is_refused_where_there_are_further_fields():
    known = ("z", "labels", "source")
    for function in (lambda z, y: 0, lambda z, sorce: 0, lambda x, labels: 0):
        with pytest.raises(ValueError, match="asks for"):
            argument_names(function, known, ("z", "labels"), "f", strict=True)
    for function in (lambda x, y: 0, lambda x: 0):
        assert argument_names(function, known, ("z", "labels"), "f", strict=True) == ("z", "labels")[: function.__code__.co_argcount]
    judged = argument_names(lambda x, y: 0, ("images", "labels", "source"), ("images", "labels"), "f", "images", strict=True)
    assert judged == ("images", "labels")


def test_defaults_of_positional_parameters():
    assert default_values(lambda z, labels=None, *, option=3: 0) == {"labels": None}
    assert default_values(max) == {}  # it has no signature
