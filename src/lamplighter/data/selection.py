"""Feature selection for tables: which columns say most about the target, judged on the training rows alone.

The choice is part of what a source fits: every fold of a cross-validation makes its own. Columns that are not chosen
leave the signature and the bundle; serving needs nothing from here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from lamplighter.core import seeding
from lamplighter.data.tables.encodings import Category

_ROWS = 10_000
_NEIGHBOURS = 3
_DAY = np.float64(86_400_000_000)  # microseconds


class Select(BaseModel):
    """``{method: mutual-info, keep: 20}``: the 20 columns with the highest score."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    keep: Annotated[int, Field(gt=0, description="columns that stay; all of them when there are fewer")]
    method: Annotated[
        Literal["mutual-info", "f-test"],
        Field(description="mutual-info finds any dependence; f-test only a shift of means, but needs fewer rows"),
    ] = "mutual-info"


@dataclass(frozen=True)
class _View:
    """One way to look at a column: numbers, or codes of categories; ``rows`` are those it speaks of."""

    values: np.ndarray
    discrete: bool
    rows: np.ndarray


def choose(scores: Mapping[str, float], keep: int) -> list[str]:
    """Names of the highest scores, in their original order; of equals the first.

    >>> choose({"a": 0.1, "b": 2.0, "c": 0.7}, keep=2)
    ['b', 'c']
    """
    names = list(scores)
    best = sorted(range(len(names)), key=lambda position: (-scores[names[position]], position))[:keep]
    return [names[position] for position in sorted(best)]


def score(
    columns: Mapping[str, np.ndarray],
    kinds: Mapping[str, str],
    target: np.ndarray,
    train: np.ndarray,
    method: Literal["mutual-info", "f-test"] = "mutual-info",
    max_categories: int = 50,
    seed: int = 0,
) -> dict[str, float]:
    """How much each column says about the target.

    ``f-test``: minus the logarithm of a p-value. Numbers against classes: one-way analysis of variance; against
    numbers: the F test of the correlation. Categories against classes: Pearson's chi-squared test; against numbers:
    analysis of variance of the target.

    ``mutual-info``, in nats: with numbers, the nearest-neighbour estimates of Kraskov et al. (2004) and Ross (2014) as
    scikit-learn has them, from at most 10,000 rows; categories against classes: counts with the Miller-Madow
    correction, without which a column of many categories always looks informative.

    Blanks are left out, and being blank is looked at as a category of its own; dates are looked at as days, months and
    weekdays. The best of these counts (a p-value times their number).

    Args:
        columns: name -> array of all rows as `lamplighter.data.tables.kinds.typed` makes it.
        kinds: name -> ``numeric``, ``category``, ``boolean`` or ``date``.
        target: (rows,) int64 classes or floating point numbers.
        train: int64 positions of the training rows; no other row is looked at.
        method: see above.
        max_categories: the rest of a larger vocabulary counts as one category.
        seed: of the ties that the nearest-neighbour estimate breaks, and of the 10,000 rows.

    Returns:
        Name -> score, in the order of ``columns``.
    """
    if method == "mutual-info" and len(train) > _ROWS:
        train = np.sort(seeding.generator(seed, "selection").choice(train, _ROWS, replace=False))
    y = target[train]
    views = {
        name: _views(name, column[train], kinds[name], max_categories, np.arange(len(train)))
        for name, column in columns.items()
    }
    if method == "f-test":
        tests = [(name, *_test(view, y)) for name, found in views.items() for view in found]
        best = dict.fromkeys(views, 0.0)
        for (name, *_), log_p in zip(tests, _log_p(tests)):
            best[name] = max(best[name], -log_p - math.log(len(views[name])))
        return best
    return _information(views, y, seeding.derive(seed, "selection") % 2**32)


def _views(name: str, column: np.ndarray, kind: str, max_categories: int, rows: np.ndarray) -> list[_View]:
    if kind == "category":
        codes = Category.fit(name, column, rows, max_categories).codes(column)
        return [_View(codes, True, rows)]
    if kind == "boolean":
        return [_View(np.where(np.isnan(column), 2, np.nan_to_num(column)).astype(np.int64), True, rows)]
    blank = np.isnat(column) if kind == "date" else np.isnan(column)
    present = rows[~blank]
    given = column[present]
    numbers = given if kind == "numeric" else given.astype("datetime64[us]").astype(np.int64) / _DAY
    views = [_View(numbers, False, present)]
    if kind == "date":
        months = given.astype("datetime64[M]").astype(np.int64) % 12
        weekdays = (given.astype("datetime64[D]").astype(np.int64) + 3) % 7
        views += [_View(months, True, present), _View(weekdays, True, present)]
    return [*views, _View(blank.astype(np.int64), True, rows)] if blank.any() else views


