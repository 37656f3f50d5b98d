"""Intervals for any metric, and the difference of two models on the same rows, by the seeded bootstrap.

A metric that knows what each row contributes to it is resampled as a mean; a metric of the confusion matrix by
drawing matrices; any other is computed anew from each resample of the rows.

Legend: N rows, B resamples.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from lamplighter.core import seeding
from lamplighter.core.errors import DataError
from lamplighter.metrics import intervals
from lamplighter.metrics.base import ConfusionMetric, Metric
from lamplighter.metrics.score import Score


@dataclass(frozen=True)
class Comparison:
    """A metric of two models on the same rows.

    Attributes:
        first: of the first model.
        second: of the second.
        difference: first less second.
        low: lower end of the interval of the difference.
        high: upper end.
        level: coverage of the interval.
        p_value: chance of a difference at least as far from 0 if the two were equally good.
        n: rows.
    """

    first: float
    second: float
    difference: float
    low: float
    high: float
    level: float
    p_value: float
    n: int


def score(
    metric: Metric, predicted: Any, y: Any, seed: int = 0, level: float = 0.95, resamples: int = intervals.RESAMPLES
) -> Score | None:
    """A metric with number of rows and interval; None where these rows do not define it.

    The interval of a share of rows is Wilson's, any other the percentile interval of the resamples.

    Args:
        metric: any.
        predicted: as the metric takes it.
        y: the truth, as many rows.
        seed: of the run; the same seed gives the same interval.
        level: coverage.
        resamples: B; fewer, but never below 200, when B N would pass twenty million.

    >>> from lamplighter.metrics.of_labels import FBeta
    >>> print(score(FBeta(), np.array([0, 1] * 40), np.array([0, 1, 1, 1] * 20)))
    0.7333 (95% interval 0.6321 to 0.8298, n = 80)
    """
    n = len(y)
    value = metric(predicted, y) if n else np.nan
    if not np.isfinite(value):
        return None
    rows = metric.rows(predicted, y)
    if rows is not None and np.isin(rows, (0, 1)).all():
        low, high = intervals.wilson(int(rows.sum()), n, level)
        return Score(value=value, n=n, low=low, high=high, level=level)
    low, high = intervals.percentile(np.clip(_drawn(metric, predicted, y, seed, resamples), *metric.bounds), level)
    return Score(value=value, n=n, low=low, high=high, level=level) if np.isfinite([low, high]).all() else None


def interval(
    metric: Callable[[Any, Any], float],
    predicted: Any,
    y: Any,
    seed: int = 0,
    level: float = 0.95,
    resamples: int = intervals.RESAMPLES,
) -> Score | None:
    """`score` for a plain function of predictions and truth, which is computed from every resample of the rows.

    >>> y = np.arange(200.0)
    >>> print(interval(lambda value, y: float(np.quantile(np.abs(value - y), 0.9)), y + np.tile([0.5, 1.0], 100), y))
    1.0000 (95% interval 1.0000 to 1.0000, n = 200)
    """
    value = metric(predicted, y) if len(y) else np.nan
    if not np.isfinite(value):
        return None
    drawn = np.array([metric(take(predicted, rows), take(y, rows)) for rows in resampled_rows(len(y), seed, resamples)])
    low, high = intervals.percentile(drawn, level)
    return Score(value=value, n=len(y), low=low, high=high, level=level)


def compare(
    metric: Metric,
    first: Any,
    second: Any,
    y: Any,
    seed: int = 0,
    level: float = 0.95,
    resamples: int = intervals.RESAMPLES,
) -> Comparison:
    """Paired bootstrap: both models are judged on the same resamples, so that what makes rows hard for both cancels.

    The interval is the percentile interval of the resampled differences d*. The p-value asks how often d* strays from
    d at least as far as d from 0: (1 + #{|d* - d| >= |d|}) / (1 + B) (Efron and Tibshirani 1993, chapter 16). NaN for
    what these rows do not define.

    Args:
        metric: any.
        first: predictions of the first model.
        second: predictions of the second for the same rows.
        y: the truth.
        seed: of the run.
        level: coverage.
        resamples: B.

    Raises:
        DataError: the models did not predict the same rows.

    >>> from lamplighter.metrics.of_labels import Accuracy
    >>> y = np.zeros(100, dtype=int)
    >>> found = compare(Accuracy(), np.repeat([0, 1], [90, 10]), np.repeat([0, 1], [70, 30]), y)
    >>> round(found.difference, 3), found.low > 0.1, found.p_value < 0.01
    (0.2, True, True)
    """
    n = len(y)
    if len(first) != n or len(second) != n:
        raise DataError(f"{len(first)} and {len(second)} predictions do not fit {n} targets: give one each")
    own, other = (metric(predicted, y) if n else np.nan for predicted in (first, second))
    difference = own - other
    if not np.isfinite(difference):
        return Comparison(own, other, difference, np.nan, np.nan, level, np.nan, n)
    parts = [metric.contributions(predicted, y) for predicted in (first, second)]
    if parts[0] is not None and parts[1] is not None:
        drawn = intervals.resampled_means((parts[0] - parts[1])[:, None], seed, resamples)[:, 0]
    else:
        pairs = (
            [metric.compute(take(predicted, rows), take(y, rows)) for predicted in (first, second)]
            for rows in resampled_rows(n, seed, resamples)
        )
        drawn = np.array([a - b for a, b in pairs])
    drawn = drawn[~np.isnan(drawn)]
    low, high = intervals.percentile(drawn, level)
    further = np.abs(drawn - difference) >= abs(difference) * (1 - 1e-12)
    p_value = float((1 + further.sum()) / (1 + len(drawn)))
    return Comparison(own, other, difference, low, high, level, p_value, n)


def resampled_rows(n: int, seed: int = 0, resamples: int = intervals.RESAMPLES) -> Iterator[np.ndarray]:
    """B times n row numbers drawn with replacement."""
    rng = seeding.generator(seed, "bootstrap rows")
    for _ in range(intervals.bounded(resamples, n)):
        yield rng.integers(n, size=n)


def take(rows: Any, chosen: np.ndarray) -> Any:
    """Some rows of an array or a list; a mask or row numbers."""
    if isinstance(rows, np.ndarray):
        return rows[chosen]
    numbers = np.flatnonzero(chosen) if chosen.dtype == bool else chosen
    return [rows[row] for row in numbers]


def _drawn(metric: Metric, predicted: Any, y: Any, seed: int, resamples: int) -> np.ndarray:
    """The metric of B resamples."""
    contributions = metric.contributions(predicted, y)
    if contributions is not None:
        return intervals.resampled_means(contributions[:, None], seed, resamples)[:, 0]
    if isinstance(metric, ConfusionMetric):
        return np.array([metric.of(matrix) for matrix in _matrices(metric, predicted, y, seed, resamples)])
    rows = resampled_rows(len(y), seed, resamples)
    return np.array([metric.compute(take(predicted, chosen), take(y, chosen)) for chosen in rows])


def _matrices(metric: ConfusionMetric, predicted: Any, y: Any, seed: int, resamples: int) -> Iterator[np.ndarray]:
    """Confusion matrices of B resamples. Of masks whole images are drawn: the pixels of one are no independent rows."""
    whole = metric.count(predicted, y)
    if metric.takes == "labels":
        yield from intervals.resampled_matrices(whole, seed, resamples)
        return
    each = np.zeros((len(y), *whole.shape))
    for row in range(len(y)):
        own = metric.count(predicted[row : row + 1], y[row : row + 1])
        each[row, : len(own), : len(own)] = own
    means = intervals.resampled_means(each.reshape(len(y), -1), seed, resamples)
    yield from np.rint(means * len(y)).reshape(-1, *whole.shape)
