"""Softmax, reliability bins, ECE and temperature against scipy and a plain loop."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from scipy.optimize import minimize, minimize_scalar
from scipy.special import log_softmax
from scipy.special import softmax as scipy_softmax

from lamplighter.core.errors import DataError
from lamplighter.metrics.calibration import (
    adaptive_ece,
    ece,
    ece_contributions,
    fit_temperature,
    mce,
    reliability,
    softmax,
)


def _logits(n: int, k: int, seed: int, scale: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Logits whose softmax is calibrated when ``scale`` is 1."""
    rng = np.random.default_rng(seed)
    z = 2 * rng.normal(size=(n, k))
    return scale * z, (z + rng.gumbel(size=z.shape)).argmax(axis=1)


def _ece_by_loop(p: np.ndarray, y: np.ndarray, bins: int) -> float:
    edges, total = np.linspace(0, 1, bins + 1), 0.0
    for m, (low, high) in enumerate(pairwise(edges)):
        inside = [i for i in range(len(y)) if low < max(p[i]) <= high or (m == 0 and max(p[i]) == 0)]
        if inside:
            right = np.mean([np.argmax(p[i]) == y[i] for i in inside])
            total += len(inside) / len(y) * abs(right - np.mean([max(p[i]) for i in inside]))
    return total


@pytest.mark.parametrize("temperature", [0.3, 1.0, 7.0])
def test_softmax_equals_scipy_and_survives_huge_logits(temperature: float) -> None:
    logits = np.random.default_rng(0).normal(size=(50, 7)) * np.logspace(-3, 4, 50)[:, None]
    ours = softmax(logits.astype(np.float32), temperature)
    theirs = scipy_softmax(logits.astype(np.float32).astype(np.float64) / temperature, axis=1)
    np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-300)
    np.testing.assert_allclose(ours.sum(axis=1), 1, rtol=0, atol=1e-14)


def test_softmax_of_no_rows() -> None:
    assert softmax(np.empty((0, 3))).shape == (0, 3)


@pytest.mark.parametrize("bins", [1, 10, 15])
@pytest.mark.parametrize("decimals", [1, 2, 15])
def test_ece_equals_a_plain_loop_on_bin_edges_too(bins: int, decimals: int) -> None:
    logits, y = _logits(400, 3, seed=bins, scale=2)
    p = np.round(softmax(logits), decimals)
    assert ece(p, y, bins) == pytest.approx(_ece_by_loop(p, y, bins), abs=1e-12)
    assert ece_contributions(p, y, bins).mean() == pytest.approx(ece(p, y, bins), abs=1e-12)


def test_reliability_counts_every_row_once_and_gives_the_ece() -> None:
    logits, y = _logits(500, 4, seed=3, scale=3)
    curve = reliability(softmax(logits), y, bins=10)
    assert curve.count.sum() == 500 and len(curve.edges) == 11
    filled = curve.count > 0
    assert ((curve.confidence > curve.edges[:-1]) & (curve.confidence <= curve.edges[1:]))[filled].all()
    assert np.isnan(curve.accuracy[~filled]).all()
    gap = np.abs(curve.accuracy - curve.confidence)[filled]
    assert (gap * curve.count[filled]).sum() / 500 == pytest.approx(ece(softmax(logits), y, 10), abs=1e-12)


@pytest.mark.parametrize("bins", [1, 7, 15])
@pytest.mark.parametrize("decimals", [1, 15])
def test_mce_is_the_largest_gap_of_the_reliability_bins(bins: int, decimals: int) -> None:
    logits, y = _logits(300, 3, seed=bins, scale=2)
    p = np.round(softmax(logits), decimals)
    curve = reliability(p, y, bins)
    assert mce(p, y, bins) == pytest.approx(np.nanmax(np.abs(curve.accuracy - curve.confidence)), abs=1e-12)
    assert mce(p, y, bins) >= ece(p, y, bins) - 1e-15


@pytest.mark.parametrize("bins", [1, 4, 15])
@pytest.mark.parametrize("n", [3, 60, 1000])
def test_adaptive_ece_equals_a_plain_loop_over_equal_shares(bins: int, n: int) -> None:
    logits, y = _logits(n, 3, seed=n, scale=2)
    p = softmax(logits)
    order = np.argsort(p.max(axis=1))
    confidence, right = p.max(axis=1)[order], (p.argmax(axis=1) == y)[order]
    ends = [int(np.ceil(n * m / bins)) for m in range(bins + 1)]
    total = sum(abs((right[a:b] - confidence[a:b]).sum()) for a, b in pairwise(ends))
    assert adaptive_ece(p, y, bins) == pytest.approx(total / n, abs=1e-12)


