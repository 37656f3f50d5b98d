"""Column by column: which test runs, what counts as one test, and what few rows or odd values do."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats

from lamplighter.monitor.drift import Baseline, FeatureDrift, check
from lamplighter.monitor.drift.univariate import Univariate


def _features(before: np.ndarray, now: np.ndarray, **kwargs: Any) -> tuple[FeatureDrift, ...]:
    return check(before, now, detectors=[Univariate()], **kwargs).features


def test_each_column_gets_its_test_and_bonferroni_counts_them() -> None:
    rng = np.random.default_rng(0)
    before = np.stack([rng.normal(size=200), rng.integers(0, 4, 200), rng.integers(0, 9, 200), np.ones(200)], axis=1)
    now = np.stack([rng.normal(size=150), rng.integers(0, 4, 150), rng.integers(0, 9, 150), np.ones(150)], axis=1)
    found = _features(before, now, kinds=["numeric", "numeric", "category", "numeric"])
    assert [f.test for f in found] == ["kolmogorov-smirnov", "chi-square", "chi-square", "none"]
    assert found[0].p_value == pytest.approx(stats.ks_2samp(before[:, 0], now[:, 0]).pvalue, abs=1e-12)
    table = [[(side[:, 1] == level).sum() for level in range(4)] for side in (before, now)]
    assert found[1].p_value == pytest.approx(stats.chi2_contingency(table, correction=False).pvalue, rel=1e-10)
    for feature in found[:3]:
        assert feature.corrected_p == pytest.approx(min(1, 3 * feature.p_value))  # the constant column is no test


def test_missing_share_is_tested_and_shares_the_columns_alpha() -> None:
    rng = np.random.default_rng(1)
    before, now = rng.normal(size=(300, 2)), rng.normal(size=(300, 2))
    before[:9, 0] = np.nan
    now[:60, 0] = np.nan
    gone, untouched = _features(before, now)
    assert gone.test == "missing-share" and gone.drifted
    assert (gone.missing_reference, gone.missing_current) == (0.03, 0.2)
    assert gone.effect == pytest.approx(0.17, abs=0.08)
    expected = stats.chi2_contingency([[291, 9], [240, 60]], correction=False).pvalue
    assert gone.p_value == pytest.approx(2 * expected, rel=1e-10)
    assert not untouched.drifted


@pytest.mark.parametrize("side", ["before", "now"])
def test_a_column_that_vanishes_or_appears_is_drift(side: str) -> None:
    rng = np.random.default_rng(2)
    samples = {"before": rng.normal(size=(100, 2)), "now": rng.normal(size=(100, 2))}
    samples[side][:, 1] = np.nan
    found = _features(samples["before"], samples["now"])
    assert [f.drifted for f in found] == [False, True]
    assert found[1].test == "missing-share" and found[1].effect == 1.0


def test_another_constant_is_drift() -> None:
    (found,) = _features(np.full((60, 1), 1.0), np.full((60, 1), 2.0))
    assert found.drifted and found.effect > 0.1


def test_infinities_are_values_like_others() -> None:
    rng = np.random.default_rng(3)
    now = rng.normal(size=(200, 1))
    now[:80] = np.inf
    (found,) = _features(rng.normal(size=(200, 1)), now)
    assert found.drifted and np.isfinite(found.effect) and np.isfinite(found.psi)


def test_few_values_are_tested_by_chi_square_at_the_right_rate() -> None:
    """Kolmogorov-Smirnov would reject about 1% here."""
    rng = np.random.default_rng(4)
    hits = [
        check(rng.integers(0, 5, (300, 1)), rng.integers(0, 5, (300, 1)), detectors=[Univariate()]).drifted
        for _ in range(600)
    ]
    assert 0.033 < np.mean(hits) < 0.07


def test_histograms_alone_find_what_they_can(world: Any, make_world: Any) -> None:
    summary = make_world(keep_rows=False)
    baseline = Baseline.from_reference(summary.reference, summary.manifest.features, summary.manifest.output)
    features, scores = summary.model(summary.live[:200])
    current = np.column_stack([features, scores.argmax(axis=1)])
    verdict = check(baseline, current)
    assert [bool(f.skipped) for f in verdict.findings] == [False, True]
    assert "summary" in verdict.findings[1].skipped
    assert {f.test for f in verdict.features} == {"chi-square"}
    assert not verdict.drifted
    assert verdict.p_value == verdict.findings[0].p_value == min(f.corrected_p for f in verdict.features)
    assert min(f.p_value for f in verdict.features) * 11 == pytest.approx(verdict.p_value)  # all of alpha is its own
    current[:, 0] += current[:, 0].std()
    assert check(baseline, current).worst[0].name == "brightness"


def test_histograms_alone_keep_the_error_rate() -> None:
    from lamplighter.bundle.manifest import Feature, Output
    from lamplighter.bundle.runtime.reference import Reference

    specs = [Feature(name=str(j), kind="numeric", origin="column") for j in range(5)]
    output = Output(kind="classification", labels=("a", "b"))
    hits = 0
    for seed in range(300):
        rng = np.random.default_rng(seed)
        features, codes = rng.normal(size=(400, 5)).astype(np.float32), rng.integers(0, 2, 400)
        reference = Reference.build(features, np.eye(2)[codes], specs, output, keep_rows=False)
        current = np.column_stack([rng.normal(size=(200, 5)), rng.integers(0, 2, 200)])
        hits += check(Baseline.from_reference(reference, specs, output), current).drifted
    assert hits <= 26  # 15 expected; more than 26 with probability 0.003
