"""Micro, macro, weighted and binary averages against scikit-learn."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from sklearn import metrics as oracle

from lamplighter.core.errors import DataError
from lamplighter.metrics import averages
from lamplighter.metrics import confusion as cm


def _answers(n: int, k: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng([n, k, seed])
    y = rng.choice(k, size=n, p=rng.dirichlet(np.full(k, 0.6)))
    return np.where(rng.random(n) < 0.5, y, rng.integers(k, size=n)), y


@pytest.mark.parametrize(("n", "k"), [(3, 2), (40, 2), (25, 6), (900, 10)])
@pytest.mark.parametrize("average", ["micro", "macro", "weighted"])
@pytest.mark.parametrize("weighted_rows", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_equals_scikit_learn(n: int, k: int, average: Any, weighted_rows: bool, seed: int) -> None:
    predicted, y = _answers(n, k, seed)
    weight = np.random.default_rng(seed).random(n) + 0.1 if weighted_rows else None
    matrix = cm.confusion_matrix(predicted, y, k, weight)
    settings = {"average": average, "sample_weight": weight, "zero_division": 0.0}
    for beta in (0.5, 1.0, 2.0):
        ours = averages.fbeta(matrix, average, beta=beta)
        assert ours == pytest.approx(oracle.fbeta_score(y, predicted, beta=beta, **settings), abs=1e-12)
    assert averages.precision(matrix, average) == pytest.approx(
        oracle.precision_score(y, predicted, **settings), abs=1e-12
    )
    assert averages.recall(matrix, average) == pytest.approx(oracle.recall_score(y, predicted, **settings), abs=1e-12)


@pytest.mark.parametrize("average", ["micro", "macro", "weighted"])
@pytest.mark.parametrize("classes", [(1, 2), (0, 3, 5), (4,)])
def test_some_of_the_classes_equal_scikit_learn(average: Any, classes: tuple[int, ...]) -> None:
    predicted, y = _answers(300, 6, 1)
    predicted[predicted == 4] = 0  # never answered
    matrix = cm.confusion_matrix(predicted, y, 6)
    settings = {"labels": list(classes), "average": average, "zero_division": 0.0}
    for ours, theirs in (
        (averages.precision(matrix, average, classes=classes), oracle.precision_score(y, predicted, **settings)),
        (averages.recall(matrix, average, classes=classes), oracle.recall_score(y, predicted, **settings)),
        (averages.fbeta(matrix, average, classes=classes), oracle.f1_score(y, predicted, **settings)),
        (
            averages.fbeta(matrix, average, beta=2.0, classes=classes),
            oracle.fbeta_score(y, predicted, beta=2.0, **settings),
        ),
    ):
        assert ours == pytest.approx(theirs, abs=1e-12)


@pytest.mark.parametrize("positive", [0, 1])
def test_binary_is_about_the_positive_class(positive: int) -> None:
    predicted, y = _answers(200, 2, 3)
    matrix = cm.confusion_matrix(predicted, y, 2)
    ours = averages.fbeta(matrix, "binary", beta=2.0, positive=positive)
    assert ours == pytest.approx(oracle.fbeta_score(y, predicted, beta=2.0, pos_label=positive), abs=1e-12)
    assert averages.precision(matrix, "binary", positive=positive) == cm.precision(matrix)[positive]
    assert averages.recall(matrix, "binary", positive=positive) == cm.recall(matrix)[positive]


def test_micro_over_all_classes_is_the_accuracy() -> None:
    predicted, y = _answers(300, 5, 0)
    matrix = cm.confusion_matrix(predicted, y, 5)
    for metric in (averages.precision, averages.recall, averages.fbeta):
        assert metric(matrix, "micro") == pytest.approx(cm.accuracy(matrix), abs=1e-15)
    assert averages.fbeta(matrix, "macro") == cm.f1_macro(matrix)


def test_where_not_defined() -> None:
    nothing, one_class = np.zeros((3, 3), dtype=int), np.diag([4, 0, 0])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for metric in (averages.precision, averages.recall, averages.fbeta):
            for average in ("binary", "micro", "macro", "weighted"):
                assert np.isnan(metric(nothing, average))
            assert metric(one_class, "macro") == 1.0  # only the class that occurs is averaged over
            assert metric(one_class, "binary", positive=1) == 0.0
            assert metric(one_class, "micro", classes=(1, 2)) == 0.0
            assert metric(one_class, "weighted", classes=(1, 2)) == 0.0


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(DataError, match=r"class 3 is outside 0\.\.2"):
        averages.precision(np.eye(3), classes=(0, 3))
    with pytest.raises(DataError, match="name each once"):
        averages.recall(np.eye(3), classes=(1, 1))
    with pytest.raises(DataError, match=r"positive class 5 is outside 0\.\.2"):
        averages.fbeta(np.eye(3), "binary", positive=5)
