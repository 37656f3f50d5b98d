"""The recipe of ``lamp.fit(model=my_module, task=..., data=(x, y))``: one's own network and arrays."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import nn

from lamplighter.core.errors import LamplighterError
from lamplighter.core.recipe import Component, Recipe
from lamplighter.data.sources.arrays import Arrays

_TOP = ("name", "seed", "device", "threads", "augment", "bundle", "serve", "monitor")
_DATA = ("batch_size", "split_seed")
_SOURCE = ("labels", "split")


def _name_of(task: str | Mapping[str, Any] | Component | None) -> str | None:
    if task is None or isinstance(task, str):
        return task
    return str(task["name"]) if isinstance(task, Mapping) else task.name


def _as_numbers(data: Any) -> Any:
    """Whole numbers to predict (ages, counts) as floating point numbers: else they would be taken for classes."""
    if isinstance(data, Mapping):
        return {name: _as_numbers(pair) for name, pair in data.items()}
    if isinstance(data, (tuple, list)) and len(data) == 2 and np.asarray(data[1]).dtype.kind in "biu":
        return data[0], np.asarray(data[1]).astype(np.float64)
    return data


def describe(
    model: nn.Module, task: str | Mapping[str, Any] | Component | None, data: Any, settings: Mapping[str, Any]
) -> tuple[Recipe, Arrays]:
    """A recipe and a source for a module and arrays.

    Args:
        model: maps x (N, ...) to logits (N, classes) or values (N, targets).
        task: a task's name, or ``{"name": ..., **parameters}``; None: classification for classes, regression for
            floating point numbers.
        data: see `lamplighter.data.sources.arrays.Arrays`.
        settings: keys of a recipe: ``name``, ``seed``, ``device``, ``batch_size``, ``labels``, ``split``, ``augment``,
            ``bundle``, ``serve``, ``monitor`` and everything of its ``train`` section (``epochs``, ``optimizer`` ...).

    Raises:
        LamplighterError: a model or data that is none, or a setting that no recipe has.
    """
    if not isinstance(model, nn.Module):
        raise LamplighterError(f"model: give a torch.nn.Module, not {type(model).__name__}")
    if data is None:
        raise LamplighterError("data: give the arrays to train on: fit(model=..., data=(x, y))")
    labels = settings.get("labels")
    of_source: dict[str, Any] = {"labels": tuple(map(str, labels))} if labels is not None else {}
    if "split" in settings:
        of_source["split"] = tuple(settings["split"])
    top = {key: settings[key] for key in _TOP if key in settings}
    seed = settings.get("split_seed")
    if _name_of(task) == "regression":
        data = _as_numbers(data)
    source = Arrays(data, **of_source, seed=top.get("seed", 0) if seed is None else seed)
    if task is None:
        task = "classification" if source.signature.labels else "regression"
    named = {"name": task} if isinstance(task, str) else dict(task if isinstance(task, Mapping) else task.model_dump())
    rest = {key: value for key, value in settings.items() if key not in (*_TOP, *_DATA, *_SOURCE)}
    base = "{name: model, data: {name: arrays}, model: {name: own}, task: {name: classification}}"
    recipe = Recipe.parse(base).with_(
        **{"name": type(model).__name__.lower(), **top},
        data={"name": "arrays", **of_source, **{key: settings[key] for key in _DATA if key in settings}},
        task=named,
        train=rest,
    )
    return recipe, source
