"""From a space to recipes: values put in place, components exchanged, mistakes named."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import optuna
import pytest

from lamplighter.core.errors import RecipeError
from lamplighter.core.recipe import Recipe
from lamplighter.core.search_space import Parameter
from lamplighter.search import space as spaces

Make = Callable[..., Recipe]


def test_values_are_put_in_place_and_nothing_is_left_to_search(moons: Make) -> None:
    recipe = moons("search: {space: {train.optimizer.lr: {log: [0.001, 0.1]}}}")
    made = spaces.apply(recipe, {"train.optimizer.lr": 0.00123, "model.hidden": [64, 32], "augment": []})
    assert made.train.optimizer.params["lr"] == 0.00123
    assert made.model.params["hidden"] == [64, 32]
    assert made.search is None
    assert recipe.search is not None and recipe.model.params["hidden"] == [8]


@pytest.mark.parametrize("value", [1e-07, 0.1 + 0.2, 123456789.125, 5e-324])
def test_numbers_arrive_to_the_last_bit(moons: Make, value: float) -> None:
    assert spaces.apply(moons(), {"train.optimizer.lr": value}).train.optimizer.params["lr"] == value


def test_another_component_drops_parameters_that_only_the_old_one_had(moons: Make) -> None:
    recipe = moons(**{"train.optimizer": {"name": "adamw", "lr": 0.02, "weight_decay": 0.1}})
    made = spaces.apply(recipe, {"train.optimizer.name": "sgd"})
    assert made.train.optimizer.name == "sgd" and made.train.optimizer.params["lr"] == 0.02
    with pytest.raises(RecipeError, match=r"unknown optimizer 'adamv' \(did you mean 'adam'"):
        spaces.apply(recipe, {"train.optimizer.name": "adamv"})


def test_whole_sections_first_then_keys_in_them(moons: Make) -> None:
    values = {"model.hidden": [4], "model": {"name": "mlp", "hidden": [32, 32], "dropout": 0.5}}
    made = spaces.apply(moons(), values)
    assert made.model.params["hidden"] == [4] and made.model.params["dropout"] == 0.5


SPACE = {
    "a": Parameter(choice=("x", 1, True, None, [1, 2], {"name": "mlp"})),
    "b": Parameter(log=(1e-4, 1e-1)),
    "c": Parameter(uniform=(0, 1)),
    "d": Parameter(integer=(2, 5)),
    "e": Parameter(log_integer=(8, 512)),
}


def test_suggestions_lie_in_the_space_and_survive_the_journey() -> None:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    seen: dict[str, list[Any]] = {key: [] for key in SPACE}
    for _ in range(200):
        trial = study.ask()
        values = spaces.suggest(trial, SPACE)
        assert spaces.decoded(trial.params, SPACE) == values
        assert spaces.encoded(values, SPACE) == trial.params
        for key, value in values.items():
            seen[key].append(value)
    assert all(value in seen["a"] for value in ("x", 1, None, [1, 2], {"name": "mlp"}))
    assert any(value is True for value in seen["a"]) and any(type(value) is int for value in seen["a"])
    below = sum(value < 10**-2.5 for value in seen["b"])
    assert 70 < below < 130, "half of the values lie below the middle of the logarithm"
    assert set(seen["d"]) == {2, 3, 4, 5} and all(0 <= value <= 1 for value in seen["c"])
    assert all(isinstance(value, int) and 8 <= value <= 512 for value in seen["e"])
    assert 70 < sum(value < 64 for value in seen["e"]) < 130


def test_every_end_of_the_space_must_be_a_recipe(moons: Make) -> None:
    fits = {"train.optimizer.lr": Parameter(log=(1e-4, 1e-1)), "train.epochs": Parameter(integer=(1, 3))}
    spaces.check(moons(), fits)
    with pytest.raises(RecipeError, match=r"search\.space: train\.epochs: .*greater than 0"):
        spaces.check(moons(), {"train.epochs": Parameter(integer=(0, 3))})
    with pytest.raises(RecipeError, match=r"search\.space: model\.dropout"):
        spaces.check(moons(), {"model.dropout": Parameter(uniform=(0.0, 1.5))})
    with pytest.raises(RecipeError, match=r"search\.space\.train\.epochs\.x.*'train\.epochs' is a single value"):
        spaces.check(moons(), {"train.epochs.x": Parameter(choice=(1,))})
