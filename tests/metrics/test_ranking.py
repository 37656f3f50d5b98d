"""ROC-AUC and average precision against scikit-learn, ties included."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from sklearn import metrics as oracle

from lamplighter.core.errors import DataError
from lamplighter.metrics.ranking import (
    average_precision,
    average_precision_influence,
    average_precision_ovr,
    roc_auc,
    roc_auc_influence,
    roc_auc_ovo,
    roc_auc_ovr,
)

Y_TRUE = np.array([1, 0, 1, 1, 0, 1, 0, 0])
PROBABILITY = np.array([0.9, 0.1, 0.8, 0.6, 0.3, 0.7, 0.55, 0.2])


def _tied(n: int, levels: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng([n, levels, seed])
    positive = rng.random(n) < 0.3
    positive[:2] = [True, False]
    return np.round((rng.normal(size=n) + positive) * levels) / levels, positive


def test_the_source_texts_example_with_its_number_corrected() -> None:
    assert roc_auc(PROBABILITY, Y_TRUE) == 1.0  # the source text prints 0.84, but no negative outranks a positive
    assert average_precision(PROBABILITY, Y_TRUE) == 1.0


@pytest.mark.parametrize("n", [2, 10, 333, 5000])
@pytest.mark.parametrize("levels", [1, 3, 10**6])
@pytest.mark.parametrize("seed", range(4))
def test_binary_equals_scikit_learn(n: int, levels: int, seed: int) -> None:
    scores, positive = _tied(n, levels, seed)
    assert roc_auc(scores, positive) == pytest.approx(oracle.roc_auc_score(positive, scores), abs=1e-12)
    ap = oracle.average_precision_score(positive, scores)
    assert average_precision(scores, positive) == pytest.approx(ap, abs=1e-12)


@pytest.mark.parametrize(("n", "k"), [(40, 3), (900, 10)])
@pytest.mark.parametrize("decimals", [1, 15])
def test_one_against_the_rest_equals_scikit_learn(n: int, k: int, decimals: int) -> None:
    rng = np.random.default_rng([n, k])
    y = np.arange(n) % k
    p = rng.dirichlet(np.ones(k), size=n)
    p[np.arange(n), y] += 0.2
    p = np.round(p / p.sum(axis=1, keepdims=True), decimals)
    reference = np.mean([oracle.roc_auc_score(y == c, p[:, c]) for c in range(k)])
    assert roc_auc_ovr(p, y) == pytest.approx(reference, abs=1e-12)
    if decimals == 15:
        assert roc_auc_ovr(p, y) == pytest.approx(oracle.roc_auc_score(y, p, multi_class="ovr"), abs=1e-12)


def test_two_classes_give_the_binary_number() -> None:
    p = np.stack([1 - PROBABILITY, PROBABILITY], axis=1)
    p[0] = [0.9, 0.5]  # not even a distribution: only column 1 counts
    assert roc_auc_ovr(p, Y_TRUE) == roc_auc(p[:, 1], Y_TRUE) == oracle.roc_auc_score(Y_TRUE, p[:, 1])


def test_the_trapezoid_is_not_average_precision() -> None:
    scores, positive = _tied(400, 2, 0)
    precision, recall, _ = oracle.precision_recall_curve(positive, scores)
    assert abs(average_precision(scores, positive) - oracle.auc(recall, precision)) > 1e-3


def test_average_precision_shows_what_roc_auc_hides_when_positives_are_rare() -> None:
    rng = np.random.default_rng(0)
    y = np.arange(20_000) % 100 == 0
    scores = rng.normal(size=y.size) + 2.0 * y
    assert roc_auc(scores, y) > 0.9
    assert average_precision(scores, y) < 0.4


def test_where_not_defined() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        one_class = np.ones(3, dtype=int)
        assert np.isnan(roc_auc(np.arange(3.0), one_class))
        assert np.isnan(roc_auc(np.empty(0), np.empty(0)))
        assert np.isnan(roc_auc(np.array([np.nan, 1.0]), np.array([0, 1])))
        assert np.isnan(roc_auc_ovr(np.full((3, 4), 0.25), one_class))
        assert np.isnan(roc_auc_ovr(np.empty((0, 4)), np.empty(0, dtype=int)))
        assert np.isnan(roc_auc_influence(np.full((3, 4), 0.25), one_class)).all()
        assert average_precision(np.arange(3.0), np.zeros(3)) == 0.0
        assert average_precision(np.empty(0), np.empty(0)) == 0.0
        assert average_precision(np.arange(3.0), one_class) == 1.0
        assert np.isnan(average_precision(np.array([np.nan, 1.0]), np.array([0, 1])))


def test_shapes_must_fit() -> None:
    with pytest.raises(DataError, match="do not fit"):
        roc_auc(np.zeros(3), np.zeros(2))


@pytest.mark.parametrize("k", [2, 4])
def test_influence_is_the_derivative_of_the_auc_with_respect_to_a_rows_weight(k: int) -> None:
    rng = np.random.default_rng(k)
    y = np.arange(60) % k
    p = np.round(rng.dirichlet(np.ones(k), size=60), 1)
    influence = roc_auc_influence(p, y)
    assert influence.mean() == pytest.approx(0, abs=1e-12)
    classes = [1] if k == 2 else range(k)
    step = 1e-6
    for row in (0, 7, 31):
        weight = np.ones(60)
        weight[row] += step
        moved = np.mean([oracle.roc_auc_score(y == c, p[:, c], sample_weight=weight) for c in classes])
        assert (moved - roc_auc_ovr(p, y)) / step == pytest.approx(influence[row] / 60, abs=1e-6)


def _classes(n: int, k: int, seed: int, decimals: int) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities that sum to exactly 1 for scikit-learn, and tie when ``decimals`` is small."""
    rng = np.random.default_rng([n, k, seed])
    y = np.append(np.arange(k), rng.choice(k, size=n - k, p=rng.dirichlet(np.ones(k))))
    parts = np.round(10**decimals * rng.dirichlet(np.ones(k), size=n)) + 1
    parts[np.arange(n), y] += 10**decimals * rng.random(n) // 4
    return parts / parts.sum(axis=1, keepdims=True), y


