"""Median, maximum and quantile loss against scikit-learn."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from sklearn import metrics as oracle

from lamplighter.core.errors import DataError
from lamplighter.metrics.deviations import max_error, median_absolute_error, pinball
from lamplighter.metrics.regression import mae


def _split(n: int, t: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng([n, t, seed])
    y = np.round(rng.normal(size=(n, t)) * np.logspace(0, 3, t), 1)
    return y + rng.normal(size=(n, t)), y


@pytest.mark.parametrize(("n", "t"), [(1, 1), (40, 1), (301, 3)])
@pytest.mark.parametrize("seed", range(3))
def test_equals_scikit_learn(n: int, t: int, seed: int) -> None:
    value, y = _split(n, t, seed)
    assert median_absolute_error(value, y) == pytest.approx(oracle.median_absolute_error(y, value), rel=1e-12)
    largest = np.mean([oracle.max_error(y[:, c], value[:, c]) for c in range(t)])
    assert max_error(value, y) == pytest.approx(largest, rel=1e-12)
    weight = np.random.default_rng(seed).random(n)
    for q in (0.0, 0.1, 0.5, 0.9, 1.0):
        assert pinball(value, y, q) == pytest.approx(oracle.mean_pinball_loss(y, value, alpha=q), rel=1e-12)
        theirs = oracle.mean_pinball_loss(y, value, alpha=q, sample_weight=weight)
        assert pinball(value, y, q, weight) == pytest.approx(theirs, rel=1e-12)
    assert 2 * pinball(value, y, 0.5) == pytest.approx(mae(value, y), rel=1e-12)


def test_pinball_is_smallest_at_the_quantile() -> None:
    y = np.random.default_rng(0).exponential(size=20_001)
    for q in (0.1, 0.5, 0.9):
        candidates = np.quantile(y, np.linspace(0.01, 0.99, 99))
        losses = [pinball(np.full_like(y, c), y, q) for c in candidates]
        assert candidates[int(np.argmin(losses))] == pytest.approx(np.quantile(y, q), rel=1e-9)


def test_blanks_are_left_out_column_by_column() -> None:
    value, y = _split(60, 3, 0)
    y[:20, 0] = np.nan
    y[:, 2] = np.nan
    for metric in (median_absolute_error, max_error, pinball):
        each = [metric(value[20:, 0], y[20:, 0]), metric(value[:, 1], y[:, 1])]
        assert metric(value, y) == pytest.approx(np.mean(each), rel=1e-12)


def test_where_not_defined() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for metric in (median_absolute_error, max_error, pinball):
            assert np.isnan(metric(np.empty(0), np.empty(0)))
            assert np.isnan(metric(np.ones((2, 2)), np.full((2, 2), np.nan)))
            assert np.isnan(metric(np.array([1.0, np.nan]), np.array([1.0, 2.0])))
            assert metric(np.array([np.inf, 1.0]), np.array([1.0, 2.0])) == np.inf or metric is median_absolute_error


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(DataError, match="do not fit"):
        max_error(np.zeros(3), np.zeros(2))
    with pytest.raises(DataError, match=r"quantile 1\.5 is outside"):
        pinball(np.zeros(2), np.zeros(2), 1.5)
