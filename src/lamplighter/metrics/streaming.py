"""Metrics batch by batch: what is kept can be merged in any order, and gives exactly the number of all rows at once.

Three families. Metrics of a confusion matrix keep the matrix: whole numbers. Metrics that are a function of sums keep
the sums without rounding (`lamplighter.metrics.sums`). Metrics that need the order of all rows (ROC-AUC, average
precision, medians) keep every row: nothing is approximated, so their memory grows with the data.

Distributed evaluation gives each process a stream of its own part of the rows and merges them.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any, Self

import numpy as np

from lamplighter.core.errors import DataError
from lamplighter.metrics.sums import ExactSums

Total = Fraction | float
"""An exact sum; a float when a term was not finite."""


class Stream(ABC):
    """A metric in the making. `lamplighter.metrics.base.Metric.stream` makes one."""

    @abstractmethod
    def update(self, predicted: Any, y: Any) -> None:
        """Take in a batch.

        Args:
            predicted: as the metric takes it.
            y: the truth, as many rows.

        Raises:
            DataError: shapes or values that do not fit; nothing of the batch is kept then.
        """

    @abstractmethod
    def merge(self, other: Self) -> None:
        """Take in what another stream of the same metric has seen; the other stays as it is.

        Raises:
            DataError: its rows are of another shape.
        """

    @abstractmethod
    def compute(self) -> float:
        """The metric of all rows so far; NaN where they do not define it."""


class ConfusionStream(Stream):
    """Keeps a confusion matrix, as large as the largest class seen so far.

    Args:
        count: a batch -> its confusion matrix (k, k).
        metric: a confusion matrix -> the number.
    """

    def __init__(self, count: Callable[[Any, Any], np.ndarray], metric: Callable[[np.ndarray], float]) -> None:
        self._count = count
        self._metric = metric
        self.confusion = np.zeros((0, 0), dtype=np.int64)

    def update(self, predicted: Any, y: Any) -> None:
        self.confusion = _added(self.confusion, self._count(predicted, y))

    def merge(self, other: Self) -> None:
        self.confusion = _added(self.confusion, other.confusion)

    def compute(self) -> float:
        return self._metric(self.confusion)


class SumStream(Stream):
    """Keeps exact sums of numbers that each row contributes.

    Args:
        terms: a batch -> (N, F).
        metric: the F sums -> the number; of no rows F is 0.
    """

    def __init__(self, terms: Callable[[Any, Any], np.ndarray], metric: Callable[[Sequence[Total]], float]) -> None:
        self._terms = terms
        self._metric = metric
        self._sums: ExactSums | None = None

    def update(self, predicted: Any, y: Any) -> None:
        terms = self._terms(predicted, y)
        if self._sums is None:
            self._sums = ExactSums(terms.shape[1])
        self._sums.add(terms)

    def merge(self, other: Self) -> None:
        if self._sums is None:
            self._sums = copy.deepcopy(other._sums)
        elif other._sums is not None:
            self._sums.merge(other._sums)

    def compute(self) -> float:
        return self._metric(self._sums.totals() if self._sums is not None else [])


class RowStream(Stream):
    """Keeps every row.

    Args:
        metric: all predictions and the whole truth -> the number.
    """

    def __init__(self, metric: Callable[[Any, Any], float]) -> None:
        self._metric = metric
        self._batches: list[tuple[Any, Any]] = []

    def update(self, predicted: Any, y: Any) -> None:
        if len(predicted) != len(y):
            raise DataError(f"{len(predicted)} predictions do not fit {len(y)} targets: give one each")
        if self._batches and np.shape(predicted)[1:] != np.shape(self._batches[0][0])[1:]:
            shapes = np.shape(predicted), np.shape(self._batches[0][0])
            raise DataError(f"a batch of shape {shapes[0]} does not fit earlier ones of shape {shapes[1]}")
        self._batches.append((copy.copy(predicted), copy.copy(y)))

    def merge(self, other: Self) -> None:
        self._batches += other._batches

    def compute(self) -> float:
        if not self._batches:
            return float("nan")
        predicted, y = zip(*self._batches)
        return self._metric(_joined(predicted), _joined(y))


def _added(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The sum of two square matrices of different size."""
    if len(a) < len(b):
        a, b = b, a
    total = a.copy()
    total[: len(b), : len(b)] += b
    return total


def _joined(parts: Sequence[Any]) -> Any:
    """Arrays concatenated, lists one after the other."""
    if isinstance(parts[0], np.ndarray):
        return np.concatenate(parts)
    return [row for part in parts for row in part]