def test_adaptive_ece_of_tied_confidences_does_not_depend_on_the_order_of_rows() -> None:
    logits, y = _logits(400, 3, seed=0, scale=2)
    p = softmax(np.round(logits / 4))
    for seed in range(20):
        shuffled = np.random.default_rng(seed).permutation(400)
        assert adaptive_ece(p, y) == adaptive_ece(p[shuffled], y[shuffled])
    confidence = p.max(axis=1)
    finest = sum(abs(((p.argmax(axis=1) == y) - confidence)[confidence == c].sum()) for c in np.unique(confidence))
    assert adaptive_ece(p, y, bins=400) == pytest.approx(finest / 400, abs=1e-12)


def test_adaptive_ece_sees_what_equal_widths_hide_in_their_last_bin() -> None:
    p = np.array([[0.94, 0.06]] * 500 + [[0.999, 0.001]] * 500)
    y = np.array([0] * 499 + [1] + [0] * 440 + [1] * 60)  # too modest, then too sure: in one bin they cancel
    assert ece(p, y) < 0.035 < 0.08 < adaptive_ece(p, y)


def test_certain_and_right_is_perfectly_calibrated() -> None:
    assert ece(np.eye(3), np.arange(3)) == 0.0
    assert ece(np.eye(3), np.array([1, 2, 0])) == 1.0


@pytest.mark.parametrize("scale", [0.2, 1.0, 3.0])
@pytest.mark.parametrize("k", [2, 10])
def test_temperature_agrees_with_scipy(scale: float, k: int) -> None:
    logits, y = _logits(4000, k, seed=k, scale=scale)

    def nll(t: float) -> float:
        return float(-log_softmax(logits / t, axis=1)[np.arange(len(y)), y].mean())

    best = minimize_scalar(nll, bounds=(0.01, 50), method="bounded", options={"xatol": 1e-10}).x
    found = fit_temperature(logits, y)
    assert found == pytest.approx(best, rel=1e-5)
    assert nll(found) <= nll(best) + 1e-13
    assert found == pytest.approx(scale, rel=0.1)


def test_temperature_agrees_with_l_bfgs_on_logits_three_times_too_large() -> None:
    logits, y = _logits(4000, 10, seed=0, scale=3)

    def nll(t: np.ndarray) -> float:
        return float(-log_softmax(logits / t[0], axis=1)[np.arange(len(y)), y].mean())

    best = minimize(nll, x0=[1.0], method="L-BFGS-B", bounds=[(0.01, 100)], tol=1e-12)
    found = fit_temperature(logits, y)
    assert found == pytest.approx(best.x[0], abs=1e-4) and 2.7 < found < 3.3
    assert nll(np.array([found])) < nll(np.array([1.0])) - 0.3


def test_temperature_mends_overconfidence_and_keeps_every_answer() -> None:
    logits, y = _logits(4000, 10, seed=0, scale=3)
    t = fit_temperature(logits, y)
    before, after = softmax(logits), softmax(logits, t)
    assert ece(before, y) > 0.1 > 0.03 > ece(after, y)
    assert np.array_equal(before.argmax(axis=1), after.argmax(axis=1))


def test_temperature_of_float32_logits_with_extreme_scales() -> None:
    logits, y = _logits(500, 3, seed=1)
    for scale in (1e-2, 50.0):
        found = fit_temperature((scale * logits).astype(np.float32), y)
        assert found == pytest.approx(max(0.01, scale * fit_temperature(logits, y)), rel=1e-4)


def test_temperature_where_no_best_one_exists() -> None:
    assert fit_temperature(np.empty((0, 3)), np.empty(0, dtype=int)) == 1.0
    assert fit_temperature(5 * np.eye(3), np.arange(3)) == 1.0  # without a mistake sharper is always better
    assert fit_temperature(np.zeros((4, 3)), np.zeros(4, dtype=int)) == 1.0
    assert fit_temperature(5 * np.eye(3), np.array([1, 2, 0])) == pytest.approx(100)  # worse than chance: flatten


def test_temperature_of_a_single_mistake_is_finite() -> None:
    logits = np.array([[4.0, 0.0]] * 999 + [[0.5, 0.0]])
    y = np.array([0] * 999 + [1])
    assert 0.01 < fit_temperature(logits, y) < 5


def test_temperature_refuses_broken_input() -> None:
    with pytest.raises(DataError, match="row 1: logits are not finite"):
        fit_temperature(np.array([[0.0, 1.0], [np.nan, 1.0]]), np.array([0, 1]))
    with pytest.raises(DataError, match="row 0: target 2"):
        fit_temperature(np.zeros((1, 2)), np.array([2]))


def test_no_rows() -> None:
    nothing = np.empty((0, 3)), np.empty(0, dtype=int)
    assert np.isnan([ece(*nothing), mce(*nothing), adaptive_ece(*nothing)]).all()
    assert reliability(*nothing).count.sum() == 0
    assert ece_contributions(*nothing).shape == (0,)


def test_a_diverged_models_answers_have_no_calibration() -> None:
    p, y = np.full((3, 2), np.nan), np.array([0, 1, 0])
    assert np.isnan([ece(p, y), mce(p, y), adaptive_ece(p, y)]).all()
