"""How settings count steps, and what a recipe may write for them."""

from __future__ import annotations

from pathlib import Path

import pytest

from lamplighter.core.errors import LamplighterError, TrainingError
from lamplighter.core.recipe import Recipe
from lamplighter.optim.schedules.base import in_steps, with_warmup
from lamplighter.optim.schedules.cosine import cosine

TEXT = "{name: a, data: {name: digits}, model: {name: mlp}, task: {name: classification}, train: {schedule: %s}}"


def test_whole_numbers_are_steps_or_epochs_and_fractions_are_shares() -> None:
    assert in_steps(30, 1000) == 30
    assert in_steps(3, 1000, "epoch", 40) == 120
    assert in_steps(0.3, 1000) == in_steps(0.3, 1000, "epoch", 40) == 300
    assert in_steps(1.0, 1000) == 1000
    assert in_steps(1, 1000) == 1


def test_shares_are_rounded_up_but_not_by_rounding_errors() -> None:
    assert in_steps(0.1, 11) == 2
    assert in_steps(0.07, 100) == 7  # 0.07 * 100 is 7.000000000000001
    assert in_steps(0.0, 100) == 0


def test_epochs_of_a_stream_without_end_are_an_error() -> None:
    with pytest.raises(TrainingError, match="use unit: step"):
        in_steps(3, 1000, "epoch", None)


def test_a_warmup_longer_than_the_training_is_an_error() -> None:
    with pytest.raises(TrainingError, match="warm-up of 11 steps does not fit into 10"):
        cosine(10, warmup=11)
    assert cosine(10, warmup=10)(9) < 1


def test_no_warmup_changes_nothing() -> None:
    def after(step: int) -> float:
        return 0.5

    assert with_warmup(after, 0, 0.1, 10) is after


@pytest.mark.parametrize(("written", "meant"), [("200", 200), ("0.1", 0.1), ("1", 1), ("1.0", 1.0), ("0", 0)])
def test_recipes_tell_steps_from_shares(tmp_path: Path, written: str, meant: int | float) -> None:
    recipe = Recipe.parse(TEXT % f"{{name: cosine, warmup: {written}}}")
    recipe.save(tmp_path / "recipe.yaml")  # as a run writes it down for a resume
    for read in (recipe, Recipe.load(tmp_path / "recipe.yaml")):
        value = read.train.schedule.params["warmup"]
        assert value == meant
        assert type(value) is type(meant)


@pytest.mark.parametrize("written", ["1.5", "-1", "-0.1", "many", "true", "null"])
def test_other_lengths_are_refused_in_one_sentence(written: str) -> None:
    with pytest.raises(LamplighterError, match=r"train\.schedule\.warmup: must be a whole number") as caught:
        Recipe.parse(TEXT % f"{{name: cosine, warmup: {written}}}")
    assert len(str(caught.value).splitlines()) == 1
