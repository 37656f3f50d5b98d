"""What loggers write: the numbers of a validation, and the recipe as flat parameters."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

from lamplighter.core import yaml
from lamplighter.train.callbacks.base import State


def numbers(state: State) -> dict[str, float]:
    """The metrics of the latest validation that are finite numbers.

    >>> from lamplighter.tasks.base import Task
    >>> numbers(State(Task(), "loss", "min", 1, metrics={"val/loss": 0.5, "val/roc_auc": math.nan}))
    {'val/loss': 0.5}
    """
    return {name: float(value) for name, value in state.metrics.items() if math.isfinite(value)}


def recipe_of(state: State) -> dict[str, Any]:
    """The resolved recipe beside the run's diary; empty where a trainer works without one."""
    path = state.folder / "recipe.yaml"
    data = yaml.load(path).data if path.is_file() else {}
    return data if isinstance(data, dict) else {}


def flat(recipe: dict[str, Any]) -> dict[str, Any]:
    """Nested settings under dotted names; lists of plain values as JSON.

    >>> flat({"seed": 0, "train": {"callbacks": [{"name": "ema"}]}, "model": {"hidden": [8, 8]}})
    {'seed': 0, 'train.callbacks.0.name': 'ema', 'model.hidden': '[8, 8]'}
    """
    return dict(_leaves(recipe, ""))


def _leaves(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, list) and any(isinstance(item, dict) for item in value):
        value = {str(index): item for index, item in enumerate(value)}
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _leaves(item, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list):
        yield path, json.dumps(value, ensure_ascii=False)
    else:
        yield path, value