def _log_p(tests: Sequence[tuple[str, float, float, float]]) -> list[float]:
    """Natural logarithms of the p-values of `_test` results (name first); 0 where there was nothing to test."""
    from scipy import stats

    statistic, first, second = np.array([test[1:] for test in tests]).reshape(-1, 3).T
    found = np.zeros(len(statistic))
    chi2, f = np.isinf(second), np.isfinite(second) & (second > 0)
    found[chi2] = stats.chi2.logsf(statistic[chi2], first[chi2])
    found[f] = stats.f.logsf(statistic[f], first[f], second[f])
    return [float(value) for value in found]


def _test(view: _View, y: np.ndarray) -> tuple[float, float, float]:
    """Statistic and degrees of freedom: two of an F test, or one and infinity of chi-squared; zeros for no test."""
    x, y = view.values, y[view.rows]
    classes = np.issubdtype(y.dtype, np.integer)
    if view.discrete and classes:
        counts = _counts(x, y)
        freedom = (counts.shape[0] - 1) * (counts.shape[1] - 1)
        if not counts.size or not freedom:
            return 0.0, 0.0, 0.0
        expected = np.outer(counts.sum(axis=1), counts.sum(axis=0)) / counts.sum()
        return float(((counts - expected) ** 2 / expected).sum()), float(freedom), math.inf
    if not view.discrete and not classes:
        n, explained = len(y), _squared_correlation(x, y)
        if n < 3 or math.isnan(explained):
            return 0.0, 0.0, 0.0
        return (explained * (n - 2) / (1 - explained) if explained < 1 else math.inf), 1.0, n - 2.0
    numbers, groups = (y, x) if view.discrete else (x, y)
    between, within, k = _variance(numbers, groups)
    n = len(numbers)
    if k < 2 or n <= k or between + within <= 0:
        return 0.0, 0.0, 0.0
    return (between / (k - 1) / (within / (n - k)) if within > 0 else math.inf), k - 1.0, float(n - k)


def _variance(numbers: np.ndarray, groups: np.ndarray) -> tuple[float, float, int]:
    """Sum of squares between and within groups, and how many groups there are."""
    codes = np.unique(groups, return_inverse=True)[1].reshape(-1)
    if not len(codes):
        return 0.0, 0.0, 0
    centred = numbers - numbers.mean()
    count = np.bincount(codes)
    means = np.bincount(codes, weights=centred) / count
    return float((count * means**2).sum()), float(((centred - means[codes]) ** 2).sum()), len(count)


def _squared_correlation(x: np.ndarray, y: np.ndarray) -> float:
    """NaN when one of them does not vary."""
    if len(x) < 2 or x.min() == x.max() or y.min() == y.max():
        return math.nan
    u, v = x - x.mean(), y - y.mean()
    u, v = u / np.abs(u).max(), v / np.abs(v).max()
    return float(min(1.0, (u @ v) ** 2 / ((u @ u) * (v @ v))))


def _information(views: dict[str, list[_View]], y: np.ndarray, seed: int) -> dict[str, float]:
    """Mutual information of the best view of each column; whole columns of numbers are computed together."""
    whole = [name for name, found in views.items() if len(found) == 1 and not found[0].discrete]
    found = {}
    if whole:
        x = np.stack([views[name][0].values for name in whole], axis=1)
        found = dict(zip(whole, _nearest_neighbours(x, y, False, seed)))
    for name in views.keys() - found.keys():
        found[name] = max(_of_view(view, y[view.rows], seed) for view in views[name])
    return {name: float(found[name]) for name in views}


def _of_view(view: _View, y: np.ndarray, seed: int) -> float:
    if view.discrete and np.issubdtype(y.dtype, np.integer):
        counts = _counts(view.values, y)
        n = counts.sum()
        if not n:
            return 0.0
        cells = counts[counts > 0] / n
        sums = counts.sum(axis=1) / n, counts.sum(axis=0) / n
        plain = sum(-(share * np.log(share)).sum() for share in sums) + (cells * np.log(cells)).sum()
        return float(plain + (len(sums[0]) + len(sums[1]) - len(cells) - 1) / (2 * n))
    return float(_nearest_neighbours(view.values[:, None].astype(np.float64), y, view.discrete, seed)[0])


def _nearest_neighbours(x: np.ndarray, y: np.ndarray, discrete: bool, seed: int) -> np.ndarray:
    from sklearn.feature_selection import mutual_info_classif, mutual_info_regression

    estimate = mutual_info_classif if np.issubdtype(y.dtype, np.integer) else mutual_info_regression
    if len(x) <= _NEIGHBOURS:
        return np.zeros(x.shape[1])
    found = estimate(x, y, discrete_features=discrete, n_neighbors=_NEIGHBOURS, random_state=seed)
    return np.where(x.min(axis=0) == x.max(axis=0), 0.0, found)  # the estimate of a constant is not always 0


def _counts(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(categories, classes) that occur."""
    rows, columns = (np.unique(codes, return_inverse=True)[1].reshape(-1) for codes in (x, y))
    counts = np.zeros((int(rows.max(initial=-1)) + 1, int(columns.max(initial=-1)) + 1))
    np.add.at(counts, (rows, columns), 1)
    return counts
