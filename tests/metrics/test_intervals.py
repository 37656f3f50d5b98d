"""Wilson against scipy; the bootstrap against its own definition, and its coverage."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest

from lamplighter.metrics.intervals import percentile, resampled_counts, resampled_means, wilson


@pytest.mark.parametrize(("k", "n"), [(0, 1), (1, 1), (0, 50), (50, 50), (3, 8), (931, 1000), (9312, 10_000)])
@pytest.mark.parametrize("level", [0.8, 0.95, 0.99])
def test_wilson_equals_scipy(k: int, n: int, level: float) -> None:
    reference = binomtest(k, n).proportion_ci(level, method="wilson")
    assert wilson(k, n, level) == pytest.approx((reference.low, reference.high), abs=1e-12)


def test_wilson_of_no_rows_promises_nothing() -> None:
    assert wilson(0, 0) == (0.0, 1.0)


def test_wilson_covers_as_often_as_it_says() -> None:
    hits = np.random.default_rng(0).binomial(40, 0.9, size=4000)
    intervals = np.array([wilson(int(k), 40) for k in hits])
    assert 0.93 < ((intervals[:, 0] <= 0.9) & (intervals[:, 1] >= 0.9)).mean() < 0.98


def test_resampled_means_have_the_bootstraps_mean_and_spread() -> None:
    values = np.random.default_rng(1).gamma(2.0, size=(400, 3))
    means = resampled_means(values, seed=5, resamples=4000)
    assert means.shape == (4000, 3)
    error = values.std(axis=0) / np.sqrt(400)
    np.testing.assert_allclose(means.mean(axis=0), values.mean(axis=0), atol=4 * error.max() / np.sqrt(4000))
    np.testing.assert_allclose(means.std(axis=0), error, rtol=0.06)


def test_columns_are_resampled_together() -> None:
    x = np.random.default_rng(2).normal(size=300)
    means = resampled_means(np.stack([x, 2 * x + 1], axis=1))
    np.testing.assert_allclose(means[:, 1], 2 * means[:, 0] + 1, atol=1e-12)


def test_the_seed_decides() -> None:
    values = np.arange(50.0)[:, None]
    assert np.array_equal(resampled_means(values, seed=1), resampled_means(values, seed=1))
    assert not np.array_equal(resampled_means(values, seed=1), resampled_means(values, seed=2))


def test_blocks_do_not_repeat_each_other() -> None:
    means = resampled_means(np.random.default_rng(0).normal(size=(30_000, 1)), resamples=300)
    assert means.shape == (300, 1) and len(np.unique(means)) == 300


def test_resampled_counts_follow_the_same_law_as_resampled_rows() -> None:
    matrix = np.array([[40, 8, 0], [5, 20, 1], [0, 0, 26]])
    y, predicted = (np.repeat(index.ravel(), matrix.ravel()) for index in np.indices((3, 3)))
    hits, answers, actual = resampled_counts(matrix, seed=3, resamples=4000)
    assert (answers.sum(axis=1) == 100).all() and (actual.sum(axis=1) == 100).all()
    assert (hits <= np.minimum(answers, actual)).all()
    of_class, answered = y[:, None] == range(3), predicted[:, None] == range(3)
    right = of_class & (y == predicted)[:, None]
    for counts, of_rows in ((hits, right), (actual, of_class), (answers, answered)):
        by_rows = 100 * resampled_means(of_rows.astype(float), seed=4, resamples=4000)
        np.testing.assert_allclose(counts.mean(axis=0), by_rows.mean(axis=0), atol=0.4)
        np.testing.assert_allclose(counts.std(axis=0), by_rows.std(axis=0), rtol=0.06)


def test_very_large_splits_get_fewer_resamples_but_never_below_200() -> None:
    assert len(resampled_means(np.zeros((60_000, 1)), resamples=1000)) == 333
    assert len(resampled_means(np.zeros((150_000, 1)), resamples=1000)) == 200


def test_percentile_leaves_out_what_is_not_defined() -> None:
    assert percentile(np.array([np.nan, 1.0, np.nan])) == (1.0, 1.0)
    assert np.isnan(percentile(np.array([np.nan]))).all()


def test_the_bootstrap_covers_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    covered = 0
    for seed in range(300):
        low, high = percentile(resampled_means(rng.normal(size=(80, 1)), seed)[:, 0])
        covered += low <= 0 <= high
    assert 0.90 < covered / 300 < 0.98
