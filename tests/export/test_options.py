"""Which sampling options become inputs of a program."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Annotated

import pytest
from pydantic import Field

import gankit
from gankit.export.options import choose_options
from gankit.registry import signature_schema


class Generator:
    def forward(
        self,
        z,
        *,
        gain: Annotated[float, Field(ge=0, le=0.1)] = 0.05,
        big: Annotated[float, Field(ge=3)] = 4.0,
        usual: float = 1.0,
        off: float | None = None,
        steps: int = 2,
        word: str = "x",
    ):
        pass


GENERATOR = SimpleNamespace(
    options=signature_schema(Generator().forward, ("z",), "it"), deterministic_options={}, checkpoint=Path("it")
)


def test_options_whose_default_is_a_number_are_inputs_with_other_valid_values():
    chosen = choose_options(GENERATOR, {})
    assert {*chosen.inputs} == {"gain", "big", "usual"}
    assert chosen.fixed == {"off": None, "steps": 2, "word": "x"}
    for name, option in chosen.inputs.items():
        assert option.numbers
        assert option.default not in option.numbers
        for number in option.numbers:
            GENERATOR.options.model_validate({name: number})


def test_options_that_are_asked_for():
    chosen = choose_options(GENERATOR, {"off": "input", "usual": 0.5})
    assert (chosen.inputs["off"].default, chosen.inputs["off"].requested) == (None, True)
    assert chosen.fixed["usual"] == 0.5
    for name in ("steps", "word"):
        with pytest.raises(gankit.GankitError, match=f"'{name}' cannot be an input .* does not take fractional numbers such as 0.7"):
            choose_options(GENERATOR, {name: "input"})
