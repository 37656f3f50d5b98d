"""Exact sums against `math.fsum` and rational arithmetic, in any order and grouping."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest

from lamplighter.core.errors import DataError
from lamplighter.metrics.sums import ExactSums, exact_squares


def _rows(n: int, seed: int) -> np.ndarray:
    """Signs, zeros, subnormals and magnitudes from 1e-320 to 1e300 in one column; tame numbers in the other."""
    rng = np.random.default_rng([n, seed])
    wild = rng.normal(size=n) * 10.0 ** rng.uniform(-320, 300, size=n)
    wild[::17] = 0.0
    return np.column_stack([wild, rng.random(n)])


def _summed(*parts: np.ndarray) -> list[Fraction | float]:
    total = ExactSums(2)
    for part in parts:
        own = ExactSums(2)
        own.add(part)
        total.merge(own)
    return total.totals()


@pytest.mark.parametrize("n", [0, 1, 2, 1000, 50_000])
def test_equals_fsum_and_rational_arithmetic(n: int) -> None:
    rows = _rows(n, 0)
    totals = _summed(rows)
    for column, total in zip(rows.T, totals):
        assert float(total) == math.fsum(column)
        assert total == sum((Fraction(value) for value in column[:1000].tolist()), Fraction(0)) or n > 1000


def test_no_order_and_no_grouping_changes_the_sum() -> None:
    rows = _rows(999, 1)
    whole = _summed(rows)
    rng = np.random.default_rng(0)
    for _ in range(10):
        cuts = np.sort(rng.integers(0, 999, size=rng.integers(1, 40)))
        parts = np.split(rows[rng.permutation(999)], cuts)
        assert _summed(*parts) == whole
    assert any(np.cumsum(rows[rng.permutation(999), 1])[-1] != float(whole[1]) for _ in range(10))


def test_what_is_not_finite_is_kept() -> None:
    inf, nan = math.inf, math.nan
    assert _summed(np.array([[inf, 1.0], [1.0, -inf]])) == [inf, -inf]
    assert all(math.isnan(total) for total in _summed(np.array([[inf, nan], [-inf, 1.0]])))
    assert all(math.isnan(total) for total in _summed(np.array([[inf, nan]]), np.array([[-inf, 0.0]])))


def test_other_columns_are_refused() -> None:
    with pytest.raises(DataError, match="do not fit sums of 2"):
        _summed(np.zeros((3, 3)))
    with pytest.raises(DataError, match="cannot be added"):
        ExactSums(1).merge(ExactSums(2))


def test_squares_are_exact() -> None:
    values = np.random.default_rng(0).normal(size=2000) * 10.0 ** np.random.default_rng(1).uniform(-100, 100, size=2000)
    high, low = exact_squares(values)
    for value, upper, lower in zip(values.tolist(), high.tolist(), low.tolist()):
        assert Fraction(upper) + Fraction(lower) == Fraction(value) ** 2


def test_squares_of_what_is_not_finite_stay_that() -> None:
    high, low = exact_squares(np.array([math.inf, -math.inf, math.nan, 1e200]))
    assert np.isinf(high[[0, 1, 3]]).all() and np.isnan(high[2])
    assert (low == 0).all()
