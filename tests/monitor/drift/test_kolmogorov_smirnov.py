"""The vectorised Kolmogorov-Smirnov test against scipy, column by column."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from lamplighter.monitor.drift import kolmogorov_smirnov as ks


def _mixed(rng: np.random.Generator, rows: int) -> np.ndarray:
    columns = [
        rng.normal(size=rows),
        rng.normal(size=rows) * 1e300,
        rng.normal(size=rows) * 1e-300,
        rng.integers(-5, 30, size=rows).astype(float),
        np.round(4 * rng.normal(size=rows)) / 4,
        np.where(rng.random(rows) < 0.1, np.inf, rng.normal(size=rows)),
        np.where(rng.random(rows) < 0.1, -np.inf, rng.normal(size=rows)),
        np.where(rng.random(rows) < 0.5, 0.0, -0.0),
        np.full(rows, 3.0),
        rng.exponential(size=rows).astype(np.float32).astype(float),
    ]
    return np.stack(columns, axis=1)


@pytest.mark.parametrize(("n", "m"), [(100, 100), (200, 37), (21, 500), (1, 30)])
def test_equals_scipy(n: int, m: int) -> None:
    rng = np.random.default_rng(n * m)
    before = np.concatenate([_mixed(rng, n) for _ in range(3)], axis=1)  # 30 columns: two blocks
    now = np.concatenate([_mixed(rng, m) + shift for shift in (0, 0.25, 1)], axis=1)
    found = ks.compare(before, now)
    p_values = ks.p_values(found, before, now)
    for j in range(before.shape[1]):
        expected = stats.ks_2samp(before[:, j], now[:, j])
        assert found.statistic[j] == pytest.approx(expected.statistic, abs=1e-12)
        assert p_values[j] == pytest.approx(expected.pvalue, abs=1e-12)
        assert found.distinct[j] == len(np.unique(np.concatenate([before[:, j], now[:, j]])))


def test_equal_samples_have_p_value_one() -> None:
    values = np.random.default_rng(3).normal(size=(300, 1))
    found = ks.compare(values, np.nextafter(values[::-1], -1) - 1e-9)
    assert found.statistic[0] == pytest.approx(1 / 300)
    assert ks.p_values(found, values, values - 1e-9)[0] == pytest.approx(1, abs=1e-12)


def test_beyond_ten_thousand_rows_is_asymptotic_like_scipy() -> None:
    rng = np.random.default_rng(0)
    before, now = rng.normal(size=(10_500, 1)), rng.normal(size=(400, 1)) + 0.05
    found = ks.compare(before, now)
    expected = stats.ks_2samp(before[:, 0], now[:, 0], method="asymp")
    assert ks.p_values(found, before, now)[0] == pytest.approx(expected.pvalue, abs=1e-12)


def test_missing_values_are_left_out() -> None:
    rng = np.random.default_rng(1)
    before, now = rng.normal(size=(300, 3)), rng.normal(size=(200, 3))
    before[rng.random(before.shape) < 0.3] = np.nan
    now[rng.random(now.shape) < 0.1] = np.nan
    now[:, 2] = np.nan
    found = ks.compare(before, now)
    p_values = ks.p_values(found, before, now)
    for j in range(2):
        a, b = before[:, j], now[:, j]
        expected = stats.ks_2samp(a[~np.isnan(a)], b[~np.isnan(b)])
        assert found.statistic[j] == pytest.approx(expected.statistic, abs=1e-12)
        assert p_values[j] == pytest.approx(expected.pvalue, abs=1e-12)
    assert found.m[2] == 0 and p_values[2] == 1.0 and found.wasserstein[2] == 0.0


def test_wasserstein_equals_scipy() -> None:
    rng = np.random.default_rng(2)
    before = np.stack([rng.normal(size=200), rng.integers(0, 5, 200), rng.exponential(size=200) * 1e9], axis=1)
    now = np.stack([rng.normal(size=90) + 1, rng.integers(0, 6, 90), rng.exponential(size=90) * 2e9], axis=1)
    found = ks.compare(before, now)
    for j in range(3):
        expected = stats.wasserstein_distance(before[:, j], now[:, j]) / before[:, j].std()
        assert found.wasserstein[j] == pytest.approx(expected, rel=1e-10)


def test_wasserstein_stays_finite() -> None:
    constant = np.full((50, 3), 2.0)
    now = np.stack([np.full(50, 3.0), np.full(50, np.inf), np.where(np.arange(50) < 25, -np.inf, 1e308)], axis=1)
    with np.errstate(all="raise", under="ignore"):
        found = ks.compare(constant, now)
    assert np.isfinite(found.wasserstein).all()
    assert (found.wasserstein[:2] > 0).all() or found.statistic[1] == 1.0
    assert found.statistic.tolist()[:2] == [1.0, 1.0]


def test_inputs_are_not_changed() -> None:
    before, now = np.array([[1.0], [np.nan], [-0.0]]), np.array([[np.inf], [2.0]])
    copies = before.copy(), now.copy()
    ks.compare(before, now)
    np.testing.assert_array_equal(before, copies[0])
    np.testing.assert_array_equal(now, copies[1])
