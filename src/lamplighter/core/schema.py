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
    for where, kind in KIND_AT.items():
        _put(schema, where, _choice(kind, definitions))
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
    """Replace the generic component at a place of the recipe by the choice."""
    node = schema
    for step in where[:-1]:
        node = node["items"] if step == "*" else _follow(schema, node["properties"][step])
    last = where[-1]
    place = node if last == "*" else node["properties"]
    key = "items" if last == "*" else last
    kept = {k: v for k, v in place[key].items() if k in ("default", "description")}
    place[key] = {**choice, **kept}


def _follow(schema: dict[str, Any], node: dict[str, Any]) -> dict[str, Any]:
    """The definition behind a ``$ref``."""
    reference = node.get("$ref")
    return schema["$defs"][reference.rpartition("/")[2]] if reference else node
