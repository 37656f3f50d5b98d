"""Chi-square with pooled rare cells."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from lamplighter.monitor.drift.chi_square import homogeneity, pool_rare


@pytest.mark.parametrize("cells", [2, 3, 8, 40])
def test_equals_scipy_when_no_cell_is_rare(cells: int) -> None:
    rng = np.random.default_rng(cells)
    before, now = rng.integers(50, 90, cells), rng.integers(30, 90, cells)
    name, statistic, p_value = homogeneity(before, now)
    expected = stats.chi2_contingency(np.array([before, now]), correction=False)
    assert name == "chi-square"
    assert statistic == pytest.approx(expected.statistic, rel=1e-12)
    assert p_value == pytest.approx(expected.pvalue, rel=1e-12)


def test_every_pooled_cell_is_expected_often_enough() -> None:
    rng = np.random.default_rng(0)
    checked = 0
    for _ in range(200):
        rates = rng.exponential(6, size=rng.integers(2, 30))
        table = np.stack([rng.poisson(rates * scale) for scale in (1, 0.4)])
        table = table[:, table.sum(axis=0) > 0]
        if table.shape[1] < 2 or (table.sum(axis=1) == 0).any():
            continue
        pooled = pool_rare(table)
        if pooled.shape[1] >= 2:
            assert stats.contingency.expected_freq(pooled).min() >= 5 - 1e-9
            np.testing.assert_array_equal(pooled.sum(axis=1), table.sum(axis=1))
            checked += 1
    assert checked > 50


def test_too_little_for_chi_square_is_tested_exactly() -> None:
    name, _, p_value = homogeneity(np.array([28, 2]), np.array([15, 6]))
    assert name == "fisher-exact"
    assert p_value == pytest.approx(stats.fisher_exact([[28, 2], [15, 6]]).pvalue, rel=1e-12)


@pytest.mark.parametrize(
    ("before", "now"), [([5, 0], [9, 0]), ([0, 0], [3, 4]), ([3, 4], [0, 0]), ([7], [7]), ([], [])]
)
def test_nothing_to_compare(before: list[int], now: list[int]) -> None:
    assert homogeneity(np.array(before, dtype=int), np.array(now, dtype=int)) == ("none", 0.0, 1.0)


def test_error_rate_with_many_rare_cells() -> None:
    shares = np.array([0.5, 0.3, 0.1] + [0.1 / 60] * 60)
    rng = np.random.default_rng(5)
    hits = [homogeneity(rng.multinomial(300, shares), rng.multinomial(100, shares))[2] <= 0.05 for _ in range(1500)]
    assert 0.03 < np.mean(hits) < 0.068  # without pooling: 0.10 and more
