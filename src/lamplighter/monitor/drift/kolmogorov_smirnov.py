"""Two-sample Kolmogorov-Smirnov test for many columns at once, and the Wasserstein distance from the same sort.

Both samples of a column are sorted together as 64-bit integers: the bits of a float64, rearranged so that integers
sort as the floats do, with the lowest bit telling the sample. That makes one plain sort of what is usually an
argsort, at the price that doubles which differ in the last bit only count as ties.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

BLOCK = 16  # columns sorted together: the working set stays in the cache
_TOP = np.uint64(1 << 63)
_LOW = np.uint64(1)
_NAN = np.uint64(2**64 - 1)


@dataclass(frozen=True)
class Comparison:
    """Both samples of D columns, compared. NaN counts as missing.

    Attributes:
        statistic: (D,) largest difference of the two empirical distribution functions.
        scaled: (D,) the same times ``n * m``: an exact integer.
        wasserstein: (D,) area between the distribution functions, in standard deviations of the reference (of both
            samples together where the reference is constant).
        distinct: (D,) different values in both samples together.
        n: (D,) values present in the reference.
        m: (D,) values present now.
    """

    statistic: np.ndarray
    scaled: np.ndarray
    wasserstein: np.ndarray
    distinct: np.ndarray
    n: np.ndarray
    m: np.ndarray


def compare(reference: np.ndarray, current: np.ndarray) -> Comparison:
    """Compare column by column.

    Args:
        reference: (R, D).
        current: (N, D).

    >>> found = compare(np.array([[1.0], [2], [3], [4]]), np.array([[3.0], [4], [5], [6]]))
    >>> found.statistic.tolist(), found.distinct.tolist()
    ([0.5], [6])
    """
    parts = [
        _compare_block(reference[:, start : start + BLOCK], current[:, start : start + BLOCK])
        for start in range(0, reference.shape[1], BLOCK)
    ]
    empty = np.empty(0)
    columns = [np.concatenate(part) for part in zip(*parts)] if parts else [empty] * 6
    return Comparison(*columns)


def p_values(found: Comparison, reference: np.ndarray, current: np.ndarray) -> np.ndarray:
    """P-values (D,): exact up to 10,000 rows, asymptotic beyond (Hodges 1958, as scipy computes them).

    The p-value depends on the two counts and the statistic alone, so scipy is asked once for each combination.
    """
    result = np.ones(len(found.statistic))
    known: dict[tuple[int, int, int], float] = {}
    for j, key in enumerate(zip(found.n.tolist(), found.m.tolist(), found.scaled.tolist())):
        if key not in known:
            before, now = reference[:, j], current[:, j]
            known[key] = _p_value(before[~np.isnan(before)], now[~np.isnan(now)], float(found.statistic[j]))
        result[j] = known[key]
    return result


def _p_value(before: np.ndarray, now: np.ndarray, statistic: float) -> float:
    if len(before) == 0 or len(now) == 0:
        return 1.0
    asymptotic = float(stats.kstwo.sf(statistic, round(len(before) * len(now) / (len(before) + len(now)))))
    if asymptotic > 1 - 1e-12:  # scipy's exact sum comes out above 1 here; it warns and takes this value, too
        return asymptotic
    return float(stats.ks_2samp(before, now).pvalue)


def _compare_block(reference: np.ndarray, current: np.ndarray) -> tuple[np.ndarray, ...]:
    values = np.concatenate([reference.T, current.T], axis=1) + 0.0  # + 0.0 turns -0.0 into 0.0
    labels = np.zeros(values.shape[1], dtype=np.uint64)
    labels[: len(reference)] = 1
    missing = np.isnan(values)
    n = len(reference) - missing[:, : len(reference)].sum(axis=1)
    m = len(current) - missing[:, len(reference) :].sum(axis=1)
    scale = np.max(np.abs(values), axis=1, where=np.isfinite(values), initial=0.0)
    deviation = _deviation(values / np.where(scale > 0, scale, 1)[:, None], len(reference))

    keys = np.sort(np.where(missing, _NAN, (_sortable(values) & ~_LOW) | labels), axis=1)
    present = np.arange(keys.shape[1]) < (n + m)[:, None]
    steps = np.where((keys & _LOW).astype(bool), m[:, None], -n[:, None])
    gap = np.abs(np.cumsum(np.where(present, steps, 0), axis=1))  # n * m * |F - G| at and after each value
    codes = keys | _LOW
    last = np.ones(keys.shape, dtype=bool)  # the last of its ties: only there both functions have finished stepping
    last[:, :-1] = codes[:, :-1] != codes[:, 1:]
    last &= present
    scaled = np.where(last, gap, 0).max(axis=1)
    area = _area(keys, gap, last, scale)
    pairs = np.maximum(n * m, 1)
    effect = np.divide(area / pairs, deviation, out=np.zeros(len(area)), where=(deviation > 0) & (n * m > 0))
    return scaled / pairs, scaled, effect, last.sum(axis=1), n, m


def _sortable(values: np.ndarray) -> np.ndarray:
    """Unsigned integers that sort as the float64 values do."""
    bits = values.view(np.uint64)
    return np.where(bits & _TOP, ~bits, bits | _TOP)


def _area(keys: np.ndarray, gap: np.ndarray, last: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Sum of gap times distance to the next value, on values divided by ``scale`` (infinities at twice the range)."""
    codes = keys & ~_LOW
    values = np.where(codes & _TOP, codes & ~_TOP, ~codes).view(np.float64)
    values = np.where(np.isnan(values), 0, values) / np.where(scale > 0, scale, 1)[:, None]
    values = np.clip(values, -2, 2)
    width = np.where(last[:, :-1], np.diff(values, axis=1), 0)
    return (gap[:, :-1] * width).sum(axis=1)


def _deviation(values: np.ndarray, n_reference: int) -> np.ndarray:
    """Standard deviation of the finite reference values; of all finite values where that is zero."""
    reference = _std(values[:, :n_reference])
    return np.where(reference > 1e-12, reference, _std(np.clip(values, -2, 2)))


def _std(values: np.ndarray) -> np.ndarray:
    finite = np.isfinite(values)
    count = np.maximum(finite.sum(axis=1), 1)
    filled = np.where(finite, values, 0)
    centred = np.where(finite, values - (filled.sum(axis=1) / count)[:, None], 0)
    result: np.ndarray = np.sqrt((centred**2).sum(axis=1) / count)
    return result
