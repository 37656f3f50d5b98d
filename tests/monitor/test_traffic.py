"""Traffic of the last hour."""

from __future__ import annotations

import numpy as np
import pytest

from lamplighter.monitor.traffic import EDGES, KEEP_SECONDS, MIX, POINTS, Traffic, percentiles


def test_percentiles_are_within_four_percent() -> None:
    latencies = np.random.default_rng(0).lognormal(-5, 0.8, 20_000)
    bins = np.bincount(np.searchsorted(EDGES, latencies, side="right"), minlength=len(EDGES) + 1)
    found = percentiles(bins)
    expected = np.quantile(latencies, [0.5, 0.95, 0.99])
    np.testing.assert_allclose(np.array(found, dtype=float), expected, rtol=0.045)


def test_latencies_beyond_the_scale_stay_finite() -> None:
    traffic = Traffic(0.0)
    traffic.add(1.0, 0.0, 1)
    traffic.add(1.0, 1e6, 1)
    assert traffic.recent(2.0, 60)["p99"] == pytest.approx(100)


def test_curves_count_every_row_once_and_show_silence() -> None:
    traffic = Traffic(1000.0)
    for second in range(1000, 1100):
        if not 1040 <= second < 1060:
            traffic.add(float(second), 0.01, 3)
    curves = traffic.curves(1100.0)
    assert sum(curves["rate"]) * curves["width"] == 3 * 80
    silent = [i for i, t in enumerate(curves["time"]) if 1040 <= t < 1060]
    assert {curves["rate"][i] for i in silent} == {0} and {curves["p50"][i] for i in silent} == {None}
    assert 1100 not in curves["time"]  # still filling


def test_an_hour_fits_and_no_more_is_kept() -> None:
    traffic = Traffic(0.0)
    for second in range(0, 3 * KEEP_SECONDS, 2):
        traffic.add(float(second), 0.01, 1)
    curves = traffic.curves(3.0 * KEEP_SECONDS)
    assert (
        len(curves["time"]) <= POINTS and curves["time"][-1] - curves["time"][0] >= KEEP_SECONDS - 2 * curves["width"]
    )
    assert sum(curves["rate"]) * curves["width"] == pytest.approx(KEEP_SECONDS / 2, rel=0.02)


def test_newest_predictions_roll() -> None:
    traffic = Traffic(0.0)
    traffic.add(0.0, 0.1, 3, np.zeros((3, 1)))
    for _ in range(MIX // 500):
        traffic.add(1.0, 0.1, 500, np.ones((500, 1)))
    assert traffic.newest().shape == (MIX, 1) and traffic.newest().min() == 1
