"""Registered metrics of predicted numbers. Blank targets are NaN; the columns that have targets are averaged."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import inf, nan, sqrt
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from lamplighter.metrics import deviations, regression
from lamplighter.metrics.base import Metric, SumMetric
from lamplighter.metrics.streaming import Total
from lamplighter.metrics.sums import exact_squares


class _MeanOfColumns(SumMetric):
    """Mean over target columns of a mean over rows; `losses` says of what."""

    bounds = (0.0, inf)
    takes = "values"
    mode = "min"

    def losses(self, value: np.ndarray, y: np.ndarray) -> np.ndarray:
        """(N, T) of targets without blanks."""
        raise NotImplementedError

    def column(self, mean: float) -> float:
        """From the mean of one column to its metric."""
        return mean

    def terms(self, predicted: Any, y: Any) -> np.ndarray:
        value, y = regression.checked(predicted, y)
        given = ~np.isnan(y)
        with np.errstate(over="ignore", invalid="ignore"):
            losses = np.where(given, self.losses(value, np.where(given, y, 0.0)), 0.0)
        return np.concatenate([given, losses], axis=1)

    def of(self, sums: Sequence[Total]) -> float:
        half = len(sums) // 2
        means = [self.column(float(total / n)) for n, total in zip(sums[:half], sums[half:]) if n]
        return float(np.mean(means)) if means else nan

    def compute(self, predicted: Any, y: Any) -> float:
        count, total = np.split(self.terms(predicted, y).sum(axis=0), 2)
        means = [self.column(float(mean)) for mean in total[count > 0] / count[count > 0]]
        return float(np.mean(means)) if means else nan

    def rows(self, predicted: Any, y: Any) -> np.ndarray | None:
        """Of a single column without blanks."""
        value, y = regression.checked(predicted, y)
        if value.shape[1] != 1 or np.isnan(y).any() or type(self).column is not _MeanOfColumns.column:
            return None
        return self.losses(value, y)[:, 0]


class MSE(_MeanOfColumns):
    """Mean squared error, see `lamplighter.metrics.regression.mse`."""

    key = "mse"

    def losses(self, value: np.ndarray, y: np.ndarray) -> np.ndarray:
        return (value - y) ** 2


class RMSE(MSE):
    """Root of the mean squared error of each column, see `lamplighter.metrics.regression.rmse`."""

    key = "rmse"

    def column(self, mean: float) -> float:
        return sqrt(mean)


class MAE(_MeanOfColumns):
    """Mean absolute error, see `lamplighter.metrics.regression.mae`."""

    key = "mae"

    def losses(self, value: np.ndarray, y: np.ndarray) -> np.ndarray:
        return np.abs(value - y)


class MAPE(_MeanOfColumns):
    """Mean absolute percentage error as a fraction, see `lamplighter.metrics.regression.mape`."""

    key = "mape"

    def losses(self, value: np.ndarray, y: np.ndarray) -> np.ndarray:
        return np.abs(value - y) / np.maximum(np.abs(y), np.finfo(np.float64).eps)


class Pinball(_MeanOfColumns):
    """Quantile loss, see `lamplighter.metrics.deviations.pinball`.

    Args:
        quantile: that the predictions are of.
    """

    def __init__(self, quantile: Annotated[float, Field(gt=0, lt=1)] = 0.5) -> None:
        self.quantile = quantile
        self.key = f"pinball_{quantile:g}"

    def losses(self, value: np.ndarray, y: np.ndarray) -> np.ndarray:
        return deviations.pinball_losses(value, y, self.quantile)[0]


class R2(SumMetric):
    """Share of the targets' variance that is explained, see `lamplighter.metrics.regression.r2`."""

    bounds = (-inf, 1.0)
    takes = "values"
    key = "r2"
    _offset_forgiven = False

    def terms(self, predicted: Any, y: Any) -> np.ndarray:
        """Count, target, its square in two parts, error, and its square in two parts, column by column."""
        value, y = regression.checked(predicted, y)
        given = ~np.isnan(y)
        known = np.where(given, y, 0.0)
        with np.errstate(over="ignore", invalid="ignore"):
            error = np.where(given, value - known, 0.0)
        return np.concatenate([given, known, *exact_squares(known), error, *exact_squares(error)], axis=1)

    def of(self, sums: Sequence[Total]) -> float:
        width = len(sums) // 7
        columns = [sums[column::width] for column in range(width)] if width else []
        found = [self._column(*parts) for parts in columns if parts[0] >= 2]
        return float(np.mean(found)) if found else nan

    def compute(self, predicted: Any, y: Any) -> float:
        return regression.r2(predicted, y)

    def _column(
        self, n: Total, total: Total, high: Total, low: Total, error: Total, error_high: Total, error_low: Total
    ) -> float:
        squared_error = error_high + error_low
        unexplained = squared_error - error * error / n if self._offset_forgiven else squared_error
        spread = high + low - total * total / n
        if not all(isinstance(part, Fraction) for part in (unexplained, spread)):
            return nan
        if spread == 0:
            return 1.0 if unexplained == 0 else 0.0
        return float(1 - unexplained / spread)


class ExplainedVariance(R2):
    """`r2` with the mean error taken off, see `lamplighter.metrics.regression.explained_variance`."""

    key = "explained_variance"
    _offset_forgiven = True

    def compute(self, predicted: Any, y: Any) -> float:
        return regression.explained_variance(predicted, y)


class MedianAbsoluteError(Metric):
    """Median of the absolute errors, see `lamplighter.metrics.deviations.median_absolute_error`. Keeps every row."""

    bounds = (0.0, inf)
    takes = "values"
    mode = "min"
    key = "median_absolute_error"

    def compute(self, predicted: Any, y: Any) -> float:
        return deviations.median_absolute_error(predicted, y)


class MaxError(Metric):
    """Largest absolute error, see `lamplighter.metrics.deviations.max_error`. Keeps every row."""

    bounds = (0.0, inf)
    takes = "values"
    mode = "min"
    key = "max_error"

    def compute(self, predicted: Any, y: Any) -> float:
        return deviations.max_error(predicted, y)
