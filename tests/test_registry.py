"""Registries: schemas from signatures, invalid factories and names, and all registered components."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import Field, NonNegativeInt, PositiveInt, ValidationError

import gankit
from gankit import RegistrationError
from gankit.messages import did_you_mean
from gankit.registered_component import Selected
from gankit.registry import Params, Registries, Registry
from gankit.schedule import Schedule

ALL = sorted(
    (registry.kind, entry.name) for registry in gankit.Runtime().registries for entry in registry
)  # at collection time, for parametrization


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


def test_kinds():
    assert [registry.kind for registry in Registries()] == [
        "generators", "discriminators", "losses", "regularizers", "augmentations", "codecs", "datasets", "latents", "optimizers",
        "callbacks", "metrics", "features", "games", "weight_formats",
    ]  # fmt: skip
    assert {registry.singular for registry in Registries()} >= {"loss", "latent", "augmentation", "game"}


def test_did_you_mean():
    assert did_you_mean("widht", ["width", "depth"]) == "; did you mean 'width'?"
    assert did_you_mean("qqq", ["b", "a"]) == "; known: a, b"
    assert did_you_mean("x", []) == "; known: none"


def example_of(schema: dict[str, Any], models: dict[str, Any]) -> Any:
    """A valid value for the JSON schema of a required parameter."""
    if "$ref" in schema:
        return example_of(models[schema["$ref"].rpartition("/")[2]], models)
    if "default" in schema or "const" in schema:
        return schema.get("default", schema.get("const"))
    if "anyOf" in schema:
        return example_of(schema["anyOf"][0], models)
    if "enum" in schema:
        return schema["enum"][0]
    kind = schema.get("type")
    if kind == "array":
        return [example_of(schema.get("items", {}), models)]
    if kind == "object":
        return {key: example_of(schema["properties"][key], models) for key in schema.get("required", ())}
    if kind == "dataset":
        shapes = gankit.Runtime().registries.datasets.get("shapes")
        return Selected(shapes, shapes.schema())
    return {"string": "RandomHorizontalFlip", "integer": 1, "number": 0.5, "boolean": True}[str(kind)]


def dumped(params: Params, mode: str = "python") -> dict[str, Any]:
    """The parameters as data, except for components, which only a recipe can name."""
    components = {name: value for name, value in params if isinstance(value, Selected)}
    return params.model_dump(mode=mode) | components


@pytest.fixture(scope="module")
def runtime() -> gankit.Runtime:
    return gankit.Runtime()


@pytest.mark.parametrize(("kind", "name"), ALL)
class TestEveryComponent:
    def params(self, schema: type[Params]) -> Params:
        described = schema.model_json_schema()
        required = described.get("required", ())
        return schema.model_validate(
            {key: example_of(described["properties"][key], described.get("$defs", {})) for key in required}
        )

    def test_schema_round_trip(self, runtime, kind, name):
        schema = getattr(runtime.registries, kind).get(name).schema
        params = self.params(schema)
        assert schema.model_validate(dumped(params, "json")) == params
        assert schema.model_validate(dumped(params)) == params

    def test_schedules_round_trip(self, runtime, kind, name):
        schema = getattr(runtime.registries, kind).get(name).schema
        params = self.params(schema)
        ramp = Schedule(start=0.1, end=0.2, over_images=100, shape="cosine")
        for field, about in schema.model_json_schema().get("properties", {}).items():
            if "Schedule" not in str(about):
                continue
            given = dumped(params) | {field: [ramp, ramp] if about.get("type") == "array" else ramp}
            if kind in ("augmentations", "games") and "target" in given:
                given["target"] = None  # a target would change the field itself
            scheduled = schema.model_validate(given)
            assert field in scheduled.scheduled
            assert schema.model_validate(dumped(scheduled, "json")) == scheduled

    def test_unknown_parameters_are_refused(self, runtime, kind, name):
        schema = getattr(runtime.registries, kind).get(name).schema
        with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
            schema.model_validate(dumped(self.params(schema)) | {"no_such_parameter": 1})

    def test_summary(self, runtime, kind, name):
        assert len(getattr(runtime.registries, kind).get(name).summary) > 3


def test_annotations_of_a_decorated_factory_are_found_in_its_own_module():
    elsewhere: dict[str, Any] = {"functools": functools}
    exec("def decorated(function): return functools.wraps(function)(lambda **params: function(**params))", elsewhere)

    def loss(*, weight: NonNegativeInt = 1): ...

    registry = Registry("losses")
    registry.add("mine", elsewhere["decorated"](loss))
    with pytest.raises(ValidationError):
        registry.get("mine").schema(weight=-1)
