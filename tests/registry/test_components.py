"""All registered components: their kinds, schemas and summaries."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

import gankit
from gankit.registered_component import Selected
from gankit.registry import Params, Registries
from gankit.schedule import Schedule

ALL = sorted(
    (registry.kind, entry.name) for registry in gankit.Runtime().registries for entry in registry
)  # at collection time, for parametrization


def test_kinds():
    assert [registry.kind for registry in Registries()] == [
        "generators", "discriminators", "losses", "regularizers", "augmentations", "codecs", "datasets", "latents", "optimizers",
        "callbacks", "metrics", "features", "games", "weight_formats",
    ]  # fmt: skip
    assert {registry.singular for registry in Registries()} >= {"loss", "latent", "augmentation", "game"}


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
