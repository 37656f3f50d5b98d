"""Counts of classes, equal rows with different targets, and what a constant answer achieves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from lamplighter.checkup.data_checks import baseline, look_at_data, some
from lamplighter.core.recipe import Recipe
from lamplighter.run import build_source, build_task

Make = Callable[..., Any]


def found(recipe: Recipe) -> tuple[dict[str, Any], dict[str, Any]]:
    facts, checks = look_at_data(build_source(recipe), 0)
    return facts, {check.name: check for check in checks}


def test_classes_are_counted_in_the_training_split(table: Make) -> None:
    recipe = table()
    source = build_source(recipe)
    facts, checks = found(recipe)
    y = source.split("train").fetch(np.arange(420))["y"]
    assert facts["classes"] == {label: int((y == k).sum()) for k, label in enumerate(source.signature.labels)}
    assert checks["classes"].level == "ok" and "of each of 3 classes" in checks["classes"].text


def test_rare_and_uneven_classes_are_named(table: Make) -> None:
    rare = found(table("rare"))[1]["classes"]
    assert rare.level == "look" and "fewer than 10 training rows of the class blue" in rare.text
    uneven = found(table("uneven"))[1]["classes"]
    assert uneven.level == "look" and "'red' is" in uneven.text and "'blue'" in uneven.text
    assert "balanced accuracy" in uneven.text


def test_equal_rows_with_different_targets_are_counted(table: Make) -> None:
    conflict = found(table("conflict"))[1]["targets"]
    assert conflict.level == "look" and "with a different target" in conflict.text
    assert found(table())[1]["targets"].level == "ok"


def test_rows_in_two_splits_are_certain_leaks(table: Make) -> None:
    assert found(table("twice"))[1]["splits"].level == "wrong"


def test_a_sample_has_each_row_once(table: Make) -> None:
    rows = build_source(table()).split("train")
    assert len(some(rows, 0, 100)["y"]) == 100
    everything = some(rows, 0, 10_000)["x"]
    assert len(everything.unique(dim=0)) == len(rows) == 420


def test_a_sample_of_large_rows_is_smaller() -> None:
    class Large:
        def __len__(self) -> int:
            return 5000

        def fetch(self, indices: np.ndarray) -> dict[str, torch.Tensor]:
            return {"x": torch.empty(len(indices), 2**18, dtype=torch.uint8), "y": torch.zeros(len(indices))}

    assert 1000 < len(some(Large(), 0, 2000)["y"]) < 1024


def test_the_baseline_is_the_entropy_of_the_training_shares(table: Make) -> None:
    recipe = table()
    source = build_source(recipe)
    task = build_task(recipe, source)
    facts, _ = found(recipe)
    counts = np.array(list(facts["classes"].values())) + 1.0
    shares = counts / counts.sum()
    y = source.split("val").fetch(np.arange(90))["y"].numpy()
    answer = baseline(task, source, torch.device("cpu"), 64, 0)
    assert answer["loss"] == pytest.approx(float(-np.log(shares[y]).mean()), rel=1e-5)
    assert answer["accuracy"] == pytest.approx(float((y == counts.argmax()).mean()))
