"""The server's settings: what the bundle's recipe says, and ``--set`` on top of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict

from lamplighter.bundle.manifest import Manifest
from lamplighter.core.errors import RecipeError
from lamplighter.core.recipe import Monitor, Serve, apply_override, validate


class Settings(BaseModel):
    """The sections of a recipe that still count when the model is made."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    serve: Serve
    monitor: Monitor


def settings_of(manifest: Manifest, overrides: Sequence[str] = ()) -> tuple[Serve, Monitor]:
    """The sections ``serve`` and ``monitor`` of a bundle's recipe. The rest is history and cannot be changed here.

    Args:
        manifest: of the bundle; what its recipe does not say takes its default.
        overrides: ``serve.max_batch=64``, ``monitor.sinks.0.level=error`` and so on, read as ``lamp train`` reads them.

    Raises:
        RecipeError: every mistake, one line each.
    """
    data = {
        "serve": _section(Serve(), manifest.recipe.get("serve")),
        "monitor": _section(Monitor(), manifest.recipe.get("monitor")),
    }
    problems: list[str] = []
    for override in overrides:
        path, separator, _ = override.partition("=")
        section, _, key = path.partition(".")
        if section not in data or not key or not separator:
            problems.append(f"--set {override}: write it as serve.key=value or monitor.key=value")
            continue
        try:
            apply_override(data, override)
        except RecipeError as error:
            problems += error.problems
    found, settings = validate(Settings, data)
    problems += [f"{'.'.join(map(str, path))}: {message}" for path, message in found]
    if settings is None or problems:
        raise RecipeError(problems)
    return settings.serve, settings.monitor


def _section(defaults: BaseModel, given: dict[str, Any] | None) -> dict[str, Any]:
    """A copy that overrides may change, with every key present so that list indices find something."""
    section: dict[str, Any] = json.loads(json.dumps({**defaults.model_dump(mode="json"), **(given or {})}))
    return section
