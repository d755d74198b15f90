"""The schema of a component comes from the signature of its factory."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import Field, NonNegativeInt, PositiveInt, ValidationError

import gankit
from gankit.registry import Registry


class Network:
    def __init__(
        self,
        image: OnlyForTypeCheckers,  # noqa: F821  # positional annotations are not resolved
        latent_dim: int,
        *,
        width: PositiveInt = 64,
        depth: NonNegativeInt,
        share: Annotated[float, Field(ge=0, le=1)] = 0.5,
        mode: Literal["a", "b"] = "a",
        root: Path | None = None,
        rate: gankit.Scheduled = 1.0,
        betas: tuple[float, float] = (0.5, 0.9),
        copy: bool = False,
    ) -> None:
        """Not the summary."""


class TestSchema:
    @pytest.fixture
    def entry(self) -> Any:
        registry = Registry("generators", "image", "latent_dim")
        registry.add("network", Network)
        return registry.get("network")

    def test_fields_are_the_keyword_only_parameters(self, entry):
        assert list(entry.schema.model_fields) == [
            "width", "depth", "share", "mode", "root", "rate", "betas", "copy",
        ]  # fmt: skip
        assert [name for name, about in entry.schema.model_fields.items() if about.is_required()] == ["depth"]

    def test_values_are_validated_and_defaults_filled_in(self, entry):
        params = entry.schema.model_validate({"depth": 2, "share": 1, "betas": [0, 1], "root": "x"})
        assert params.at(0) == {
            "width": 64, "depth": 2, "share": 1.0, "mode": "a", "root": Path("x"), "rate": 1.0, "betas": (0.0, 1.0), "copy": False,
        }  # fmt: skip

    @pytest.mark.parametrize(
        "given",
        [{}, {"depth": -1}, {"depth": 1, "width": 0}, {"depth": 1, "share": 1.1}, {"depth": 1, "mode": "c"},
         {"depth": 1, "unknown": 1}, {"depth": 1, "image": 3}, {"depth": float("inf")}, {"depth": 1, "share": float("nan")}],
    )  # fmt: skip
    def test_invalid_values(self, entry, given):
        with pytest.raises(ValidationError):
            entry.schema.model_validate(given)

    def test_schedules(self, entry):
        ramp = {"start": 0, "end": 10, "over_images": 100}
        params = entry.schema.model_validate({"depth": 1, "rate": ramp})
        assert params.scheduled == ("rate",)
        assert [params.at(images)["rate"] for images in (0, 50, 100, 1000)] == [0, 5, 10, 10]

    def test_build_passes_context_by_position_and_parameters_by_name(self):
        registry = Registry("latents", "dim")

        def factory(dim: int, /, *, scale: float = 2.0) -> tuple[int, float]:
            return dim, scale

        registry.add("f", factory)
        entry = registry.get("f")
        assert entry.build(entry.schema.model_validate({"scale": 3}), dim=7) == (7, 3.0)

    def test_kinds_of_factories(self):
        registry = Registry("losses")

        def function(*, a: PositiveInt = 1) -> int:
            return a

        class Callable:
            def __call__(self, *, a: PositiveInt = 1) -> int:
                return a

        @dataclass(kw_only=True)
        class Data:
            a: PositiveInt = 1

        class Inherits(Data):
            """Inherits the constructor."""

        for name, factory in {
            "function": function,
            "partial": functools.partial(function, a=2),
            "object": Callable(),
            "data": Data,
            "inherits": Inherits,
        }.items():
            registry.add(name, factory)
            assert list(registry.get(name).schema.model_fields) == ["a"]
            with pytest.raises(ValidationError):
                registry.get(name).schema.model_validate({"a": 0})
        assert registry.get("partial").build(registry.get("partial").schema.model_validate({})) == 2

    def test_class_without_constructor(self):
        registry = Registry("losses")

        class Plain:
            """The summary.

            Not the summary.
            """

        registry.add("plain", Plain)
        assert registry.get("plain").schema.model_fields == {}
        assert registry.get("plain").summary == "The summary."


def test_annotations_of_a_decorated_factory_are_found_in_its_own_module():
    elsewhere: dict[str, Any] = {"functools": functools}
    exec("def decorated(function): return functools.wraps(function)(lambda **params: function(**params))", elsewhere)

    def loss(*, weight: NonNegativeInt = 1): ...

    registry = Registry("losses")
    registry.add("mine", elsewhere["decorated"](loss))
    with pytest.raises(ValidationError):
        registry.get("mine").schema(weight=-1)