@pytest.mark.parametrize(("n", "k"), [(12, 3), (600, 7)])
@pytest.mark.parametrize("decimals", [1, 6])
@pytest.mark.parametrize("seed", range(3))
def test_averages_over_classes_equal_scikit_learn(n: int, k: int, decimals: int, seed: int) -> None:
    p, y = _classes(n, k, seed, decimals)
    weight = np.random.default_rng(seed).random(n)
    for average in ("macro", "weighted", "micro"):
        for rows in (None, weight):
            theirs = oracle.roc_auc_score(y, p, multi_class="ovr", average=average, sample_weight=rows)
            assert roc_auc_ovr(p, y, average, rows) == pytest.approx(theirs, abs=1e-12), average
            theirs = oracle.average_precision_score(y, p, average=average, sample_weight=rows)
            assert average_precision_ovr(p, y, average, rows) == pytest.approx(theirs, abs=1e-12), average
    for average in ("macro", "weighted"):
        theirs = oracle.roc_auc_score(y, p, multi_class="ovo", average=average)
        assert roc_auc_ovo(p, y, average) == pytest.approx(theirs, abs=1e-12), average


@pytest.mark.parametrize("levels", [1, 3, 10**6])
@pytest.mark.parametrize("seed", range(4))
def test_weighted_rows_equal_scikit_learn(levels: int, seed: int) -> None:
    scores, positive = _tied(300, levels, seed)
    weight = np.random.default_rng(seed).random(300) * (np.arange(300) % 7 > 0)
    theirs = oracle.roc_auc_score(positive, scores, sample_weight=weight)
    assert roc_auc(scores, positive, weight) == pytest.approx(theirs, abs=1e-12)
    theirs = oracle.average_precision_score(positive, scores, sample_weight=weight)
    assert average_precision(scores, positive, weight) == pytest.approx(theirs, abs=1e-12)


def test_a_class_without_rows_is_left_out_of_the_averages() -> None:
    p, y = _classes(200, 4, 0, 6)
    wider = np.column_stack([p[:, :2], np.full(200, 0.1), p[:, 2:]])
    moved = np.where(y >= 2, y + 1, y)
    for average in ("macro", "weighted"):
        assert roc_auc_ovr(wider, moved, average) == roc_auc_ovr(p, y, average)
        assert roc_auc_ovo(wider, moved, average) == roc_auc_ovo(p, y, average)
        assert average_precision_ovr(wider, moved, average) == average_precision_ovr(p, y, average)


def test_averages_where_not_defined() -> None:
    p, one_class, nothing = np.full((3, 4), 0.25), np.ones(3, dtype=int), np.empty(0, dtype=int)
    for average in ("macro", "weighted"):
        assert np.isnan(roc_auc_ovo(p, one_class, average))
        assert np.isnan(roc_auc_ovo(p[:0], nothing, average))
    for each in ("macro", "weighted", "micro"):
        assert np.isnan(roc_auc_ovr(p, one_class, each))
        assert np.isnan(average_precision_ovr(p[:0], nothing, each))
        assert np.isfinite(average_precision_ovr(p, one_class, each))
    assert average_precision_ovr(p[:, :2], np.zeros(3, dtype=int)) == 0.0
    assert np.isnan(roc_auc(np.arange(4.0), np.array([0, 1, 0, 1]), np.zeros(4)))
    assert np.isnan(average_precision_ovr(p, np.array([0, 1, 2]), "weighted", np.zeros(3)))
    assert average_precision(np.arange(4.0), np.array([0, 1, 0, 1]), np.zeros(4)) == 0.0


@pytest.mark.parametrize("levels", [2, 10**6])
def test_ap_influence_is_the_derivative_with_respect_to_a_rows_weight(levels: int) -> None:
    scores, positive = _tied(60, levels, 1)
    influence = average_precision_influence(scores, positive)
    assert influence.mean() == pytest.approx(0, abs=1e-12)
    step = 1e-6
    for row in (*np.flatnonzero(positive)[:4], *np.flatnonzero(~positive)[:4]):
        weight = np.ones(60)
        weight[row] += step
        moved = oracle.average_precision_score(positive, scores, sample_weight=weight)
        weight[row] -= 2 * step
        back = oracle.average_precision_score(positive, scores, sample_weight=weight)
        assert (moved - back) / (2 * step) == pytest.approx(influence[row] / 60, abs=1e-7)
    assert np.isnan(average_precision_influence(scores, np.zeros(60))).all()
