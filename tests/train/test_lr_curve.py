"""Reading a range test: smoothing, divergence, the rules, and the test for a fall."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from lamplighter.train.lr_curve import (
    LRCurve,
    chance_of_fall,
    diverged,
    smooth,
    steep,
    sweep,
    tenth_of_minimum,
    valley,
    way_down,
)


@pytest.mark.parametrize("low, high, steps", [(1e-7, 10.0, 65), (3e-5, 0.7, 20), (0.1, 0.3, 100)])
def test_the_sweep_has_equal_ratios_and_exact_ends(low: float, high: float, steps: int) -> None:
    lrs = sweep(low, high, steps)
    assert len(lrs) == steps
    assert lrs[0] == low and lrs[-1] == high
    ratios = np.diff(np.log(lrs))
    np.testing.assert_allclose(ratios, math.log(high / low) / (steps - 1), rtol=1e-9)


def test_smoothing_equals_the_weighted_mean_it_stands_for() -> None:
    losses = np.random.default_rng(0).normal(size=50)
    for t in range(50):
        weights = 0.9 ** np.arange(t, -1, -1)
        assert smooth(losses.tolist())[t] == pytest.approx(np.average(losses[: t + 1], weights=weights), rel=1e-12)


def test_a_constant_stays_what_it_is_from_the_first_step_on() -> None:
    np.testing.assert_allclose(smooth([2.5] * 30), 2.5, rtol=1e-14)


def test_divergence_is_four_times_the_best_also_below_zero() -> None:
    assert diverged(4.001, best=1.0, first=9.0) and not diverged(3.999, best=1.0, first=9.0)
    assert diverged(math.nan, 1.0, 2.0) and diverged(math.inf, 1.0, 2.0)
    assert not diverged(-2.0, best=-5.0, first=1.0), "a log-likelihood that has come back half its way"
    assert diverged(20.0, best=-5.0, first=1.0)
    assert not diverged(0.5, best=-0.01, first=1.0), "near 0 the way it came decides, not the best"


def falling(n: int = 65, at: float = 40, width: float = 4.0, tail: int = 5) -> tuple[list[float], np.ndarray]:
    """A logistic fall from 2 to 1 with its middle at step ``at``, then a rise; unsmoothed."""
    lrs = sweep(1e-7, 10.0, n)
    steps = np.arange(n)
    curve = 1 + 1 / (1 + np.exp((steps - at) / width))
    curve[-tail:] += np.linspace(0.2, 5, tail)
    return lrs, curve


def test_rules_find_the_middle_of_a_clean_fall() -> None:
    lrs, curve = falling()
    assert abs(math.log10(steep(lrs, curve) / lrs[40])) < 0.13  # one step is 0.125
    assert abs(math.log10(valley(lrs, curve) / lrs[40])) < 0.13
    assert tenth_of_minimum(lrs, curve) == pytest.approx(lrs[int(np.argmin(curve))] / 10)


def test_steepest_is_meant_over_the_logarithm() -> None:
    """Over the rate itself the slope is steepest far below the fall: the rule of Lightning 2.6 does that."""
    lrs, curve = falling()
    over_lr = lrs[int(np.argmin(np.gradient(curve, lrs)[:60]))]
    assert over_lr < steep(lrs, curve) / 20


def test_a_low_first_loss_misleads_nobody() -> None:
    """One lucky batch at the start, or in the middle of the plateau, is neither the minimum nor the steepest fall."""
    lrs, curve = falling()
    expected = steep(lrs, curve), valley(lrs, curve)
    curve[0], curve[12] = 0.5, 1.2
    smoothed_end = curve.copy()
    assert (steep(lrs, smoothed_end), valley(lrs, smoothed_end)) == expected


@pytest.mark.parametrize("noise, decades", [(0.05, 0.55), (0.2, 0.9)])
def test_rules_hold_under_noise(noise: float, decades: float) -> None:
    """Noise of single batches up to a fifth of a slow fall moves no suggestion by a factor of ten."""
    lrs, curve = falling()
    for seed in range(20):
        noisy = smooth((curve + np.random.default_rng(seed).normal(0, noise, len(curve))).tolist())
        clean = smooth(curve.tolist())
        for rule in (steep, valley, tenth_of_minimum):
            assert abs(math.log10(rule(lrs, noisy) / rule(lrs, clean))) < decades, (rule, seed)


def test_the_way_down_ends_at_the_lowest_and_begins_below_the_plateau() -> None:
    _, curve = falling()
    begin, lowest = way_down(curve)
    assert lowest == int(np.argmin(curve))
    assert curve[begin] >= 1.75 - 0.01 > curve[begin + 1]


def test_curves_without_a_fall_seldom_pass() -> None:
    """Flat noise, noise that rises in the end slowly, at once, or becomes wilder: 200 of each."""

    def passing(make: str) -> float:
        count = 0
        for seed in range(200):
            draws = np.random.default_rng(seed)
            losses = draws.normal(1, 0.1, 65)
            if make == "slow rise":
                losses[-25:] += np.linspace(0, 0.3, 25)
            if make == "rise":
                losses[-14:] += np.linspace(0, 3, 14)
            if make == "jump":
                losses[-5:] += 3
            if make == "skewed":
                losses = draws.exponential(1, 65)
            count += chance_of_fall(losses.tolist()) <= 0.05
        return count / 200

    for make in ("flat", "slow rise", "rise", "jump", "skewed"):
        assert passing(make) <= 0.02, make


def test_falls_pass_although_the_loss_explodes_afterwards() -> None:
    _, curve = falling()
    for seed in range(40):
        noisy = curve + np.random.default_rng(seed).normal(0, 0.2, len(curve))
        assert chance_of_fall(noisy.tolist()) <= 0.01


def test_what_cannot_be_judged_is_no_fall() -> None:
    assert chance_of_fall([]) == chance_of_fall([1.0] * 10) == chance_of_fall([1.0] * 65) == 1.0


def test_a_curve_is_json() -> None:
    curve = LRCurve((0.1, 0.2), (2.0, 1.0), (2.0, 1.5), {"steep": 0.2}, "steep", 0.2, "here", "there")
    assert json.loads(json.dumps(curve.to_dict(), allow_nan=False))["suggestions"] == {"steep": 0.2}
