"""The JSON Schema of recipes, for editors: shipped as ``recipes/schema.json``, generated from the code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lamplighter.core import registry
from lamplighter.core.catalog import CATALOG
from lamplighter.core.recipe import KIND_AT, Data, Recipe


def path() -> Path:
    """The shipped file."""
    return Path(__file__).parent.parent / "recipes" / "schema.json"


def build() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of a recipe, one definition for each built-in component.

    Imports every component; needs the ``train`` and ``serve`` extras. Users' own components are accepted by name with
    any parameters.
    """
    schema = Recipe.model_json_schema()
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    definitions = schema["$defs"]
    choices = {kind: _choice(kind, definitions) for kind in dict.fromkeys(KIND_AT.values())}
    for where, kind in KIND_AT.items():
        _put(schema, where, choices[kind])
    return schema


def _choice(kind: str, definitions: dict[str, Any]) -> dict[str, Any]:
    """``{"anyOf": [...]}`` over the built-in components of a kind, plus a user's own."""
    known = sorted(CATALOG[kind])
    for name in known:
        component = registry.schema(kind, name).model_json_schema(ref_template=f"#/$defs/{kind}.{name}.{{model}}")
        for inner, definition in component.pop("$defs", {}).items():
            definitions[f"{kind}.{name}.{inner}"] = definition
        loader = Data.model_json_schema()["properties"] if kind == "source" else {}
        component["properties"] = {
            "name": {"const": name},
            **{key: value for key, value in loader.items() if key != "name"},
            **component.get("properties", {}),
        }
        component["required"] = ["name", *component.get("required", [])]
        definitions[f"{kind}.{name}"] = component
    own = {"type": "object", "properties": {"name": {"type": "string", "not": {"enum": known}}}, "required": ["name"]}
    return {"anyOf": [*({"$ref": f"#/$defs/{kind}.{name}"} for name in known), own]}


def _put(schema: dict[str, Any], where: tuple[str, ...], choice: dict[str, Any]) -> None:
    """Replace the generic component at a place of the recipe by the choice; a place may lie within components."""
    nodes = [schema]
    for step in where[:-1]:
        nodes = [
            inner for node in nodes for parent, key in _places(node, step) for inner in _forms(schema, parent[key])
        ]
    for parent, key in [place for node in nodes for place in _places(node, where[-1])]:
        value = parent[key]
        kept = {k: v for k, v in value.items() if k in ("default", "description")}
        alternatives = value.get("anyOf") or value.get("oneOf") or [value]
        if any(_is_generic(item) for item in alternatives):
            others = [item for item in alternatives if not _is_generic(item)]  # null, auto
            parent[key] = {"anyOf": [*choice["anyOf"], *others], **kept}


def _places(node: dict[str, Any], step: str) -> list[tuple[dict[str, Any], str]]:
    """Where the schema of a key, or of any entry of a list or mapping, stands in ``node``."""
    if step != "*":
        return [(node["properties"], step)] if step in node.get("properties", {}) else []
    return [(node, key) for key in ("items", "additionalProperties") if isinstance(node.get(key), dict)]


def _forms(schema: dict[str, Any], node: dict[str, Any]) -> list[dict[str, Any]]:
    """The alternatives that a schema allows, references followed."""
    alternatives = node.get("anyOf") or node.get("oneOf")
    if alternatives:
        return [form for item in alternatives for form in _forms(schema, item)]
    reference = node.get("$ref")
    return [schema["$defs"][reference.rpartition("/")[2]] if reference else node]


def _is_generic(node: dict[str, Any]) -> bool:
    """A reference to the model of any component."""
    return node.get("$ref", "").rpartition("/")[2].split(".")[-1] in ("Component", "Data")
