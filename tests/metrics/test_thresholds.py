"""Threshold tuning against trying every threshold with scikit-learn's metrics."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from sklearn import metrics as oracle
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression

from lamplighter.core.errors import DataError
from lamplighter.metrics.thresholds import (
    DEFAULT,
    NEVER,
    Criterion,
    Fixed,
    MaxFBeta,
    MinCost,
    PrecisionAtRecall,
    RecallAtPrecision,
    Youden,
    decide,
)


def _rows(n: int, levels: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng([n, levels, seed])
    positive = rng.random(n) < 0.3
    positive[:2] = [True, False]
    p = 1 / (1 + np.exp(-(1.5 * rng.normal(size=n) + 2 * positive - 1)))
    return np.round(p * levels) / levels, positive


def _answers(p: np.ndarray) -> list[np.ndarray]:
    """Every way to divide the rows by a threshold."""
    return [p >= t for t in [*np.unique(p), 2.0]]


ROWS = [(n, levels, seed) for n in (2, 40, 400) for levels in (1, 10, 10**6) for seed in range(3)]


@pytest.mark.parametrize(("n", "levels", "seed"), ROWS)
@pytest.mark.parametrize("beta", [0.5, 1.0, 2.0])
def test_no_threshold_has_a_larger_f_beta(n: int, levels: int, seed: int, beta: float) -> None:
    p, y = _rows(n, levels, seed)
    best = max(oracle.fbeta_score(y, answer, beta=beta, zero_division=0.0) for answer in _answers(p))
    found = oracle.fbeta_score(y, decide(p, MaxFBeta(beta)(p, y)), beta=beta, zero_division=0.0)
    assert found == pytest.approx(best, abs=1e-12)


@pytest.mark.parametrize(("n", "levels", "seed"), ROWS)
def test_no_threshold_has_a_larger_j_or_a_smaller_cost(n: int, levels: int, seed: int) -> None:
    p, y = _rows(n, levels, seed)
    fpr, tpr, _ = oracle.roc_curve(y, p, drop_intermediate=False)
    answer = decide(p, Youden()(p, y))
    assert answer[y].mean() - answer[~y].mean() == pytest.approx((tpr - fpr).max(), abs=1e-12)
    for alarm, miss in ((1.0, 1.0), (1.0, 7.0), (9.0, 2.0), (0.0, 1.0), (1.0, 0.0)):

        def cost(answer: np.ndarray, alarm: float = alarm, miss: float = miss) -> float:
            return float(alarm * (answer & ~y).sum() + miss * (~answer & y).sum())

        found = decide(p, MinCost(alarm, miss)(p, y))
        assert cost(found) == min(cost(each) for each in _answers(p))


@pytest.mark.parametrize(("n", "levels", "seed"), ROWS)
@pytest.mark.parametrize("least", [0.3, 0.7, 0.95, 1.0])
def test_one_side_is_held_and_the_other_as_large_as_it_gets(n: int, levels: int, seed: int, least: float) -> None:
    p, y = _rows(n, levels, seed)
    precision, recall, _ = oracle.precision_recall_curve(y, p)
    precision, recall = precision[:-1], recall[:-1]
    answer = decide(p, RecallAtPrecision(least)(p, y))
    if (precision >= least).any():
        assert oracle.precision_score(y, answer) >= least
        assert oracle.recall_score(y, answer) == recall[precision >= least].max()
    else:
        assert oracle.precision_score(y, answer) == pytest.approx(precision.max(), abs=1e-12)
    answer = decide(p, PrecisionAtRecall(least)(p, y))
    assert oracle.recall_score(y, answer) >= least
    assert oracle.precision_score(y, answer) == pytest.approx(precision[recall >= least].max(), abs=1e-12)


def test_of_equal_recall_the_more_precise_threshold_is_taken() -> None:
    p, y = np.array([0.9, 0.8, 0.3, 0.2]), np.array([1, 1, 0, 0])
    assert 0.3 < RecallAtPrecision(0.5)(p, y) <= 0.8


CRITERIA: list[Criterion] = [MaxFBeta(), Youden(), MinCost(), RecallAtPrecision(), PrecisionAtRecall()]


@pytest.mark.parametrize("criterion", CRITERIA, ids=lambda criterion: type(criterion).__name__)
def test_a_threshold_lies_between_two_probabilities_and_far_from_both(criterion: Criterion) -> None:
    p, y = np.array([0.9, 0.7, 0.3, 0.1]), np.array([1, 1, 0, 0])
    assert criterion(p, y) == pytest.approx(0.5, abs=1e-6)
    half = np.float32(0.5)
    for close in ([half, np.nextafter(half, half - 1)], [np.nextafter(half, half + 1), half]):  # nothing lies between
        assert decide(np.array(close), criterion(np.array(close), np.array([1, 0]))).tolist() == [True, False]
        assert len(set(decide(np.array(close), criterion(np.array(close), np.array([0, 1]))).tolist())) == 1


@pytest.mark.parametrize("criterion", CRITERIA, ids=lambda criterion: type(criterion).__name__)
@pytest.mark.parametrize("wide", [np.float64, np.float32])
def test_thresholds_at_the_ends_divide_as_they_should(criterion: Criterion, wide: type) -> None:
    p = np.array([1.0, 1.0, 0.0, 0.0], dtype=wide)
    assert decide(p, criterion(p, np.array([1, 1, 0, 0]))).tolist() == [True, True, False, False]
    assert criterion(np.ones(4, dtype=wide), np.array([1, 0, 1, 0])) <= NEVER
    assert not decide(np.ones(3), NEVER).any() and decide(np.zeros(3), 0.0).all()


def test_where_the_rows_give_no_reason() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for criterion in CRITERIA:
            assert criterion(np.empty(0), np.empty(0)) == DEFAULT
            assert criterion(np.array([0.2, 0.9]), np.array([1, 1])) == DEFAULT
            assert criterion(np.array([0.2, 0.9]), np.array([0, 0])) == DEFAULT
            assert criterion(np.array([0.2, np.nan]), np.array([1, 0])) == DEFAULT
    with pytest.raises(DataError, match="do not fit"):
        MaxFBeta()(np.zeros(3), np.zeros(2))


def test_a_fixed_threshold_is_what_it_is() -> None:
    assert Fixed(0.2)(np.array([0.9, 0.1]), np.array([0, 1])) == 0.2


def test_decisions_are_the_same_in_float64_and_float32() -> None:
    p = np.random.default_rng(0).random(100_000)
    threshold = float(np.sort(p)[50_000]) + 1e-9
    assert np.array_equal(decide(p, threshold), decide(p.astype(np.float32), threshold))


def test_fitted_on_one_half_it_raises_the_f2_of_the_other_on_real_data() -> None:
    """Missing a malignant tumour weighs twice as much: mean gain over 10 splits, on rows the threshold never saw."""
    x, benign = load_breast_cancer(return_X_y=True)
    y = 1 - benign
    gains = []
    for seed in range(10):
        order = np.random.default_rng(seed).permutation(len(y))
        train, val, test = np.split(order, [150, 360])
        scaled = (x - x[train].mean(axis=0)) / x[train].std(axis=0)
        model = LogisticRegression(C=0.01).fit(scaled[train], y[train])
        p = model.predict_proba(scaled)[:, 1]
        threshold = MaxFBeta(2.0)(p[val], y[val])
        tuned, usual = (oracle.fbeta_score(y[test], decide(p[test], t), beta=2.0) for t in (threshold, 0.5))
        gains.append(tuned - usual)
    assert np.mean(gains) > 0.02 and sum(gain > 0 for gain in gains) >= 8
