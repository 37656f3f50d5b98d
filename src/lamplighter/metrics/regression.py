"""Metrics of predicted numbers. Blank targets are NaN and left out, column by column.

Each metric is computed for each target column and averaged over the columns that have targets at all.
Legend: N rows, T target columns, B resamples.
"""

from __future__ import annotations

import numpy as np

from lamplighter.core.errors import DataError
from lamplighter.metrics import intervals
from lamplighter.metrics.confusion import checked_weight
from lamplighter.metrics.score import Score

_NAMES = ("loss", "mae", "rmse", "r2", "mape")
_EPS = np.finfo(np.float64).eps


def mse(value: np.ndarray, y: np.ndarray, weight: np.ndarray | None = None) -> float:
    """Mean squared error: mean (value - y)^2. NaN without targets.

    Args:
        value: (N, T) or (N,) predictions, in the target's units.
        y: targets of the same shape; NaN for a blank.
        weight: (N,) how much each row counts; None for one each.

    >>> mse(np.array([2.5, 0.0, 2.0]), np.array([3.0, -0.5, 2.0]))
    0.16666666666666666
    """
    return _mean_of("loss", value, y, weight)


def mae(value: np.ndarray, y: np.ndarray, weight: np.ndarray | None = None) -> float:
    """Mean absolute error: mean |value - y|, in the target's units. NaN without targets.

    >>> mae(np.array([2.0, 5.0]), np.array([3.0, np.nan]))
    1.0
    """
    return _mean_of("mae", value, y, weight)


def rmse(value: np.ndarray, y: np.ndarray, weight: np.ndarray | None = None) -> float:
    """Root of the `mse` of each column, in the target's units. NaN without targets.

    >>> rmse(np.array([[3.0, 1.0], [3.0, 1.0]]), np.array([[0.0, 0.0], [0.0, 0.0]]))
    2.0
    """
    return _mean_of("rmse", value, y, weight)


def r2(value: np.ndarray, y: np.ndarray, weight: np.ndarray | None = None) -> float:
    """Share of the target's variance that is explained: 1 - sum (value - y)^2 / sum (y - mean y)^2.

    1 is perfect, 0 is as good as always answering the mean, below 0 is worse. A column whose targets are all equal
    counts 1 when every prediction is exact, else 0. NaN for fewer than two targets.

    >>> round(r2(np.array([2.5, 0.0, 2.0, 8.0]), np.array([3.0, -0.5, 2.0, 7.0])), 4)
    0.9486
    """
    return _mean_of("r2", value, y, weight)


def explained_variance(value: np.ndarray, y: np.ndarray, weight: np.ndarray | None = None) -> float:
    """1 - variance of the errors / variance of the targets: the `r2` of predictions whose mean error was taken off.

    Equal targets count 1 when all errors are equal, else 0. NaN for fewer than two targets.

    >>> round(explained_variance(np.array([2.5, 0.0, 2.0, 8.0]), np.array([3.0, -0.5, 2.0, 7.0])), 4)
    0.9572
    """
    return _mean_of("explained_variance", value, y, weight)


def mape(value: np.ndarray, y: np.ndarray, weight: np.ndarray | None = None) -> float:
    """Mean absolute percentage error as a fraction: mean |value - y| / |y|. NaN without targets.

    A target of 0 has no percentages: it is divided by 2.2e-16 instead, which makes the number useless, as it should.

    >>> mape(np.array([90.0, 220.0]), np.array([100.0, 200.0]))
    0.1
    """
    return _mean_of("mape", value, y, weight)


def metrics(value: np.ndarray, y: np.ndarray) -> dict[str, float]:
    """Every number of one split; cheap enough for each epoch.

    Returns:
        ``loss`` (`mse`), ``mae``, ``rmse``, ``r2``, ``mape``. A number that these rows do not define is NaN; so is
        ``mape`` where a target is 0.

    Raises:
        DataError: shapes that do not fit.

    >>> values = metrics(np.array([[2.5], [0.0], [2.0], [8.0]]), np.array([[3.0], [-0.5], [2.0], [7.0]]))
    >>> {name: round(value, 4) for name, value in values.items()}
    {'loss': 0.375, 'mae': 0.5, 'rmse': 0.6124, 'r2': 0.9486, 'mape': 0.3274}
    """
    columns = per_target(value, y)
    values = {name: float(_mean_over_columns(columns[name], columns["n"], name)) for name in _NAMES}
    return {**values, "mape": float("nan")} if (np.asarray(y) == 0).any() else values


