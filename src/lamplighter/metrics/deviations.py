"""Metrics of predicted numbers that look at the order of the errors: median, maximum, and quantile loss.

Blank targets are NaN and left out, column by column; the columns that have targets are averaged.
Legend: N rows, T target columns.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from lamplighter.core.errors import DataError
from lamplighter.metrics.confusion import checked_weight
from lamplighter.metrics.regression import checked


def median_absolute_error(value: np.ndarray, y: np.ndarray) -> float:
    """Median of |value - y|: half of the answers are off by less. A few absurd rows do not move it.

    NaN without targets.

    Args:
        value: (N, T) or (N,) predictions, in the target's units.
        y: targets of the same shape; NaN for a blank.

    >>> median_absolute_error(np.array([1.0, 2.0, 3.0, 99.0]), np.array([1.5, 2.0, 2.0, 4.0]))
    0.75
    """
    return _over_columns(lambda error: float(np.median(np.abs(error))), value, y)


def max_error(value: np.ndarray, y: np.ndarray) -> float:
    """The largest |value - y|. Arguments as in `median_absolute_error`.

    >>> max_error(np.array([1.0, 5.0]), np.array([2.0, 5.5]))
    1.0
    """
    return _over_columns(lambda error: float(np.abs(error).max()), value, y)


def pinball(value: np.ndarray, y: np.ndarray, quantile: float = 0.5, weight: np.ndarray | None = None) -> float:
    """Mean quantile loss (Koenker and Bassett 1978): q (y - value) where too low, (1 - q) (value - y) where too high.

    Smallest when ``value`` is the q-quantile of what y may be; at 0.5 half the mean absolute error. NaN without any.

    Args:
        value: (N, T) or (N,) predicted quantiles.
        y: targets of the same shape; NaN for a blank.
        quantile: q, between 0 and 1.
        weight: (N,) how much each row counts; None for one each.

    Raises:
        DataError: shapes that do not fit, or a quantile outside 0..1.

    >>> round(pinball(np.array([10.0, 10.0]), np.array([12.0, 9.0]), quantile=0.9), 10)
    0.95
    """
    losses, given = pinball_losses(value, y, quantile)
    weight = checked_weight(weight, len(losses))
    own = given * 1.0 if weight is None else given * weight[:, None]
    count = own.sum(axis=0)
    with np.errstate(invalid="ignore"):
        total = (losses * own).sum(axis=0)
    columns = total[count > 0] / count[count > 0]
    return float(columns.mean()) if columns.size else float("nan")


def pinball_losses(value: np.ndarray, y: np.ndarray, quantile: float) -> tuple[np.ndarray, np.ndarray]:
    """(N, T) losses, 0 for a blank, and (N, T) whether there is a target."""
    if not 0 <= quantile <= 1:
        raise DataError(f"quantile {quantile} is outside 0..1")
    value, y = checked(value, y)
    given = ~np.isnan(y)
    error = np.where(given, y - value, 0.0)
    return np.where(error >= 0, quantile * error, (quantile - 1) * error), given


def _over_columns(metric: Callable[[np.ndarray], float], value: np.ndarray, y: np.ndarray) -> float:
    value, y = checked(value, y)
    errors = [value[given, t] - y[given, t] for t, given in enumerate(~np.isnan(y).T) if given.any()]
    return float(np.mean([metric(error) for error in errors])) if errors else float("nan")
