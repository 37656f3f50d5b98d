"""Chi-square test of homogeneity for counts, with rare cells pooled; Fisher's exact test where too little is left."""

from __future__ import annotations

import numpy as np
from scipy import stats

MIN_EXPECTED = 5.0  # the usual bound under which the chi-square approximation is not trusted (Cochran 1954)


def homogeneity(reference: np.ndarray, current: np.ndarray) -> tuple[str, float, float]:
    """Do two rows of counts come from one distribution?

    Which cells are pooled depends on their totals only, never on which sample a row came from, so the error rate holds.

    Args:
        reference: (K,) counts.
        current: (K,) counts of the same cells.

    Returns:
        Name of the test (``chi-square``, ``fisher-exact`` or ``none``), statistic, p-value.

    >>> homogeneity(np.array([50, 50]), np.array([30, 70]))[0]
    'chi-square'
    >>> homogeneity(np.array([40, 0]), np.array([20, 0]))
    ('none', 0.0, 1.0)
    """
    table = np.array([reference, current], dtype=np.int64)
    table = table[:, table.sum(axis=0) > 0]
    if table.shape[1] < 2 or (table.sum(axis=1) == 0).any():
        return "none", 0.0, 1.0
    pooled = pool_rare(table)
    if pooled.shape[1] >= 2:
        result = stats.chi2_contingency(pooled, correction=False)
        return "chi-square", float(result.statistic), float(result.pvalue)
    largest = int(table.sum(axis=0).argmax())
    halves = np.column_stack([table[:, largest], np.delete(table, largest, axis=1).sum(axis=1)])
    odds, p_value = stats.fisher_exact(halves)
    return "fisher-exact", float(odds) if np.isfinite(odds) else 0.0, float(p_value)


def pool_rare(table: np.ndarray) -> np.ndarray:
    """Merge cells until each is expected at least `MIN_EXPECTED` times in the smaller sample.

    Args:
        table: (2, K) counts without empty columns.

    Returns:
        (2, k) counts with the same row sums, k <= K.
    """
    totals = table.sum(axis=0)
    expected = totals * table.sum(axis=1).min() / table.sum()
    rare = expected < MIN_EXPECTED
    kept, rest = table[:, ~rare], table[:, rare].sum(axis=1)
    if expected[rare].sum() >= MIN_EXPECTED:
        return np.column_stack([kept, rest])
    if kept.shape[1] >= 1:
        smallest = int(kept.sum(axis=0).argmin())
        kept = kept.copy()
        kept[:, smallest] += rest
    return kept
