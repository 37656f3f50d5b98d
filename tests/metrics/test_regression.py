"""Regression metrics against scikit-learn, blanks, and where they are not defined."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as oracle

from lamplighter.core.errors import DataError
from lamplighter.metrics.regression import (
    _from_sums,
    _row_sums,
    explained_variance,
    mae,
    mape,
    metrics,
    mse,
    per_target,
    r2,
    rmse,
    scores,
)

KEYS = ["loss", "mae", "rmse", "r2", "mape"]


def _split(n: int, t: int, seed: int, offset: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng([n, t, seed])
    y = offset + rng.normal(size=(n, t)) * np.logspace(0, 3, t)
    return y + 0.5 * rng.normal(size=(n, t)), y


@pytest.mark.parametrize(("n", "t"), [(2, 1), (40, 1), (1000, 1), (300, 5)])
@pytest.mark.parametrize("seed", range(4))
def test_equals_scikit_learn(n: int, t: int, seed: int) -> None:
    value, y = _split(n, t, seed)
    reference = {
        "loss": oracle.mean_squared_error(y, value),
        "mae": oracle.mean_absolute_error(y, value),
        "rmse": oracle.root_mean_squared_error(y, value),
        "r2": oracle.r2_score(y, value),
        "mape": oracle.mean_absolute_percentage_error(y, value),
    }
    values = metrics(value, y)
    assert list(values) == KEYS
    for name, expected in reference.items():
        assert values[name] == pytest.approx(expected, rel=1e-12, abs=1e-12), name
    assert [each(value, y) for each in (mse, mae, rmse, r2, mape)] == list(values.values())
    varying = oracle.explained_variance_score(y, value)
    assert explained_variance(value, y) == pytest.approx(varying, rel=1e-12, abs=1e-12)


@pytest.mark.parametrize(("n", "t"), [(40, 1), (300, 3)])
def test_row_weights_equal_scikit_learn(n: int, t: int) -> None:
    value, y = _split(n, t, 0, offset=3.0)
    weight = np.random.default_rng(n).random(n)
    for ours, theirs in (
        (mse, oracle.mean_squared_error),
        (mae, oracle.mean_absolute_error),
        (rmse, oracle.root_mean_squared_error),
        (r2, oracle.r2_score),
        (mape, oracle.mean_absolute_percentage_error),
        (explained_variance, oracle.explained_variance_score),
    ):
        expected = theirs(y, value, sample_weight=weight)
        assert ours(value, y, weight) == pytest.approx(expected, rel=1e-12, abs=1e-12), theirs.__name__
    assert np.isnan(mse(value, y, np.zeros(n)))
    with pytest.raises(DataError, match="weights of shape"):
        mse(value, y, np.ones(n + 1))


def test_a_target_of_zero_has_no_percentages() -> None:
    value, y = np.array([1.0, 2.0]), np.array([0.0, 2.0])
    assert (
        mape(value, y) == pytest.approx(oracle.mean_absolute_percentage_error(y, value), rel=1e-12)
        and mape(value, y) > 1e14
    )
    assert np.isnan(metrics(value, y)["mape"]) and "mape" not in scores(value, y)


@pytest.mark.parametrize("constant", [0.0, 0.5, 1e9])
def test_explained_variance_of_equal_targets_or_errors_equals_scikit_learn(constant: float) -> None:
    y, varied = np.full(7, constant), np.array([0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    for value, truth in ((y, y), (y + 1, y), (y + varied, y), (varied + 2.5, varied), (varied, varied)):
        assert explained_variance(value, truth) == pytest.approx(
            oracle.explained_variance_score(truth, value), abs=1e-9
        )


def test_explained_variance_forgives_a_constant_offset_and_r2_does_not() -> None:
    value, y = _split(200, 1, 0)
    assert explained_variance(value + 9, y) == pytest.approx(explained_variance(value, y), abs=1e-10)
    assert r2(value + 9, y) < -10


def test_blanks_are_left_out_column_by_column() -> None:
    value, y = _split(200, 3, 0)
    blank = np.random.default_rng(1).random(y.shape) < [0.2, 0.0, 0.9]
    y[blank] = np.nan
    columns = per_target(value, y)
    for t in range(3):
        kept = ~blank[:, t]
        assert columns["n"][t] == kept.sum()
        assert columns["loss"][t] == pytest.approx(oracle.mean_squared_error(y[kept, t], value[kept, t]), rel=1e-12)
        assert columns["r2"][t] == pytest.approx(oracle.r2_score(y[kept, t], value[kept, t]), abs=1e-12)
    for name in KEYS:
        assert metrics(value, y)[name] == pytest.approx(columns[name].mean(), rel=1e-12)


def test_a_column_without_targets_does_not_count() -> None:
    value, y = _split(50, 2, 0)
    y[:, 1] = np.nan
    assert metrics(value, y) == metrics(value[:, :1], y[:, :1])


def test_a_column_with_a_single_target_has_no_r2_and_does_not_spoil_the_others() -> None:
    value, y = _split(50, 2, 0)
    y[1:, 1] = np.nan
    assert r2(value, y) == r2(value[:, 0], y[:, 0])
    assert mae(value, y) != mae(value[:, 0], y[:, 0])


def test_metrics_of_resampled_sums_are_those_of_the_resampled_rows() -> None:
    value, y = _split(9, 2, 0)
    rows = np.random.default_rng(0).integers(9, size=9)
    sums = (_row_sums(value, y) * np.bincount(rows, minlength=9)[:, None, None]).sum(axis=0)
    for name, column in _from_sums(sums).items():
        np.testing.assert_allclose(column, per_target(value[rows], y[rows])[name], rtol=1e-10)


def test_r2_keeps_its_digits_when_targets_are_large() -> None:
    value, y = _split(500, 1, 0, offset=1e7)
    assert r2(value, y) == pytest.approx(oracle.r2_score(y, value), abs=1e-9)
    assert scores(value, y)["r2"].low == pytest.approx(scores(value - 1e7, y - 1e7)["r2"].low, abs=1e-6)


@pytest.mark.parametrize("constant", [0.0, 0.1, 1e9 / 3])
def test_r2_of_equal_targets(constant: float) -> None:
    y = np.full((7, 1), constant)
    assert r2(y.copy(), y) == 1.0
    assert r2(y + 1, y) == 0.0
    assert scores(y + 1, y)["r2"].value == 0.0


def test_r2_of_the_mean_is_zero_and_worse_is_negative() -> None:
    y = np.array([1.0, 2.0, 3.0])
    assert r2(np.full(3, 2.0), y) == 0.0
    assert r2(np.array([3.0, 2.0, 1.0]), y) == -3.0


def test_where_not_defined() -> None:
    empty = np.empty((0, 2))
    assert np.isnan(list(metrics(empty, empty).values())).all()
    assert scores(empty, empty) == {}
    assert np.isnan(list(metrics(np.ones((3, 2)), np.full((3, 2), np.nan)).values())).all()
    assert scores(np.ones((3, 2)), np.full((3, 2), np.nan)) == {}
    one = metrics(np.array([[1.0]]), np.array([[3.0]]))
    assert (one["loss"], one["mae"], one["rmse"]) == (4.0, 2.0, 2.0) and np.isnan(one["r2"])
    assert list(scores(np.array([[1.0]]), np.array([[3.0]]))) == ["loss", "mae", "rmse", "mape"]
    assert np.isnan(explained_variance(np.array([1.0]), np.array([3.0])))


def test_a_diverged_models_nan_is_not_taken_for_a_blank() -> None:
    value, y = _split(20, 2, 0)
    value[3, 1] = np.nan
    assert np.isnan(list(metrics(value, y).values())).all()
    assert scores(value, y) == {}
    value[3, 1] = np.inf
    assert metrics(value, y)["loss"] == np.inf
    assert scores(value, y) == {}


def test_scores_count_rows_with_a_target_hold_their_value_and_repeat() -> None:
    value, y = _split(300, 2, 0)
    y[:30] = np.nan
    y[30:60, 0] = np.nan
    found = scores(value, y, seed=1)
    assert list(found) == KEYS
    for name, score in found.items():
        assert score.n == 270 and score.low < score.value < score.high
        assert score.value == pytest.approx(metrics(value, y)[name], rel=1e-12)
    assert found == scores(value, y, seed=1) != scores(value, y, seed=2)


def test_intervals_agree_with_a_bootstrap_that_recomputes_every_metric() -> None:
    value, y = _split(400, 2, 0)
    y[:50, 0] = np.nan
    rng = np.random.default_rng(0)
    drawn = [metrics(value[rows], y[rows]) for rows in rng.integers(400, size=(600, 400))]
    for name, score in scores(value, y).items():
        low, high = np.quantile([values[name] for values in drawn], [0.025, 0.975])
        assert abs(score.low - low) < 0.2 * (high - low), name
        assert abs(score.high - high) < 0.2 * (high - low), name


def test_vectors_are_one_column() -> None:
    value, y = _split(30, 1, 0)
    assert metrics(value[:, 0], y[:, 0]) == metrics(value, y)


def test_shapes_must_fit() -> None:
    with pytest.raises(DataError, match="do not fit"):
        metrics(np.zeros((3, 2)), np.zeros((3, 1)))
