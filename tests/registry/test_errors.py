"""Factories and names that registries refuse, and names that they do not know."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import pytest
from pydantic import Field, PositiveInt

import gankit
from gankit import RegistrationError
from gankit.messages import did_you_mean
from gankit.registry import Registries, Registry


def no_annotation(*, x=1): ...
def star(*args: int): ...
def double_star(**kwargs: int): ...
def positional(width: int = 3): ...
def unresolved(*, x: Nowhere = 1): ...  # noqa: F821  # type: ignore[name-defined]
def unusable(*, x: dataclass = 1): ...  # type: ignore[valid-type]
def uncheckable(*, x: Annotated[str, Field(gt=3)] = "a"): ...
def named_name(*, name: str = "x"): ...
def named_at(*, at: int = 1): ...
def named_scheduled(*, scheduled: int = 1): ...
def named_private(*, _x: int = 1): ...
def named_model_dump(*, model_dump: int = 1): ...
def bad_default(*, width: PositiveInt = 0): ...
def none_default(*, width: PositiveInt = None): ...  # type: ignore[assignment]


class TestErrors:
    @pytest.mark.parametrize(
        ("factory", "message"),
        [
            (3, "losses: 'x': 3 is not callable; register a class or a function"),
            (no_annotation, "losses: 'x': parameter 'x' needs a type annotation"),
            (star, r"losses: 'x': \*args and \*\*kwargs are not supported; list each parameter after a '\*'"),
            (double_star, r"losses: 'x': \*args and \*\*kwargs are not supported"),
            (positional, r"losses: 'x': its positional parameters should be \(\), not \(width\); put parameters of the recipe after a '\*'"),
            (unresolved, "losses: 'x': an annotation cannot be resolved: name 'Nowhere' is not defined"),
            (unusable, "losses: 'x': unsupported annotation or default: "),
            (uncheckable, "losses: 'x': (unsupported annotation or default|its defaults cannot be checked: TypeError)"),
            (named_name, "losses: 'x': the parameter name 'name' is reserved"),
            (named_at, "losses: 'x': the parameter name 'at' is reserved"),
            (named_scheduled, "losses: 'x': the parameter name 'scheduled' is reserved"),
            (named_private, "losses: 'x': the parameter name '_x' is reserved"),
            (named_model_dump, "losses: 'x': the parameter name 'model_dump' is reserved"),
            (bad_default, "losses: 'x': the default of 'width' should be greater than 0; it is 0"),
            (none_default, "losses: 'x': the default of 'width' should be a valid integer; it is None"),
            (min, "losses: 'x': its signature cannot be read: "),
        ],
    )  # fmt: skip
    def test_invalid_factories(self, factory, message):
        registry = Registry("losses")
        with pytest.raises(RegistrationError, match=message):
            registry.add("x", factory)
        assert len(registry) == 0

    def test_a_positional_parameter_with_an_unknown_name(self):
        class Pairs:
            def __init__(self, image, latent_dim, dat): ...

        with pytest.raises(RegistrationError, match=r"Pairs\(image, latent_dim, dat\) asks for 'dat'; did you mean 'data'"):
            gankit.Runtime(discover=False).registries.generators.add("pairs", Pairs)

    @pytest.mark.parametrize("name", ["", "a b", "a.b", "3", "3d", "-x", "a/b", "é", "a\n", None, 3, "<x>"])
    def test_invalid_names(self, name):
        registry = Registry("losses")
        with pytest.raises(
            RegistrationError, match="losses: invalid name .*: use letters, digits, '_' and '-', starting with a letter"
        ):
            registry.add(name, lambda: None)

    def test_duplicate_name(self):
        registries = Registries("first")
        registries.losses.add("x", lambda: None)
        with pytest.raises(RegistrationError, match="losses: 'x' is already registered by plugin 'first'"):
            registries.losses.add("x", lambda: None)
        registries.games.add("x", lambda: None)  # names are unique for each kind only
        assert registries.games.get("x").plugin == "first"

    def test_failed_merge_adds_nothing(self):
        mine, theirs = Registries("mine"), Registries("theirs")
        mine.losses.add("x", lambda: None)
        theirs.games.add("y", lambda: None)
        theirs.losses.add("x", lambda: None)
        with pytest.raises(
            RegistrationError, match="losses: 'x' of plugin 'theirs' is already registered by plugin 'mine'"
        ):
            mine.merge(theirs)
        assert "y" not in mine.games

    @pytest.mark.parametrize(
        ("kind", "message"),
        [
            ("losses", "no loss is called 'bcr'; did you mean 'bce'?"),
            ("generators", "no generator is called 'bcr'; known: none"),
            ("features", "no feature is called 'bcr'; known: none"),
        ],
    )
    def test_unknown_names(self, kind, message):
        registries = Registries()
        registries.losses.add("bce", lambda: None)
        with pytest.raises(KeyError) as error:
            getattr(registries, kind).get("bcr")
        assert error.value.args == (message,)


def test_did_you_mean():
    assert did_you_mean("widht", ["width", "depth"]) == "; did you mean 'width'?"
    assert did_you_mean("qqq", ["b", "a"]) == "; known: a, b"
    assert did_you_mean("x", []) == "; known: none"
