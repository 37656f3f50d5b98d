"""What a recipe may write under ``search.space``, and the grid that follows from it."""

from __future__ import annotations

import math

import numpy as np
import pytest

from lamplighter.core.errors import RecipeError
from lamplighter.core.recipe import Recipe
from lamplighter.core.search_space import Parameter, combinations

BASE = "{name: a, data: {name: digits}, model: {name: mlp}, task: {name: classification}, search: SEARCH}"


def _parse(search: str) -> Recipe:
    return Recipe.parse(BASE.replace("SEARCH", search))


def test_a_space_is_read_and_written_back() -> None:
    recipe = _parse("{space: {train.optimizer.lr: {log: [1e-4, 1e-1]}, model.hidden: {choice: [[32], [64, 64]]}}}")
    assert recipe.search is not None
    assert recipe.search.space["train.optimizer.lr"].range == (1e-4, 1e-1)
    assert recipe.search.space["model.hidden"].choice == ([32], [64, 64])
    assert (recipe.search.sampler, recipe.search.trials, recipe.search.pruner) == ("tpe", 30, "none")
    import json

    assert Recipe.parse(json.dumps(recipe.to_dict())) == recipe


@pytest.mark.parametrize(
    ("search", "message"),
    [
        ("{}", "search.space: is required"),
        ("{space: {}}", "search.space: .*at least 1"),
        ("{space: {a: {log: [0, 1]}}}", "search.space.a: log: both numbers must be above 0"),
        ("{space: {a: {uniform: [2, 1]}}}", "search.space.a: uniform: the first number must be below"),
        ("{space: {a: {integer: [1.5, 2]}}}", "search.space.a.integer.0: .*integer"),
        ("{space: {a: {choise: [1]}}}", "search.space.a.choise: unknown key .did you mean 'choice'"),
        ("{space: {a: {choice: [1], log: [1, 2]}}}", "search.space.a: give exactly one of"),
        ("{space: {a: {}}}", "search.space.a: give exactly one of"),
        ("{space: {a: {choice: [1]}}, sampler: bayes}", "search.sampler: .*'tpe', 'random' or 'grid'"),
        ("{space: {a: {choice: [1]}}, trials: 0}", "search.trials: .*greater than 0"),
        ("{space: {a: {choice: [1]}}, pruner: asha}", "search.pruner: "),
    ],
)
def test_mistakes_are_named(search: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        _parse(search)


def test_grids_of_ranges() -> None:
    assert Parameter(uniform=(0, 1), points=5).grid() == [0, 0.25, 0.5, 0.75, 1]
    np.testing.assert_allclose(Parameter(log=(1e-4, 1e-1), points=7).grid(), np.geomspace(1e-4, 1e-1, 7), rtol=1e-11)
    assert Parameter(integer=(1, 9), points=3).grid() == [1, 5, 9]
    assert Parameter(log_integer=(8, 512), points=4).grid() == [8, 32, 128, 512]
    assert Parameter(log_integer=(1, 3), points=20).grid() == [1, 2, 3]
    with pytest.raises(ValueError, match="add points"):
        Parameter(log=(1e-4, 1e-1)).grid()


def test_combinations_are_the_product() -> None:
    space = {"a": Parameter(choice=("x", "y")), "b": Parameter(integer=(0, 2)), "c": Parameter(choice=(None,))}
    grid = combinations(space)
    assert len(grid) == math.prod((2, 3, 1)) == len({(each["a"], each["b"]) for each in grid})
    assert grid[0] == {"a": "x", "b": 0, "c": None} and grid[1] == {"a": "x", "b": 1, "c": None}
