"""The JSON Schema (draft 2020-12) of recipes with the registered components, for editors.

A recipe that ``extends`` another is merged into it, so it may leave out whatever the other gives. Therefore the schema
has two layers: ``properties`` says what may be given, and ``else``, for recipes without ``extends``, what must be. The
definitions of the second layer are named ``complete.NAME``.

The schema cannot express relations between keys, except for the training length: `gankit.Runtime.check` checks them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import combinations
from typing import Any

from pydantic import BaseModel

from ..docstrings import described_names
from ..recipe.located_document import LENGTHS, KeyPath
from ..recipe.model import Recipe, attribute_texts, sections
from ..recipe.sections import ADAM, LatentSpec, Segment
from ..recipe.segments import LENGTH_KEYS, SEGMENTS
from ..recipe.weight_selection import CheckpointActivations, Freeze
from ..registered_component import Entry
from ..registry import Registries, Registry
from ..schedule import Schedule
from .selection import LISTS, SLOTS

Schema = dict[str, Any]

DIALECT = "https://json-schema.org/draft/2020-12/schema"
# editors read YAML by version 1.2, in which 10_000 is a string
DIGITS = r"[0-9]+(_[0-9]+)*"
NUMBERS_AS_TEXT = {
    "integer": rf"^[-+]?{DIGITS}$",
    "number": rf"^[-+]?{DIGITS}(\.[0-9]*)?([eE][-+]?[0-9]+)?$",
}
SCHEDULE = Schedule.__name__
DEFAULT_OPTIMIZER = str(ADAM["name"])
# those that others refer to come first
MODELS: tuple[type[BaseModel], ...] = (CheckpointActivations, Freeze, *sections().values())
SECTIONS = {model.__name__: model for model in MODELS if model is not LatentSpec}
# keywords that a bound of pydantic becomes, in a number and in both ends of a schedule
BOUNDS = {"ge": "minimum", "gt": "exclusiveMinimum", "le": "maximum", "lt": "exclusiveMaximum"}


def recipe_schema(registries: Registries) -> Schema:
    """The JSON Schema of recipes, as JSON data.

    Args:
        registries: of the runtime; each component in them is an alternative.
    """
    return _SchemaOfRecipes(registries).build()


class _SchemaOfRecipes:
    """Collects the definitions of a schema."""

    def __init__(self, registries: Registries) -> None:
        self.registries = registries
        self.kinds = {registry.singular: registry.kind for registry in registries}
        self.definitions: dict[str, Schema] = {}
        self.complete: dict[str, Schema] = {registry.kind: {} for registry in registries}  # which refer to each other
        self.latent_dim = {
            **LatentSpec.model_json_schema()["properties"]["dim"],
            "description": attribute_texts(LatentSpec)["dim"],
        }

    def build(self) -> Schema:
        self._define(SCHEDULE, Schedule.model_json_schema())
        for registry in self.registries:
            if registry.kind in {*SLOTS.values(), *LISTS}:  # recipes name no components of the other kinds
                self._define_kind(registry)
        whole = Recipe.model_json_schema()
        own = {"Recipe": whole, **{name: whole["$defs"][name] for name in SECTIONS}}
        for name in own:
            for key, description in attribute_texts(SECTIONS.get(name, Recipe)).items():
                own[name]["properties"][key]["description"] = description
        slots: dict[KeyPath, str] = {**SLOTS, **{(kind,): kind for kind in LISTS}}
        for path, kind in slots.items():
            section = own["Recipe" if len(path) == 1 else str(path[0]).title()]
            _replace_references(section["properties"][path[-1]], ("Component", "LatentSpec"), kind)
        self._require_length(own["Train"])
        for name in SECTIONS:
            self._define(name, own[name])
        root = self._plain(own["Recipe"])
        properties = {"extends": {"type": "string", "minLength": 1, "description": EXTENDS}, **root["properties"]}
        self.definitions["Segment"]["properties"]["set"] = self._segment_settings(properties)
        del properties["name"]["default"]  # the name of the file, which the schema cannot know
        required = [key for key in root["required"] if key != "name"]
        complete = {"required": required, "properties": self._requirements(root["properties"]), **DISCRIMINATOR}
        return {
            "$schema": DIALECT,
            "title": "Recipe of gankit",
            "description": "A training run of gankit.",
            "type": "object",
            "properties": properties,
            "additionalProperties": False,
            "if": {"required": ["extends"]},
            "else": complete,
            "$defs": {
                **self.definitions,
                **{f"complete.{name}": schema for name, schema in self.complete.items() if schema},
            },
        }

    def _define(self, name: str, schema: Schema, local: Mapping[str, str] | None = None) -> None:
        """Add the definition of a schema of pydantic, and that of what it must have."""
        plain = self._plain(schema, local or {})
        requirement = self._requirement(plain) | self.complete.get(name, {})
        plain.pop("required", None)
        self.definitions[name] = plain
        if requirement:
            self.complete[name] = requirement

    def _define_kind(self, registry: Registry) -> None:
        """A component by its name alone or in a mapping; without a name, it changes the one that it is merged into."""
        for entry in registry:
            self._define_component(entry)
        references = {entry.name: f"{registry.kind}.{entry.name}" for entry in registry}
        names = {"enum": [*references], "enumDescriptions": [entry.summary for entry in registry]}
        alternatives = [names, *({"$ref": f"#/$defs/{reference}"} for reference in references.values())]
        self.definitions[registry.kind] = {"anyOf": alternatives} if references else {"not": {}}
        alone = [name for name, reference in references.items() if "required" not in self.complete.get(reference, {})]
        complete: Schema = {"if": {"type": "string"}, "then": {"enum": alone}} if len(alone) < len(references) else {}
        unnamed: Schema = {"required": ["name"]}
        if registry.kind == "optimizers" and (
            adam := references.get(DEFAULT_OPTIMIZER)
        ):  # whose parameters they change
            unnamed = {"if": unnamed, "else": self._completed({"$ref": f"#/$defs/{adam}"})}
        named = [
            {
                "if": {"required": ["name"], "properties": {"name": {"const": name}}},
                "then": {"$ref": f"#/$defs/complete.{reference}"},
            }
            for name, reference in references.items()
            if reference in self.complete
        ]
        self.complete[registry.kind] = {**complete, "allOf": [unnamed, *named]}

    def _define_component(self, entry: Entry) -> None:
        schema = entry.schema.model_json_schema()
        name = f"{entry.kind}.{entry.name}"
        local, definitions = {}, schema.pop("$defs", {})
        for own, inner in definitions.items():
            is_schedule = own == SCHEDULE and inner == Schedule.model_json_schema()
            local[own] = own if is_schedule else f"{name}.{own}"
        for own, inner in definitions.items():
            if local[own] != own:
                self._define(local[own], inner, local)
        properties = schema.get("properties", {})
        for key, description in described_names(entry.documentation, "Args").items():
            if key in properties:
                properties[key]["description"] = description
        own_keys: Schema = {"name": {"const": entry.name, "description": entry.summary}}
        if entry.kind == "latents":
            own_keys["dim"] = self.latent_dim
        schema["properties"] = {**own_keys, **properties}
        self._define(name, {"description": entry.documentation, **schema}, local)

    def _plain(self, schema: Schema, local: Mapping[str, str] | None = None) -> Schema:
        """A schema of pydantic as JSON Schema: with references to definitions, and numbers that editors read as text.

        Args:
            schema: of a model, or a part of it.
            local: the names of its definitions by those that it uses.
        """
        local = local or {}
        bounds = {keyword: schema[key] for key, keyword in BOUNDS.items() if key in schema}
        left_out = ("title", "$defs", "format", *BOUNDS)
        result = {key: value for key, value in schema.items() if key not in left_out}
        if (kind := result.get("type")) in self.kinds:
            return {**_without(result, "type"), "$ref": f"#/$defs/{self.kinds[kind]}"}
        if "$ref" in result:
            own = result["$ref"].rpartition("/")[2]
            reference = {"$ref": f"#/$defs/{local.get(own, own)}"}
            result = {**_without(result, "$ref"), **reference}
        if "properties" in result:
            result["properties"] = {key: self._plain(value, local) for key, value in result["properties"].items()}
        for key in ("anyOf", "oneOf"):
            if key in result:
                result[key] = [_bounded(self._plain(option, local), bounds) for option in result[key]]
        if isinstance(result.get("additionalProperties"), dict):
            result["additionalProperties"] = self._plain(result["additionalProperties"], local)
        # lists are never merged, so their items are always complete
        if "items" in result:
            result["items"] = self._completed(self._plain(result["items"], local))
        if "prefixItems" in result:
            result["prefixItems"] = [self._completed(self._plain(item, local)) for item in result["prefixItems"]]
        if kind in NUMBERS_AS_TEXT and "enum" not in result and "const" not in result:
            result |= {"type": [kind, "string"], "pattern": NUMBERS_AS_TEXT[kind]}
        return result

    def _completed(self, schema: Schema) -> Schema:
        requirement = self._requirement(schema)
        return {"allOf": [schema, requirement]} if requirement else schema

    def _requirement(self, schema: Schema) -> Schema:
        """Requirements on a value, in addition to a schema of its permitted keys; empty without any."""
        if "$ref" in schema:
            name = schema["$ref"].rpartition("/")[2]
            return {"$ref": f"#/$defs/complete.{name}"} if name in self.complete else {}
        for key in ("anyOf", "oneOf", "allOf"):
            inner = [found for option in schema.get(key, ()) if (found := self._requirement(option))]
            if len(inner) == 1:  # such as that of a schedule, which does not concern numbers
                return inner[0]
        found = {"required": schema.get("required"), "properties": self._requirements(schema.get("properties", {}))}
        return {key: value for key, value in found.items() if value}

    def _requirements(self, properties: Mapping[str, Schema]) -> dict[str, Schema]:
        return {key: found for key, value in properties.items() if (found := self._requirement(value))}

    def _require_length(self, train: Schema) -> None:
        """At most one length may be given, and one must be."""
        given = [{"required": [key], "properties": {key: {"not": {"type": "null"}}}} for key in LENGTHS]
        train["not"] = {"anyOf": [{"allOf": [*pair]} for pair in combinations(given, 2)]}
        self.complete["Train"] = {"anyOf": given}

    def _segment_settings(self, properties: Mapping[str, Schema]) -> Schema:
        """The new values of a segment by dotted key. Those inside components are not described."""
        keys = [key for key in properties if key not in (SEGMENTS, "extends")]
        settings = {key: f"#/properties/{key}" for key in keys}
        for section, model in sections().items():
            inner = self.definitions[model.__name__]["properties"] if model not in (LatentSpec, Segment) else ()
            settings |= {f"{section}.{key}": f"#/$defs/{model.__name__}/properties/{key}" for key in inner}
        known = {key: {"$ref": pointer} for key, pointer in settings.items() if key not in LENGTH_KEYS}
        return {
            "description": self.definitions["Segment"]["properties"]["set"]["description"],
            "type": "object",
            "minProperties": 1,
            "properties": known,
            "propertyNames": {"pattern": rf"^({'|'.join(keys)})(\.[^.]+)*$", "not": {"enum": [*LENGTH_KEYS]}},
        }


EXTENDS = "the recipe, relative to this file, that this one is merged into."

# games other than the default may have no discriminator
DISCRIMINATOR: Schema = {
    "if": {"properties": {"train": {"not": {"required": ["game"]}}}},
    "then": {"required": ["discriminator"]},
}


def _replace_references(schema: Any, names: Iterable[str], name: str) -> None:
    """Let the references to definitions of these names in a schema refer to ``name``."""
    for value in schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else ():
        _replace_references(value, names, name)
    if isinstance(schema, dict) and schema.get("$ref", "").rpartition("/")[2] in names:
        schema["$ref"] = f"#/$defs/{name}"


def _bounded(schema: Schema, bounds: Mapping[str, float]) -> Schema:
    """A number or schedule within the bounds."""
    if not bounds:
        return schema
    if "$ref" not in schema:
        return {**schema, **bounds}
    return {"allOf": [schema, {"properties": {"start": bounds, "end": bounds}}]}


def _without(schema: Schema, key: str) -> Schema:
    return {name: value for name, value in schema.items() if name != key}
