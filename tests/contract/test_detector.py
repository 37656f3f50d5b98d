"""What every drift detector must hold: quiet on unchanged data, loud on a gross change, the same answer twice."""

from __future__ import annotations

import numpy as np
import pytest

from lamplighter.core import registry
from lamplighter.core.seeding import generator
from lamplighter.monitor.drift import Baseline, Detector, Finding

KINDS = ("numeric", "numeric", "category")


def rows(n: int, stream: int, shift: float = 0.0) -> np.ndarray:
    """(N, 3): two numbers of different scale and a code from 0 to 3; ``shift`` in standard deviations."""
    rng = generator(0, "detector-contract", stream)
    codes = rng.choice(4, n, p=[0.7, 0.1, 0.1, 0.1] if shift == 0 else [0.1, 0.1, 0.1, 0.7])
    return np.column_stack([rng.normal(shift, 1, n), rng.normal(1000 + 50 * shift, 50, n), codes]).astype(np.float64)


@pytest.fixture(params=registry.names("detector"))
def detector(request: pytest.FixtureRequest) -> Detector:
    built: Detector = registry.build("detector", request.param, {})
    return built


def find(detector: Detector, current: np.ndarray, seed: int = 0) -> Finding:
    return detector(Baseline.from_rows(rows(400, 0), KINDS), current, 0.05, seed)


def test_no_alarm_on_the_same_distribution(detector: Detector) -> None:
    finding = find(detector, rows(300, 1))
    assert finding.skipped == ""
    assert 0.05 < finding.p_value <= 1


def test_alarm_on_a_gross_shift(detector: Detector) -> None:
    finding = find(detector, rows(300, 1, shift=3))
    assert finding.p_value <= 0.01
    assert finding.effect >= 0.1


def test_p_values_of_unchanged_data_are_not_too_small(detector: Detector) -> None:
    """At 5%, more than 6 alarms in 40 happen with probability 0.003."""
    alarms = 0
    for stream in range(40):
        reference = Baseline.from_rows(rows(150, 100 + stream), KINDS)
        alarms += detector(reference, rows(120, 200 + stream), 0.05, stream).p_value <= 0.05
    assert alarms <= 6


def test_deterministic_and_input_untouched(detector: Detector) -> None:
    current = rows(300, 2)
    copy = current.copy()
    assert find(detector, current, seed=3) == find(detector, current, seed=3)
    np.testing.assert_array_equal(current, copy)


def test_missing_values_are_no_accident(detector: Detector) -> None:
    reference = rows(300, 0)
    reference[::10, 0] = np.nan
    current = rows(300, 1)
    current[::10, 0] = np.nan
    finding = detector(Baseline.from_rows(reference, KINDS), current, 0.05, 0)
    assert np.isfinite(finding.p_value) and np.isfinite(finding.effect)
    assert finding.p_value > 0.05
