"""Metrics of predicted numbers. Blank targets are NaN and left out, column by column.

Each metric is computed for each target column and averaged over the columns that have targets at all.
Legend: N rows, T target columns, B resamples.
"""

from __future__ import annotations

import numpy as np

from lamplighter.core.errors import DataError
from lamplighter.metrics import intervals
from lamplighter.metrics.score import Score

_NAMES = ("loss", "mae", "rmse", "r2")


def mse(value: np.ndarray, y: np.ndarray) -> float:
    """Mean squared error: mean (value - y)^2. NaN without targets.

    Args:
        value: (N, T) or (N,) predictions, in the target's units.
        y: targets of the same shape; NaN for a blank.

    >>> mse(np.array([2.5, 0.0, 2.0]), np.array([3.0, -0.5, 2.0]))
    0.16666666666666666
    """
    return metrics(value, y)["loss"]


def mae(value: np.ndarray, y: np.ndarray) -> float:
    """Mean absolute error: mean |value - y|, in the target's units. NaN without targets.

    >>> mae(np.array([2.0, 5.0]), np.array([3.0, np.nan]))
    1.0
    """
    return metrics(value, y)["mae"]


def rmse(value: np.ndarray, y: np.ndarray) -> float:
    """Root of the `mse` of each column, in the target's units. NaN without targets.

    >>> rmse(np.array([[3.0, 1.0], [3.0, 1.0]]), np.array([[0.0, 0.0], [0.0, 0.0]]))
    2.0
    """
    return metrics(value, y)["rmse"]


def r2(value: np.ndarray, y: np.ndarray) -> float:
    """Share of the target's variance that is explained: 1 - sum (value - y)^2 / sum (y - mean y)^2.

    1 is perfect, 0 is as good as always answering the mean, below 0 is worse. A column whose targets are all equal
    counts 1 when every prediction is exact, else 0. NaN for fewer than two targets.

    >>> round(r2(np.array([2.5, 0.0, 2.0, 8.0]), np.array([3.0, -0.5, 2.0, 7.0])), 4)
    0.9486
    """
    return metrics(value, y)["r2"]


def metrics(value: np.ndarray, y: np.ndarray) -> dict[str, float]:
    """Every number of one split; cheap enough for each epoch.

    Returns:
        ``loss`` (`mse`), ``mae``, ``rmse``, ``r2``. A number that these rows do not define is NaN.

    Raises:
        DataError: shapes that do not fit.

    >>> values = metrics(np.array([[2.5], [0.0], [2.0], [8.0]]), np.array([[3.0], [-0.5], [2.0], [7.0]]))
    >>> {name: round(value, 4) for name, value in values.items()}
    {'loss': 0.375, 'mae': 0.5, 'rmse': 0.6124, 'r2': 0.9486}
    """
    value, y = _checked(value, y)
    columns = per_target(value, y)
    return {name: float(_mean_over_columns(columns[name], columns["n"], name)) for name in _NAMES}


def per_target(value: np.ndarray, y: np.ndarray) -> dict[str, np.ndarray]:
    """The same metrics for each target column, (T,) each, and ``n``, its targets that are not blank.

    >>> columns = per_target(np.array([[1.0, 5.0], [3.0, 5.0]]), np.array([[1.0, np.nan], [2.0, np.nan]]))
    >>> columns["n"], columns["mae"]
    (array([2., 0.]), array([0.5, nan]))
    """
    value, y = _checked(value, y)
    return _from_sums(_row_sums(value, y).sum(axis=0))


def scores(
    value: np.ndarray,
    y: np.ndarray,
    seed: int = 0,
    level: float = 0.95,
    resamples: int = intervals.RESAMPLES,
) -> dict[str, Score]:
    """`metrics` with percentile bootstrap intervals over resampled rows; undefined numbers are left out.

    Args:
        value: (N, T) or (N,).
        y: the same shape, NaN for a blank. ``n`` of a score counts the rows that have at least one target.
        seed: of the run; the same seed gives the same intervals.
        level: coverage.
        resamples: of the bootstrap.

    >>> y = np.arange(50.0)
    >>> score = scores(y + np.tile([1.0, -1.0], 25), y)["mae"]
    >>> score.value, score.low, score.high, score.n
    (1.0, 1.0, 1.0, 50)
    """
    value, y = _checked(value, y)
    used = ~np.isnan(y).all(axis=1)
    value, y = value[used], y[used]
    n = len(y)
    if not n:
        return {}
    values = metrics(value, y)
    sums = _row_sums(value, y)
    if not np.isfinite(sums).all():
        return {}
    drawn = intervals.resampled_means(sums.reshape(n, -1), seed, resamples) * n
    columns = _from_sums(drawn.reshape(-1, *sums.shape[1:]))
    result: dict[str, Score] = {}
    for name in _NAMES:
        low, high = intervals.percentile(_mean_over_columns(columns[name], columns["n"], name), level)
        if np.isfinite([values[name], low, high]).all():
            result[name] = Score(value=values[name], n=n, low=low, high=high, level=level)
    return result


def _row_sums(value: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(N, 5, T): what each row adds to the count, sum, sum of squares of the targets, and to both errors.

    Targets are centred first, so that the sum of squares keeps its digits when they are large.
    """
    given = ~np.isnan(y)
    count = given.sum(axis=0)
    with np.errstate(over="ignore", invalid="ignore"):  # a diverged model's answers: the metrics become inf or NaN
        centre = np.where(given, y, 0).sum(axis=0) / np.maximum(count, 1)
        centred = np.where(given, y - centre, 0.0)
        error = np.where(given, value - y, 0.0)
        return np.stack([given.astype(np.float64), centred, centred**2, error**2, np.abs(error)], axis=1)


def _from_sums(sums: np.ndarray) -> dict[str, np.ndarray]:
    """Metrics from (..., 5, T) sums: each (..., T), NaN where the count is 0."""
    count, total, squares, squared_error, absolute_error = np.moveaxis(sums, -2, 0)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        mean_squared = squared_error / count
        spread = squares - total**2 / count
        flat = spread <= 1e-14 * squares  # equal targets, but for rounding
        explained = np.where(flat, np.where(squared_error == 0, 1.0, 0.0), 1 - squared_error / spread)
        return {
            "n": count,
            "loss": mean_squared,
            "mae": absolute_error / count,
            "rmse": np.sqrt(mean_squared),
            "r2": np.where(count >= 2, explained, np.nan),
        }


def _mean_over_columns(values: np.ndarray, count: np.ndarray, name: str) -> np.ndarray:
    """Mean over the columns that have enough targets; NaN where none has, or where an answer was NaN."""
    given = count >= (2 if name == "r2" else 1)
    total = np.where(given, values, 0).sum(axis=-1)
    columns = given.sum(axis=-1)
    return np.divide(total, columns, out=np.full(np.shape(total), np.nan), where=columns > 0)


def _checked(value: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both as (N, T) float64, or a DataError."""
    value, y = np.asarray(value, dtype=np.float64), np.asarray(y, dtype=np.float64)
    value, y = (a[:, None] if a.ndim == 1 else a for a in (value, y))
    if value.shape != y.shape or value.ndim != 2:
        raise DataError(f"predictions of shape {value.shape} do not fit targets of shape {y.shape}: (N, T) both")
    return value, y
