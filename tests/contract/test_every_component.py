"""What every component of every kind must hold: its signature is its schema, and every parameter is explained."""

from __future__ import annotations

from typing import Annotated, Any

import pytest
from pydantic import TypeAdapter

from lamplighter.core import registry

COMPONENTS = [(kind, name) for kind in registry.kinds() for name in registry.names(kind)]

# A component called by the program itself, never named in a recipe with parameters of its own, has no schema.
_WITH_SCHEMA = [(kind, name) for kind, name in COMPONENTS if kind != "format"]


@pytest.mark.parametrize(("kind", "name"), _WITH_SCHEMA)
def test_schema_is_derived_from_the_constructor(kind: str, name: str) -> None:
    schema = registry.schema(kind, name)
    assert schema.model_json_schema()["additionalProperties"] is False


@pytest.mark.parametrize(("kind", "name"), _WITH_SCHEMA)
def test_every_parameter_is_described(kind: str, name: str) -> None:
    undescribed = [key for key, field in registry.schema(kind, name).model_fields.items() if not field.description]
    assert undescribed == [], f"add lines to 'Args:' in the docstring of {registry.get(kind, name)}"


@pytest.mark.parametrize(("kind", "name"), COMPONENTS)
def test_component_has_a_docstring(kind: str, name: str) -> None:
    first, *_ = (registry.get(kind, name).__doc__ or "").strip().splitlines() or [""]
    assert len(first) > 10


@pytest.mark.parametrize(("kind", "name"), _WITH_SCHEMA)
def test_defaults_pass_the_strict_json_validation_of_recipes(kind: str, name: str) -> None:
    """A default that its own hint refuses (a number out of bounds, an int for text) would break resolved recipes."""
    for key, field in registry.schema(kind, name).model_fields.items():
        if field.is_required():
            continue
        hint = field.annotation if not field.metadata else Annotated[field.annotation, *field.metadata]
        checked: TypeAdapter[Any] = TypeAdapter(hint)
        written = checked.dump_json(field.default)
        assert checked.validate_json(written, strict=True) == field.default, key
