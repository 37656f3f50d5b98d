"""What a task's outputs give to a metric, and a metric of one's own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from lamplighter.core.errors import DataError
from lamplighter.metrics import bootstrap
from lamplighter.metrics.base import Metric, inputs

LOGITS = np.array([[0.0, 2.0], [1.0, 0.0], [0.0, 0.0]])
OUTPUTS = {"logits": LOGITS, "y": np.array([1, 1, 0])}


def test_logits_become_what_a_metric_takes() -> None:
    answers, y = inputs("labels", OUTPUTS)
    assert answers.tolist() == [1, 0, 0] and y is OUTPUTS["y"]
    for takes in ("probabilities", "scores"):
        p, _ = inputs(takes, OUTPUTS)
        np.testing.assert_allclose(p[:, 1], 1 / (1 + np.exp(LOGITS[:, 0] - LOGITS[:, 1])), rtol=1e-12)


def test_answers_that_were_decided_otherwise_count() -> None:
    assert inputs("labels", {**OUTPUTS, "answers": np.array([0, 0, 1])})[0].tolist() == [0, 0, 1]


def test_values_are_passed_on() -> None:
    outputs = {"value": np.ones((2, 1)), "y": np.zeros((2, 1))}
    assert inputs("values", outputs)[0] is outputs["value"]


@pytest.mark.parametrize(
    ("takes", "outputs", "reason"),
    [
        ("values", OUTPUTS, "takes values, and this task gives class probabilities"),
        ("labels", {"value": np.ones(2), "y": np.ones(2)}, "takes labels, and this task gives numbers"),
        ("tags", {"image": np.ones(2)}, "takes tags, and this task gives image"),
    ],
)
def test_outputs_that_do_not_fit_are_named(takes: Any, outputs: dict[str, np.ndarray], reason: str) -> None:
    with pytest.raises(DataError, match=reason):
        inputs(takes, outputs)


class Profit(Metric):
    """Sum of what each right answer earns."""

    takes = "labels"
    key = "profit"

    def compute(self, predicted: Any, y: Any) -> float:
        return float((predicted == y).sum() * 2.5 - (predicted != y).sum())


def test_a_metric_of_ones_own_needs_one_function() -> None:
    rng = np.random.default_rng(0)
    predicted, y = rng.integers(2, size=(2, 100))
    stream = Profit().stream()
    for part in np.split(np.arange(100), [10, 10, 60]):
        stream.update(predicted[part], y[part])
    assert stream.compute() == Profit()(predicted, y) == Profit().compute(predicted, y)
    score = bootstrap.score(Profit(), predicted, y)
    assert score is not None and score.low < score.value < score.high
