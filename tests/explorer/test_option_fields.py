"""The controls of sampling options follow from the signature of the generator."""

from __future__ import annotations

from typing import Annotated, Literal

import pytest
from pydantic import Field, PositiveInt

import gankit
from gankit.explorer.option_fields import OptionField, option_fields, read_option_values
from gankit.registry import signature_schema


class Generator:
    def forward(
        self,
        z,
        *,
        truncation: Annotated[float, Field(gt=0)] | None = None,
        strength: Annotated[float, Field(ge=0, le=2)] = 1,
        steps: PositiveInt = 50,
        noise: Literal["random", "const"] = "random",
        sharp: bool = False,
        word: str = "x",
        pair: tuple[int, int] = (1, 2),
        either: int | str = 3,
        maybe: bool | None = None,
    ):
        pass


SCHEMA = signature_schema(Generator().forward, ("z",), "it")


def test_the_kinds_of_controls():
    assert [*option_fields(SCHEMA, {"noise": "const"})] == [
        OptionField("truncation", "text", None, nullable=True),
        OptionField("strength", "number", 1, (), (0, 2)),
        OptionField("steps", "integer", 50),
        OptionField("noise", "choice", "const", ("random", "const")),
        OptionField("sharp", "boolean", False),
        OptionField("word", "text", "x"),
        OptionField("pair", "text", (1, 2)),
        OptionField("either", "text", 3),
        OptionField("maybe", "text", None, nullable=True),
    ]


def test_values_are_read_as_on_the_command_line():
    fields = [*option_fields(SCHEMA, {})]
    values = read_option_values(fields, ["0.5", 2, 20, "const", True, "y", "[3, 4]", "a", "true"])
    assert values == {
        "truncation": 0.5, "strength": 2, "steps": 20, "noise": "const", "sharp": True, "word": "y", "pair": [3, 4],
        "either": "a", "maybe": True,
    }  # fmt: skip
    assert SCHEMA.model_validate(values).truncation == 0.5
    unchanged = read_option_values(fields, [field.text if field.kind == "text" else field.default for field in fields])
    assert SCHEMA.model_validate(unchanged) == SCHEMA()
    with pytest.raises(gankit.GankitError, match=r"sampling option 'truncation': '\[1' is not a valid value in YAML"):
        read_option_values(fields[:1], ["[1"])


@pytest.mark.parametrize("empty", [None, ""])
def test_an_empty_control_is_none_where_that_is_valid_and_otherwise_the_default_of_the_page(empty):
    fields = [*option_fields(SCHEMA, {"truncation": 0.7, "noise": "const", "strength": 0.5})]
    values = read_option_values(fields, [empty] * len(fields))
    assert values == {
        "truncation": None, "strength": 0.5, "steps": 50, "noise": "const", "sharp": False, "word": "x", "pair": (1, 2),
        "either": 3, "maybe": None,
    }  # fmt: skip
