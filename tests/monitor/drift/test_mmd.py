"""MMD against a naive computation, and its error rate where it is easily lost."""

from __future__ import annotations

import numpy as np
import pytest

from lamplighter.monitor.drift import Baseline, check
from lamplighter.monitor.drift.baseline import Column
from lamplighter.monitor.drift.mmd import MAX_CATEGORIES, MMD, embed, gaussian_kernel, permutation_test


def _naive(kernel: np.ndarray, is_reference: np.ndarray) -> float:
    sums = {"xx": [], "yy": [], "xy": []}
    for i in range(len(kernel)):
        for j in range(len(kernel)):
            if i != j:
                kind = (
                    "xx"
                    if is_reference[i] and is_reference[j]
                    else "xy"
                    if is_reference[i] or is_reference[j]
                    else "yy"
                )
                sums[kind].append(kernel[i, j])
    return float(np.mean(sums["xx"]) + np.mean(sums["yy"]) - 2 * np.mean(sums["xy"]))


def test_p_value_equals_a_loop_over_permutations() -> None:
    rng = np.random.default_rng(0)
    points = np.concatenate([rng.normal(size=(14, 3)), rng.normal(size=(11, 3)) + 0.2])
    kernel = gaussian_kernel(points)
    assert kernel is not None
    p_value, _ = permutation_test(kernel, 14, 60, np.random.default_rng(7))
    labels = np.zeros((60, 25))
    labels[:, :14] = 1
    shuffled = np.random.default_rng(7).permuted(labels, axis=1).astype(bool)
    observed = _naive(kernel, np.arange(25) < 14)
    reached = sum(_naive(kernel, row) >= observed - 1e-12 for row in shuffled)
    assert p_value == pytest.approx((reached + 1) / 61, abs=1e-12)
    assert 0 < reached < 60


def test_kernel_is_gaussian_with_the_median_bandwidth() -> None:
    points = np.random.default_rng(1).normal(size=(30, 4))
    kernel = gaussian_kernel(points)
    squared = np.array([[np.sum((a - b) ** 2) for b in points] for a in points])
    expected = np.exp(-squared / np.median(squared))
    np.fill_diagonal(expected, 0)
    np.testing.assert_allclose(kernel, expected, rtol=1e-10, atol=1e-12)
    assert gaussian_kernel(np.ones((5, 2))) is None


def test_few_rows_of_many_columns_raise_no_false_alarm() -> None:
    """Standardising by the reference alone would find drift in nearly every one of these."""
    hits = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        verdict = check(
            rng.normal(size=(25, 80)), rng.normal(size=(25, 80)), seed=seed, detectors=[MMD(permutations=199)]
        )
        hits += verdict.drifted
    assert hits <= 8  # 3 expected, more than 8 with probability 0.003


def test_effect_grows_with_the_change_and_stays_between_0_and_1() -> None:
    rng = np.random.default_rng(2)
    before = rng.normal(size=(300, 4))
    sizes = [
        MMD(permutations=99)(Baseline.from_rows(before), rng.normal(size=(200, 4)) + shift, 0.05, 0).effect
        for shift in (0, 0.3, 1, 5)
    ]
    assert sizes == sorted(sizes)
    assert sizes[0] < 0.15 and sizes[1] > 0.2 and sizes[3] == pytest.approx(1, abs=0.01)


def test_embedding_of_categories_missing_values_and_infinities() -> None:
    columns = (Column("a", "numeric"), Column("b", "category"), Column("c", "numeric"))
    pooled = np.array([[1, 0, 5], [np.inf, 1, 5], [np.nan, 2, 5], [3, np.nan, 5]])
    points = embed(pooled, columns)
    assert np.isfinite(points).all()
    assert points.shape == (4, 1 + 1 + 4)  # number, its missing flag, three codes and missing; the constant is gone
    codes = np.arange(200.0)[:, None]
    assert embed(codes, (Column("id", "category"),)).shape[1] == MAX_CATEGORIES + 1


def test_large_samples_are_cut_and_small_alphas_get_more_permutations() -> None:
    rng = np.random.default_rng(3)
    before = Baseline.from_rows(rng.normal(size=(400, 2)))
    detector = MMD(permutations=99, max_rows=50)
    assert detector(before, rng.normal(size=(400, 2)) + 3, 0.05, 0).p_value == pytest.approx(1 / 201)
    assert detector(before, rng.normal(size=(400, 2)) + 3, 0.01, 0).p_value == pytest.approx(1 / 1001)


def test_same_seed_same_p_value() -> None:
    rng = np.random.default_rng(4)
    before, now = Baseline.from_rows(rng.normal(size=(60, 2))), rng.normal(size=(60, 2))
    p_values = {MMD(permutations=199)(before, now, 0.05, seed).p_value for seed in (1, 1, 1)}
    assert len(p_values) == 1
