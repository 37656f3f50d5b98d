"""Effect sizes against scipy and against their sampling distribution."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from scipy.spatial.distance import jensenshannon

from lamplighter.monitor.drift.effect import jensen_shannon, psi, psi_critical, separation


def test_jensen_shannon_equals_scipy() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        p, q = rng.integers(0, 50, 12), rng.integers(0, 50, 12)
        assert jensen_shannon(p, q) == pytest.approx(jensenshannon(p, q, base=2), abs=1e-10)
    assert jensen_shannon(np.zeros(3), np.ones(3)) == 0.0


def test_separation_is_twice_the_area_under_the_roc_curve_less_one() -> None:
    rng = np.random.default_rng(1)
    before, now = np.round(rng.normal(size=60), 1), np.round(rng.normal(size=40) - 0.5, 1)
    area = stats.mannwhitneyu(before, now).statistic / (60 * 40)
    assert separation(before, now) == pytest.approx(2 * area - 1, abs=1e-12)


def test_psi_exceeds_its_critical_value_at_the_stated_rate() -> None:
    rng = np.random.default_rng(2)
    shares = np.full(10, 0.1)
    for n, m in ((500, 500), (1000, 200)):
        critical = psi_critical(10, n, m, 0.05)
        hits = [psi(rng.multinomial(n, shares), rng.multinomial(m, shares)) > critical for _ in range(1500)]
        assert 0.03 < np.mean(hits) < 0.07
    assert psi_critical(10, 100, 100, 0.05) > 0.2  # a fixed threshold of 0.2 is noise here
