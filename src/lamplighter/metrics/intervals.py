"""Confidence intervals: Wilson's for proportions, the seeded percentile bootstrap for everything else.

The bootstrap here never touches a metric's own code row by row: it resamples sums. A mean of per-row numbers is a
weighted sum of them; a metric of the confusion matrix needs the matrix only, whose resample is one multinomial draw.
"""

from __future__ import annotations

from collections.abc import Iterator
from statistics import NormalDist

import numpy as np

from lamplighter.core import seeding

RESAMPLES = 1000
_DRAWS = 2 * 10**7  # rows drawn at most, all resamples together: bounds the time for very large splits
_BLOCK = 2**21  # rows drawn at a time: bounds the memory


def wilson(successes: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval (1927) of a proportion; sensible for few rows, and at 0 and 1.

    With z the normal quantile: centre (p + z^2 / 2n) / (1 + z^2 / n), half width
    z sqrt(p (1 - p) / n + z^2 / 4n^2) / (1 + z^2 / n).

    Returns:
        low, high in [0, 1]; (0, 1) when n is 0: nothing is known.

    >>> low, high = wilson(95, 100)
    >>> round(low, 4), round(high, 4)
    (0.8882, 0.9785)
    """
    if n == 0:
        return 0.0, 1.0
    z = NormalDist().inv_cdf((1 + level) / 2)
    p = successes / n
    shrink = 1 + z * z / n
    centre = (p + z * z / (2 * n)) / shrink
    half = z * ((p * (1 - p) / n + z * z / (4 * n * n)) ** 0.5) / shrink
    return (0.0 if successes == 0 else centre - half), (1.0 if successes == n else centre + half)


def resampled_means(values: np.ndarray, seed: int = 0, resamples: int = RESAMPLES) -> np.ndarray:
    """Column means of rows drawn with replacement.

    Args:
        values: (N, F) float, N > 0.
        seed: of the run.
        resamples: B; fewer, but never below 200, when B N would pass twenty million.

    Returns:
        (B, F) float64.

    >>> means = resampled_means(np.array([[0.0, 5.0], [1.0, 5.0]]), resamples=400)
    >>> means.shape, float(means[:, 1].min()), bool(0.4 < means[:, 0].mean() < 0.6)
    ((400, 2), 5.0, True)
    """
    n = len(values)
    values = np.asarray(values, dtype=np.float64)
    rng = seeding.generator(seed, "bootstrap rows")
    blocks, done, total = [], 0, bounded(resamples, n)
    while done < total:
        rows = min(total - done, max(1, _BLOCK // n))
        drawn = rng.integers(n, size=(rows, n), dtype=np.int32 if n < 2**31 else np.int64)
        drawn = drawn + np.arange(rows)[:, None] * n
        times = np.bincount(drawn.ravel(), minlength=rows * n).reshape(rows, n)
        blocks.append(times.astype(np.float64) @ values / n)
        done += rows
    return np.concatenate(blocks)


def resampled_counts(
    confusion: np.ndarray, seed: int = 0, resamples: int = RESAMPLES
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Per-class counts of confusion matrices of rows drawn with replacement.

    Drawing N rows anew and counting their cells is one draw from a multinomial over the cells, so that is what is done.

    Args:
        confusion: (K, K) counts, at least one.

    Returns:
        hits, predicted, actual: each (B, K) int64.
    """
    k, n = len(confusion), int(confusion.sum())
    truth, answer = np.nonzero(confusion)
    share = confusion[truth, answer] / n
    rng = seeding.generator(seed, "bootstrap cells")
    drawn = rng.multinomial(n, share, size=bounded(resamples, len(share)))
    hits, predicted, actual = (np.zeros((len(drawn), k), dtype=np.int64) for _ in range(3))
    for cell, (i, j) in enumerate(zip(truth, answer)):
        actual[:, i] += drawn[:, cell]
        predicted[:, j] += drawn[:, cell]
        if i == j:
            hits[:, i] += drawn[:, cell]
    return hits, predicted, actual


def percentile(resampled: np.ndarray, level: float = 0.95) -> tuple[float, float]:
    """The middle ``level`` of resampled values; undefined ones are left out. NaN, NaN if none is left.

    >>> percentile(np.arange(101.0), level=0.5)
    (25.0, 75.0)
    """
    kept = resampled[~np.isnan(resampled)]
    if not kept.size:
        return float("nan"), float("nan")
    low, high = np.quantile(kept, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def resampled_matrices(confusion: np.ndarray, seed: int = 0, resamples: int = RESAMPLES) -> Iterator[np.ndarray]:
    """B confusion matrices of rows drawn with replacement, (K, K) int64 each, one after the other.

    Args:
        confusion: (K, K) counts, at least one.
    """
    truth, answer = np.nonzero(confusion)
    n = int(confusion.sum())
    share = confusion[truth, answer] / n
    rng = seeding.generator(seed, "bootstrap cells")
    for _ in range(bounded(resamples, len(share))):
        drawn = np.zeros(confusion.shape, dtype=np.int64)
        drawn[truth, answer] = rng.multinomial(n, share)
        yield drawn


def bounded(resamples: int, size: int) -> int:
    """Resamples to draw of something of this size: at most twenty million draws, but 200 resamples at least."""
    return min(resamples, max(200, _DRAWS // max(size, 1)))
