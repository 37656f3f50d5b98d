"""How large a change is, apart from how sure we are of it."""

from __future__ import annotations

import functools

import numpy as np
from scipy import stats


def jensen_shannon(reference: np.ndarray, current: np.ndarray) -> float:
    """Jensen-Shannon distance of two rows of counts: 0 for equal shares, 1 for nothing in common (Lin 1991, base 2).

    >>> jensen_shannon(np.array([5, 5]), np.array([50, 50])), jensen_shannon(np.array([9, 0]), np.array([0, 9]))
    (0.0, 1.0)
    """
    if reference.sum() == 0 or current.sum() == 0:
        return 0.0
    p, q = reference / reference.sum(), current / current.sum()
    middle = (p + q) / 2
    divergence = (_relative_entropy(p, middle) + _relative_entropy(q, middle)) / 2
    return float(np.sqrt(min(max(divergence, 0.0), 1.0)))


def psi(reference: np.ndarray, current: np.ndarray) -> float:
    """Population stability index, sum of (q - p) ln(q / p), half a row added to each cell so that it is finite."""
    p = (reference + 0.5) / (reference + 0.5).sum()
    q = (current + 0.5) / (current + 0.5).sum()
    return float(np.sum((q - p) * np.log(q / p)))


def psi_critical(cells: int, n: int, m: int, alpha: float) -> float:
    """The index that unchanged data exceeds with probability ``alpha``: (1/n + 1/m) times a chi-square quantile.

    >>> round(psi_critical(10, 1000, 1000, 0.05), 4)
    0.0338
    """
    if cells < 2 or n == 0 or m == 0:
        return 0.0
    return _chi_square_quantile(alpha, cells - 1) * (1 / n + 1 / m)


def separation(before: np.ndarray, now: np.ndarray) -> float:
    """Cliff's delta, P(before > now) - P(before < now): 0 when scores do not tell the samples apart, 1 when fully."""
    ordered = np.sort(now)
    below = np.searchsorted(ordered, before, side="left").sum()
    above = (len(now) - np.searchsorted(ordered, before, side="right")).sum()
    return float((below - above) / (len(before) * len(now)))


@functools.lru_cache(maxsize=256)
def _chi_square_quantile(alpha: float, freedom: int) -> float:
    return float(stats.chi2.isf(alpha, freedom))


def _relative_entropy(p: np.ndarray, q: np.ndarray) -> float:
    positive = p > 0
    return float(np.sum(p[positive] * np.log2(p[positive] / q[positive])))
