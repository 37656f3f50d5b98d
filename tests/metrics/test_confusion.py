"""Metrics of the confusion matrix against scikit-learn, and where they are not defined."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn import metrics as oracle

from lamplighter.core.errors import DataError
from lamplighter.metrics import confusion as cm

Y_TRUE = np.array([1, 0, 1, 1, 0, 1, 0, 0])
Y_PRED = np.array([1, 0, 1, 0, 0, 1, 1, 0])
SHAPES = [(5, 2), (20, 2), (200, 2), (50, 3), (1000, 10), (30, 40)]


def _answers(n: int, k: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng([n, k, seed])
    skew = rng.dirichlet(np.full(k, 0.5))
    y = rng.choice(k, size=n, p=skew)
    y[:2] = [0, 1]  # scikit-learn warns when only one class occurs
    return np.where(rng.random(n) < 0.6, y, rng.integers(k, size=n)), y


def test_the_source_texts_example_with_its_numbers_corrected() -> None:
    matrix = cm.confusion_matrix(Y_PRED, Y_TRUE, 2)
    assert matrix.tolist() == [[3, 1], [1, 3]]  # the source text prints [[2, 1], [1, 3]], which counts 7 of 8 rows
    assert (cm.accuracy(matrix), cm.precision(matrix)[1], cm.recall(matrix)[1], cm.f1(matrix)[1]) == (0.75,) * 4
    assert cm.mcc(matrix) == pytest.approx(0.5, abs=1e-15)


def test_at_threshold_one_half_the_same_rows_score_differently() -> None:
    probability = np.array([0.9, 0.1, 0.8, 0.6, 0.3, 0.7, 0.55, 0.2])
    matrix = cm.confusion_matrix((probability > 0.5).astype(int), Y_TRUE, 2)
    assert matrix.tolist() == [[3, 1], [0, 4]]
    assert (cm.accuracy(matrix), cm.precision(matrix)[1], cm.recall(matrix)[1]) == (0.875, 0.8, 1.0)


@pytest.mark.parametrize(("n", "k"), SHAPES)
@pytest.mark.parametrize("seed", range(5))
def test_equals_scikit_learn(n: int, k: int, seed: int) -> None:
    predicted, y = _answers(n, k, seed)
    matrix, every = cm.confusion_matrix(predicted, y, k), np.arange(k)
    reference = oracle.confusion_matrix(y, predicted, labels=every)
    assert np.array_equal(matrix, reference)
    p, r, f, _ = oracle.precision_recall_fscore_support(y, predicted, labels=every, zero_division=0.0)
    recalls = [oracle.recall_score(y == c, predicted == c) for c in np.unique(y)]
    pairs = [
        (cm.accuracy(matrix), oracle.accuracy_score(y, predicted)),
        (cm.precision(matrix), p),
        (cm.recall(matrix), r),
        (cm.f1(matrix), f),
        (cm.balanced_accuracy(matrix), np.mean(recalls)),
        (cm.f1_macro(matrix), oracle.f1_score(y, predicted, average="macro", zero_division=0.0)),
        (cm.mcc(matrix), oracle.matthews_corrcoef(y, predicted)),
    ]
    for ours, theirs in pairs:
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-12)


def test_balanced_accuracy_equals_scikit_learn_when_every_class_has_rows() -> None:
    predicted, _ = _answers(500, 4, 0)
    y = np.arange(500) % 4
    ours = cm.balanced_accuracy(cm.confusion_matrix(predicted, y, 4))
    assert ours == pytest.approx(oracle.balanced_accuracy_score(y, predicted), abs=1e-12)


def test_adding_the_matrices_of_batches_is_exact() -> None:
    predicted, y = _answers(1000, 10, 1)
    whole = cm.confusion_matrix(predicted, y, 10)
    parts = [cm.confusion_matrix(predicted[i : i + 64], y[i : i + 64], 10) for i in range(0, 1000, 64)]
    assert np.array_equal(sum(parts), whole)


def test_accuracy_deceives_when_one_class_is_rare_and_balanced_accuracy_does_not() -> None:
    y = np.array([0] * 99 + [1])
    matrix = cm.confusion_matrix(np.zeros(100, dtype=int), y, 2)
    assert (cm.accuracy(matrix), cm.balanced_accuracy(matrix), cm.mcc(matrix)) == (0.99, 0.5, 0.0)


def test_without_rows_averages_are_nan_and_shares_are_zero() -> None:
    empty = cm.confusion_matrix(np.empty(0, dtype=int), np.empty(0, dtype=int), 3)
    assert np.isnan([cm.accuracy(empty), cm.balanced_accuracy(empty), cm.f1_macro(empty)]).all()
    assert cm.precision(empty).tolist() == cm.recall(empty).tolist() == cm.f1(empty).tolist() == [0, 0, 0]
    assert cm.mcc(empty) == 0.0


def test_a_class_never_answered_and_a_class_without_rows_count_zero() -> None:
    matrix = cm.confusion_matrix(np.array([0, 0, 2]), np.array([0, 1, 0]), 4)
    assert cm.precision(matrix).tolist() == [0.5, 0, 0, 0]
    assert cm.recall(matrix).tolist() == [0.5, 0, 0, 0]
    assert cm.balanced_accuracy(matrix) == 0.25  # classes 0 and 1 have rows
    assert cm.f1_macro(matrix) == pytest.approx(0.5 / 3)  # classes 0, 1, 2 occur


@pytest.mark.parametrize("over", ["true", "predicted", "all"])
def test_normalised_equals_scikit_learn(over: Any) -> None:
    predicted, y = _answers(60, 8, 2)
    predicted[predicted == 3] = 0
    predicted, y = predicted[y != 5], y[y != 5]
    theirs = {"true": "true", "predicted": "pred", "all": "all"}[over]
    reference = oracle.confusion_matrix(y, predicted, labels=np.arange(8), normalize=theirs)
    np.testing.assert_allclose(cm.normalised(cm.confusion_matrix(predicted, y, 8), over), reference, rtol=0, atol=1e-15)


def test_normalised_without_rows_is_zero() -> None:
    for over in ("true", "predicted", "all"):
        assert cm.normalised(np.zeros((2, 2), dtype=int), over).tolist() == [[0, 0], [0, 0]]


@pytest.mark.parametrize("weights", [None, "linear", "quadratic"])
@pytest.mark.parametrize("seed", range(5))
def test_kappa_equals_scikit_learn(weights: Any, seed: int) -> None:
    predicted, y = _answers(80, 5, seed)
    matrix, every = cm.confusion_matrix(predicted, y, 5), np.arange(5)
    reference = oracle.cohen_kappa_score(y, predicted, labels=every, weights=weights)
    assert cm.cohen_kappa(matrix, weights) == pytest.approx(reference, abs=1e-12)
    rows = np.random.default_rng(seed).random(80)
    reference = oracle.cohen_kappa_score(y, predicted, labels=every, weights=weights, sample_weight=rows)
    assert cm.cohen_kappa(cm.confusion_matrix(predicted, y, 5, rows), weights) == pytest.approx(reference, abs=1e-12)


def test_kappa_where_not_defined() -> None:
    assert np.isnan(cm.cohen_kappa(np.zeros((3, 3))))
    assert np.isnan(cm.cohen_kappa(np.diag([5, 0])))  # all of one class, all answered right
    assert cm.cohen_kappa(np.array([[0, 5], [0, 0]])) == 0.0  # one class, never answered: as good as chance
    assert cm.cohen_kappa(np.diag([5, 2, 1]), "quadratic") == 1.0


def test_kappa_counts_a_near_miss_less_than_a_far_one_when_classes_are_ordered() -> None:
    near = np.array([[8, 2, 0], [0, 10, 0], [0, 0, 10]])
    far = np.array([[8, 0, 2], [0, 10, 0], [0, 0, 10]])
    assert cm.cohen_kappa(near, "quadratic") > cm.cohen_kappa(near, "linear") > cm.cohen_kappa(far, "linear")


@pytest.mark.parametrize("seed", range(3))
def test_row_weights_equal_scikit_learn_and_whole_ones_repeat_rows(seed: int) -> None:
    predicted, y = _answers(120, 4, seed)
    weight = np.random.default_rng(seed).random(120)
    matrix = cm.confusion_matrix(predicted, y, 4, weight)
    reference = oracle.confusion_matrix(y, predicted, labels=np.arange(4), sample_weight=weight)
    np.testing.assert_allclose(matrix, reference, rtol=0, atol=1e-12)
    settings = {"sample_weight": weight}
    assert cm.accuracy(matrix) == pytest.approx(oracle.accuracy_score(y, predicted, **settings), abs=1e-12)
    assert cm.mcc(matrix) == pytest.approx(oracle.matthews_corrcoef(y, predicted, **settings), abs=1e-12)
    times = np.random.default_rng(seed).integers(0, 4, size=120)
    repeated = cm.confusion_matrix(np.repeat(predicted, times), np.repeat(y, times), 4)
    assert np.array_equal(cm.confusion_matrix(predicted, y, 4, times), repeated)


@pytest.mark.parametrize(
    ("weight", "reason"),
    [([1.0], "do not fit 2 rows"), ([1.0, -1.0], r"row 1: the weight -1\.0"), ([np.nan, 1.0], "row 0: the weight nan")],
)
def test_bad_weights_are_refused(weight: list[float], reason: str) -> None:
    with pytest.raises(DataError, match=reason):
        cm.confusion_matrix(np.array([0, 1]), np.array([0, 1]), 2, np.array(weight))


@pytest.mark.parametrize("beta", [0.5, 1.0, 2.0])
def test_fbeta_equals_scikit_learn(beta: float) -> None:
    predicted, y = _answers(200, 6, 0)
    reference = oracle.fbeta_score(y, predicted, beta=beta, labels=np.arange(6), average=None, zero_division=0.0)
    np.testing.assert_allclose(cm.fbeta(cm.confusion_matrix(predicted, y, 6), beta), reference, rtol=0, atol=1e-12)


def test_large_counts_do_not_overflow() -> None:
    matrix = np.array([[3, 1], [1, 3]], dtype=np.int64) * 10**9
    assert cm.mcc(matrix) == pytest.approx(0.5)


@pytest.mark.parametrize("y", [np.array([0, 2]), np.array([0, -1]), np.array([0, np.nan])])
def test_a_class_out_of_range_names_the_row(y: np.ndarray) -> None:
    with pytest.raises(DataError, match=rf"row 1: target {y[1]} is outside 0\.\.1"):
        cm.confusion_matrix(np.array([0, 1]), y, 2)


def test_different_lengths_are_refused() -> None:
    with pytest.raises(DataError, match="do not fit"):
        cm.confusion_matrix(np.array([0, 1, 1]), np.array([0, 1]), 2)
