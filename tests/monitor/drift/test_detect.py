"""The promise of a verdict: its error rate, its power, and clear words where nothing can be said."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from scipy import stats

from lamplighter.core.errors import DataError
from lamplighter.core.recipe import Monitor, Recipe
from lamplighter.core.registry import build, names, register
from lamplighter.monitor.drift import Baseline, FeatureDrift, Finding, Verdict, check
from lamplighter.monitor.drift.detect import build_detectors
from lamplighter.monitor.drift.mmd import MMD
from lamplighter.monitor.drift.univariate import Univariate

FAST = (Univariate(), MMD(permutations=199, max_rows=100))


def _upper(trials: int, rate: float = 0.05) -> int:
    """Hits that a right test exceeds once in a thousand runs of this suite."""
    return int(stats.binom.ppf(0.999, trials, rate))


def _null(trials: int, rows: tuple[int, int], d: int, detectors: Any, correlated: bool = False) -> list[Verdict]:
    verdicts = []
    for seed in range(trials):
        rng = np.random.default_rng([seed, d])
        common = rng.normal(size=(sum(rows), 1)) if correlated else 0.0
        values = (rng.normal(size=(sum(rows), d)) + common) / (2**0.5 if correlated else 1)
        verdicts.append(check(values[: rows[0]], values[rows[0] :], seed=seed, detectors=detectors))
    return verdicts


@pytest.mark.parametrize("correlated", [False, True])
def test_false_alarms_stay_within_alpha(correlated: bool) -> None:
    verdicts = _null(120, (150, 100), 10, FAST, correlated)
    assert sum(v.drifted for v in verdicts) <= _upper(120)
    # The rule everyone writes first alarms in about 40% of these; so the bound above can fail.
    assert sum(min(f.p_value for f in v.features) < 0.05 for v in verdicts) > _upper(120)


def test_alpha_is_split_over_detectors_and_columns() -> None:
    rng = np.random.default_rng(0)
    verdict = check(rng.normal(size=(100, 4)), rng.normal(size=(100, 4)), detectors=FAST)
    smallest = min(f.p_value for f in verdict.features)
    assert verdict.findings[0].p_value == pytest.approx(min(1, smallest * 4 * 2))
    for feature in verdict.features:
        assert feature.corrected_p == pytest.approx(min(1, feature.p_value * 4 * 2))
    alone = check(rng.normal(size=(100, 4)), rng.normal(size=(100, 4)), detectors=FAST[1:])
    assert alone.p_value == alone.findings[0].p_value <= 1
    assert alone.findings[0].detector == "MMD"
    assert verdict.p_value == min(f.p_value for f in verdict.findings)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("d", "rows", "trials"),
    [(10, (1000, 200), 400), (100, (1000, 1000), 120), (100, (40, 40), 300), (3, (20, 20), 600)],
)
def test_false_alarms_stay_within_alpha_everywhere(d: int, rows: tuple[int, int], trials: int) -> None:
    assert sum(v.drifted for v in _null(trials, rows, d, None)) <= _upper(trials)


@pytest.mark.slow
def test_false_alarms_with_mixed_columns_stay_within_alpha() -> None:
    hits = 0
    for seed in range(300):
        rng = np.random.default_rng(seed)
        values = np.column_stack(
            [
                rng.normal(size=(500, 3)),
                rng.integers(0, 40, 500),
                rng.geometric(0.05, 500),
                rng.integers(0, 2, 500),
                np.where(rng.random(500) < 0.02, np.nan, rng.exponential(size=500)),
            ]
        )
        kinds = ["numeric"] * 3 + ["category", "category", "numeric", "numeric"]
        hits += check(values[:350], values[350:], seed=seed, kinds=kinds).drifted
    assert hits <= _upper(300)


def test_one_changed_feature_of_a_hundred_is_found() -> None:
    for seed in range(3):
        rng = np.random.default_rng(seed)
        now = rng.normal(size=(1000, 100))
        now[:, 42] += 0.3
        verdict = check(rng.normal(size=(1000, 100)), now, seed=seed, min_effect=0.1)
        assert verdict.drifted and verdict.worst[0].name == "42" and len(verdict.worst) <= 2


def test_changed_correlation_is_found_by_mmd_alone() -> None:
    for seed in range(3):
        rng = np.random.default_rng(seed)
        now = 0.7**0.5 * rng.normal(size=(1000, 10)) + 0.3**0.5 * rng.normal(size=(1000, 1))
        verdict = check(rng.normal(size=(1000, 10)), now, seed=seed, min_effect=0.1)
        assert [f.drifted for f in verdict.findings] == [False, True]
        assert not verdict.worst and verdict.drifted


def test_small_changes_everywhere_are_found() -> None:
    rng = np.random.default_rng(1)
    assert check(rng.normal(size=(1000, 100)), rng.normal(size=(1000, 100)) + 0.05, min_effect=0.1).drifted


def test_min_effect_only_takes_alarms_away() -> None:
    rng = np.random.default_rng(2)
    before, now = rng.normal(size=(9000, 1)), rng.normal(size=(9000, 1)) + 0.08
    plain = check(before, now, detectors=[Univariate()])
    assert plain.drifted
    held = check(before, now, min_effect=0.1, detectors=[Univariate()])
    assert not held.drifted and held.p_value == plain.p_value
    assert not any(f.drifted for f in held.features)


@pytest.mark.parametrize(("before", "now"), [(1, 100), (100, 1), (19, 19), (0, 50), (50, 0)])
def test_too_few_rows_is_a_verdict_of_its_own(before: int, now: int) -> None:
    verdict = check(np.zeros((before, 2)), np.ones((now, 2)))
    assert not verdict.drifted and verdict.p_value == 1 and verdict.reason.startswith("too few rows")


@pytest.mark.parametrize("fill", [0.0, np.nan, np.inf])
def test_nothing_varies(fill: float) -> None:
    verdict = check(np.full((40, 3), fill), np.full((40, 3), fill))
    assert not verdict.drifted and "nothing varies" in verdict.reason
    json.dumps(verdict.to_dict(), allow_nan=False)


def test_odd_values_never_break_a_verdict() -> None:
    odd = [np.nan, np.inf, -np.inf, 0.0, -0.0, 1e308, -1e308, 5e-324, 1.0, 2.0]
    for seed in range(40):
        rng = np.random.default_rng(seed)
        shape = (int(rng.integers(20, 60)), 4)
        before, now = rng.choice(odd, shape), rng.choice(odd[: rng.integers(1, 10)], shape)
        kinds = list(rng.choice(["numeric", "category"], 4))
        verdict = check(before, now, kinds=kinds, detectors=FAST)
        json.dumps(verdict.to_dict(), allow_nan=False)
        assert 0 <= verdict.p_value <= 1


def test_refuses_what_it_cannot_compare() -> None:
    with pytest.raises(DataError, match="current has 3 columns, the reference has 2"):
        check(np.zeros((30, 2)), np.zeros((30, 3)))
    with pytest.raises(DataError, match="2-D array"):
        check(np.zeros((30, 2)), np.zeros(30))
    with pytest.raises(DataError, match="not on object"):
        check(np.zeros((30, 1)), np.array([["a"]], dtype=object))
    with pytest.raises(DataError, match="alpha"):
        check(np.zeros((30, 2)), np.zeros((30, 2)), alpha=1.5)


def test_verdict_is_json_and_repeatable() -> None:
    rng = np.random.default_rng(3)
    before, now = rng.normal(size=(80, 3)), rng.normal(size=(60, 3))
    first, second = (check(before, now, names=["a", "b", "c"], seed=4, detectors=FAST).to_dict() for _ in range(2))
    assert json.loads(json.dumps(first, allow_nan=False)) == json.loads(json.dumps(second))
    assert [f["name"] for f in first["features"]] == ["a", "b", "c"]
    assert "features" not in first["findings"][0]


class Always:
    """A detector of one's own.

    Args:
        p_value: what it says.
    """

    def __init__(self, p_value: float = 0.0) -> None:
        self.p_value = p_value

    def __call__(self, reference: Baseline, current: np.ndarray, alpha: float, seed: int) -> Finding:
        assert alpha == 0.05 / 3
        return Finding(self.p_value, effect=1.0)


def test_own_detectors_share_alpha() -> None:
    register("detector", "always")(Always)
    assert "always" in names("detector")
    text = "{name: a, data: {name: digits}, model: {name: mlp}, task: {name: classification}, monitor: {detectors: ["
    recipe = Recipe.parse(
        text + "{name: univariate}, {name: mmd, permutations: 199}, {name: always, p_value: 0.016}]}}"
    )
    detectors = [build("detector", c.name, c.params) for c in recipe.monitor.detectors]
    rng = np.random.default_rng(5)
    before, now = rng.normal(size=(50, 2)), rng.normal(size=(50, 2))
    assert check(before, now, detectors=detectors).findings[2].p_value == pytest.approx(0.048)
    assert check(before, now, detectors=detectors).drifted
    detectors[2].p_value = 0.017
    assert not check(before, now, detectors=detectors).drifted


def test_the_default_detectors_are_those_of_a_recipe() -> None:
    rng = np.random.default_rng(6)
    before, now = rng.normal(size=(60, 2)), rng.normal(size=(60, 2))
    assert check(before, now) == check(before, now, detectors=build_detectors(Monitor().detectors))
    assert [finding.detector for finding in check(before, now).findings] == ["Univariate", "MMD"]


def _by_hand(**columns: tuple[float, float]) -> Any:
    """A detector, given as a function, that says (p, effect) of some columns."""

    def by_hand(reference: Baseline, current: np.ndarray, alpha: float, seed: int) -> Finding:
        features = tuple(FeatureDrift(name, "hand", 0.0, p, p, size) for name, (p, size) in columns.items())
        return Finding(min(f.p_value for f in features), max(f.effect for f in features), features)

    return by_hand


def test_a_column_counts_once_with_its_strongest_finding() -> None:
    rows = np.random.default_rng(7).normal(size=(40, 3))
    first = _by_hand(a=(0.5, 0.3), b=(0.001, 0.05), c=(0.01, 0.4))
    second = _by_hand(c=(0.02, 0.9), b=(0.002, 0.2), a=(0.1, 0.2), pair=(0.9, 0.0))
    verdict = check(rows, rows, names=["a", "b", "c"], min_effect=0.1, detectors=[first, second])
    assert [(f.name, f.effect, f.drifted) for f in verdict.features] == [
        ("a", 0.2, False),
        ("b", 0.2, True),  # more surely changed by the first, but by too little to count
        ("c", 0.4, True),
        ("pair", 0.0, False),
    ]
    assert [finding.detector for finding in verdict.findings] == ["by_hand", "by_hand"]
    twice = check(rows, rows, names=["a", "a", "b"], detectors=[Univariate(), Univariate()])
    assert [f.name for f in twice.features] == ["a", "a", "b"]
