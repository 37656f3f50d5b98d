"""From a search space to recipes: which keys may be searched, and a recipe with some of them replaced."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from lamplighter.core import registry
from lamplighter.core.errors import LamplighterError, RecipeError
from lamplighter.core.recipe import KIND_AT, Recipe, apply_override, validate
from lamplighter.core.search_space import Parameter

if TYPE_CHECKING:
    import optuna

_SECTIONS = ("data", "augment", "model", "task", "transfer", "train")
_FIXED = ("data.name", "data.path", "data.split", "data.split_seed", "data.target", "data.targets", "train.monitor")


def check(recipe: Recipe, space: Mapping[str, Parameter], grid: bool = False) -> None:
    """Refuse a space before the first training: every value, beside the first value of the others, must be a recipe.

    Args:
        recipe: what is searched.
        space: dotted key -> values.
        grid: whether all combinations are to be tried, which needs finite ranges.

    Raises:
        RecipeError: one line for each problem.
    """
    problems = []
    for key, parameter in space.items():
        if key.split(".")[0] not in _SECTIONS:
            problems.append(f"search.space.{key}: only keys of {', '.join(_SECTIONS)} can be searched")
        elif any(key == fixed or key.startswith(f"{fixed}.") for fixed in _FIXED):
            problems.append(f"search.space.{key}: trials must be judged on the same rows by the same measure")
        if grid:
            try:
                parameter.grid()
            except ValueError as error:
                problems.append(f"search.space.{key}: {error}")
    if problems:
        raise RecipeError(problems)
    first = {key: ends(parameter)[0] for key, parameter in space.items()}
    seen: dict[str, None] = {}
    for key, parameter in space.items():
        for value in ends(parameter):
            try:
                apply(recipe, {**first, key: value})
            except RecipeError as error:
                seen |= dict.fromkeys(error.problems)
    if seen:
        raise RecipeError(list(seen))


def apply(recipe: Recipe, values: Mapping[str, Any]) -> Recipe:
    """The recipe with some keys replaced, and nothing left to search.

    Where another component is chosen by its ``name``, parameters that only the old one had are dropped.

    Args:
        recipe: what is searched.
        values: dotted key -> value.

    Raises:
        RecipeError: one line for each problem, beginning with ``search.space``.
    """
    data = recipe.to_dict()
    data["search"] = None
    for key, value in sorted(values.items(), key=lambda item: (item[0].count("."), item[0])):  # whole sections first
        if key.endswith(".name"):
            _rename(data, key.removesuffix(".name").split("."), value)
        try:
            apply_override(data, f"{key}={json.dumps(value)}")
        except RecipeError as error:
            raise RecipeError([line.replace("--set ", "search.space.", 1) for line in error.problems]) from None
    found, made = validate(Recipe, data)
    if made is None:
        raise RecipeError([f"search.space: {'.'.join(map(str, path))}: {message}" for path, message in found])
    return made


def ends(parameter: Parameter) -> list[Any]:
    """Values that stand for all of them: every choice, or both ends of a range."""
    return list(parameter.choice) if parameter.choice is not None else list(parameter.range)


def suggest(trial: optuna.Trial, space: Mapping[str, Parameter]) -> dict[str, Any]:
    """Let a trial choose a value for every key.

    Choices are given to the sampler as JSON texts, so that lists and mappings can be chosen among.
    """
    values: dict[str, Any] = {}
    for key, parameter in space.items():
        if parameter.choice is not None:
            values[key] = json.loads(trial.suggest_categorical(key, [json.dumps(each) for each in parameter.choice]))
        elif parameter.kind.endswith("integer"):
            low, high = (int(end) for end in parameter.range)
            values[key] = trial.suggest_int(key, low, high, log=parameter.kind.startswith("log"))
        else:
            low_, high_ = parameter.range
            values[key] = trial.suggest_float(key, low_, high_, log=parameter.kind == "log")
    return values


def encoded(values: Mapping[str, Any], space: Mapping[str, Parameter]) -> dict[str, Any]:
    """Values as `suggest` gives them to the sampler."""
    return {key: json.dumps(value) if space[key].choice is not None else value for key, value in values.items()}


def decoded(values: Mapping[str, Any], space: Mapping[str, Parameter]) -> dict[str, Any]:
    """The reverse of `encoded`."""
    return {
        key: json.loads(value) if key in space and space[key].choice is not None else value
        for key, value in values.items()
    }


def _rename(data: dict[str, Any], path: list[str], name: Any) -> None:
    """Drop the parameters of a component that another one of its kind does not have."""
    node: Any = data
    for step in path:
        node = node[int(step)] if isinstance(node, list) and step.isdigit() else (node or {}).get(step)
    kind = next((kind for pattern, kind in KIND_AT.items() if _matches(pattern, path)), None)
    if kind is None or not isinstance(node, dict) or node.get("name") == name:
        return
    try:
        known = registry.schema(kind, str(name)).model_fields
    except LamplighterError:
        return  # validation will say that there is no such component
    for parameter in [key for key in node if key not in known and key != "name"]:
        del node[parameter]


def _matches(pattern: tuple[str, ...], path: list[str]) -> bool:
    return len(pattern) == len(path) and all(step in ("*", given) for step, given in zip(pattern, path))