def per_target(value: np.ndarray, y: np.ndarray, weight: np.ndarray | None = None) -> dict[str, np.ndarray]:
    """The same metrics for each target column, (T,) each, and ``n``, its targets that are not blank.

    >>> columns = per_target(np.array([[1.0, 5.0], [3.0, 5.0]]), np.array([[1.0, np.nan], [2.0, np.nan]]))
    >>> columns["n"], columns["mae"]
    (array([2., 0.]), array([0.5, nan]))
    """
    value, y = checked(value, y)
    return _from_sums(_row_sums(value, y, weight).sum(axis=0))


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
    value, y = checked(value, y)
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


def checked(value: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both as (N, T) float64.

    Raises:
        DataError: shapes that do not fit.
    """
    value, y = np.asarray(value, dtype=np.float64), np.asarray(y, dtype=np.float64)
    value, y = (a[:, None] if a.ndim == 1 else a for a in (value, y))
    if value.shape != y.shape or value.ndim != 2:
        raise DataError(f"predictions of shape {value.shape} do not fit targets of shape {y.shape}: (N, T) both")
    return value, y


def _mean_of(name: str, value: np.ndarray, y: np.ndarray, weight: np.ndarray | None) -> float:
    columns = per_target(value, y, weight)
    return float(_mean_over_columns(columns[name], columns["n"], name))


def _row_sums(value: np.ndarray, y: np.ndarray, weight: np.ndarray | None = None) -> np.ndarray:
    """(N, 8, T): what each row adds to the sums that `_from_sums` reads, each times the row's weight.

    Targets are centred first, so that the sum of squares keeps its digits when they are large.
    """
    given = ~np.isnan(y)
    weight = checked_weight(weight, len(y))
    own = given.astype(np.float64) if weight is None else given * weight[:, None]
    count = own.sum(axis=0)
    with np.errstate(over="ignore", invalid="ignore"):  # a diverged model's answers: the metrics become inf or NaN
        known = np.where(given, y, 0.0)
        centre = (known * own).sum(axis=0) / np.where(count > 0, count, 1)
        centred = np.where(given, known - centre, 0.0)
        error = np.where(given, value - known, 0.0)
        size = np.abs(error)
        terms = [np.ones_like(own), centred, centred**2, error, error**2, size, size / np.maximum(np.abs(known), _EPS)]
        return np.stack([given.astype(np.float64), *(term * own for term in terms)], axis=1)


def _from_sums(sums: np.ndarray) -> dict[str, np.ndarray]:
    """Metrics from (..., 8, T) sums: each (..., T), NaN where the count is 0."""
    rows, count, total, squares, error, squared_error, absolute, relative = np.moveaxis(sums, -2, 0)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        mean_squared = squared_error / count
        spread = squares - total**2 / count
        flat = spread <= 1e-14 * squares  # equal targets, but for rounding
        unexplained = squared_error - error**2 / count
        even = unexplained <= 1e-14 * squared_error  # equal errors
        explained = np.where(flat, np.where(squared_error == 0, 1.0, 0.0), 1 - squared_error / spread)
        varying = np.where(flat, np.where(even, 1.0, 0.0), 1 - np.where(even, 0.0, unexplained) / spread)
        return {
            "n": rows,
            "loss": mean_squared,
            "mae": absolute / count,
            "rmse": np.sqrt(mean_squared),
            "r2": np.where(rows >= 2, explained, np.nan),
            "explained_variance": np.where(rows >= 2, varying, np.nan),
            "mape": relative / count,
        }


def _mean_over_columns(values: np.ndarray, n: np.ndarray, name: str) -> np.ndarray:
    """Mean over the columns that have enough targets; NaN where none has, or where an answer was NaN."""
    given = n >= (2 if name in ("r2", "explained_variance") else 1)
    total = np.where(given, values, 0).sum(axis=-1)
    columns = given.sum(axis=-1)
    return np.divide(total, columns, out=np.full(np.shape(total), np.nan), where=columns > 0)
