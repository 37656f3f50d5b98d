"""The server's settings: what the bundle's recipe says, and ``--set`` on top of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from lamplighter.bundle.manifest import Manifest
from lamplighter.core import registry, yaml
from lamplighter.core.errors import RecipeError
from lamplighter.core.recipe import Monitor, Serve

Section = TypeVar("Section", bound=BaseModel)


def settings_of(manifest: Manifest, overrides: Sequence[str] = ()) -> tuple[Serve, Monitor]:
    """The sections ``serve`` and ``monitor`` of a bundle's recipe. The rest is history and cannot be changed here.

    Args:
        manifest: of the bundle; sections its recipe does not have take their defaults.
        overrides: ``serve.max_batch=64`` and so on.

    Raises:
        RecipeError: every mistake, one line each.
    """
    sections = {
        "serve": dict(manifest.recipe.get("serve") or {}),
        "monitor": dict(manifest.recipe.get("monitor") or {}),
    }
    problems: list[str] = []
    for override in overrides:
        path, _, text = override.partition("=")
        section, _, key = path.partition(".")
        if section not in sections or not key or "=" not in override:
            problems.append(f"--set {override}: write it as serve.key=value or monitor.key=value")
            continue
        sections[section][key] = yaml.parse_value(text)
    serve = _validate(Serve, "serve", sections["serve"], problems)
    monitor = _validate(Monitor, "monitor", sections["monitor"], problems)
    if serve is None or monitor is None or problems:
        raise RecipeError(problems)
    return serve, monitor


def _validate(section: type[Section], name: str, data: dict[str, Any], problems: list[str]) -> Section | None:
    try:
        return section.model_validate(data)
    except ValidationError as error:
        for item in error.errors():
            path = ".".join([name, *map(str, item["loc"])])
            key = str(item["loc"][-1]) if item["loc"] else ""
            problems.append(f"{path}: {registry.explain(item, list(section.model_fields), key)}")
        return None
