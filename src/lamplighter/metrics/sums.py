"""Sums of floating-point numbers without any rounding, so that no order and no grouping changes them.

Ordinary sums depend on the order of their terms in the last digits: the same rows in other batches, or on another
number of processes, would give another metric.
"""

from __future__ import annotations

import math
from collections import Counter
from fractions import Fraction

import numpy as np

from lamplighter.core.errors import DataError

_HALF = 26  # bits of the lower half of a mantissa: sums of halves stay exact in float64 for 2^26 rows
_ROWS = 1 << _HALF


class ExactSums:
    """Column sums of (N, F) rows, exact: each number is kept as an integer times a power of two.

    ``add`` and ``merge`` commute and associate, so batches may come in any order and from any number of processes.

    Args:
        columns: F.

    >>> a, b = ExactSums(1), ExactSums(1)
    >>> a.add(np.array([[1e16], [1.0]]))
    >>> b.add(np.array([[-1e16], [1.0]]))
    >>> a.merge(b)
    >>> a.totals()
    [Fraction(2, 1)]
    """

    def __init__(self, columns: int) -> None:
        self._finite: list[Counter[int]] = [Counter() for _ in range(columns)]
        self._other = np.zeros((columns, 3), dtype=np.int64)  # how many NaN, inf, -inf

    @property
    def columns(self) -> int:
        """F."""
        return len(self._finite)

    def add(self, rows: np.ndarray) -> None:
        """Add (N, F) rows.

        Raises:
            DataError: another number of columns.
        """
        rows = np.asarray(rows, dtype=np.float64)
        if rows.ndim != 2 or rows.shape[1] != self.columns:
            raise DataError(f"rows of shape {rows.shape} do not fit sums of {self.columns} columns")
        for start in range(0, len(rows), _ROWS):
            for column, values in enumerate(rows[start : start + _ROWS].T):
                self._add(column, values)

    def merge(self, other: ExactSums) -> None:
        """Add what another one has seen.

        Raises:
            DataError: another number of columns.
        """
        if other.columns != self.columns:
            raise DataError(f"sums of {other.columns} and of {self.columns} columns cannot be added")
        for mine, theirs in zip(self._finite, other._finite):
            mine.update(theirs)
        self._other += other._other

    def totals(self) -> list[Fraction | float]:
        """The exact sum of each column; NaN or infinite where a term was."""
        return [self._special(column) or _total(powers) for column, powers in enumerate(self._finite)]

    def _add(self, column: int, values: np.ndarray) -> None:
        finite = np.isfinite(values)
        if not finite.all():
            self._other[column] += [np.isnan(values).sum(), np.isposinf(values).sum(), np.isneginf(values).sum()]
            values = values[finite]
        fraction, exponent = np.frexp(values)
        mantissa = np.ldexp(fraction, 53).astype(np.int64)
        present, place = np.unique(exponent, return_inverse=True)
        high = np.bincount(place, mantissa >> _HALF, len(present))
        low = np.bincount(place, mantissa & (_ROWS - 1), len(present))
        for power, upper, lower in zip(present.tolist(), high.tolist(), low.tolist()):
            self._finite[column][power - 53] += (int(upper) << _HALF) + int(lower)

    def _special(self, column: int) -> float | None:
        nan, up, down = self._other[column].tolist()
        if nan or (up and down):
            return math.nan
        return math.inf if up else -math.inf if down else None


def exact_squares(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Squares as two numbers each whose exact sum is the exact square (Veltkamp and Dekker 1971).

    Exact as long as neither the square nor its error, 2^-53 of it, leaves the range of normal float64 numbers.

    >>> high, low = exact_squares(np.array([1 + 2.0**-30]))
    >>> Fraction(float(high[0])) + Fraction(float(low[0])) == Fraction(1 + 2.0**-30) ** 2
    True
    """
    with np.errstate(over="ignore", invalid="ignore"):
        high = values * values
        split = values * 134217729.0  # 2^27 + 1
        upper = split - (split - values)
        lower = values - upper
        low = ((upper * upper - high) + 2 * upper * lower) + lower * lower
    return high, np.where(np.isfinite(low), low, 0.0)


def _total(powers: Counter[int]) -> Fraction:
    least = min(powers, default=0)
    whole = sum(units << (power - least) for power, units in powers.items())
    return Fraction(whole) * Fraction(2) ** least
