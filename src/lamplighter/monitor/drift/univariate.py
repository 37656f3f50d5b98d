"""Every column by itself: finds a large change in few columns, and says which."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import Field

from lamplighter.monitor.drift import effect, kolmogorov_smirnov
from lamplighter.monitor.drift.baseline import Baseline
from lamplighter.monitor.drift.chi_square import homogeneity
from lamplighter.monitor.drift.kolmogorov_smirnov import Comparison
from lamplighter.monitor.drift.verdict import FeatureDrift, Finding

Test = tuple[str, float, float]


class Univariate:
    """Kolmogorov-Smirnov for numeric columns, chi-square for categories, Bonferroni over all of them.

    A numeric column with few different values is tested as a category: Kolmogorov-Smirnov is much too careful with
    ties (it rejects 1.2% instead of 5% with five values). Where values are missing, their share is a second test of
    the column. Columns in which nothing varies do not count as tests. All these choices look at both samples
    together, never at which row came from which, so they leave the error rate alone.

    With a reference of histograms only, numeric columns are tested by chi-square on its bins.

    Args:
        max_distinct: numeric columns with at most this many different values are tested by chi-square.
    """

    def __init__(self, max_distinct: Annotated[int, Field(ge=2, le=100)] = 10) -> None:
        self.max_distinct = max_distinct

    def __call__(self, reference: Baseline, current: np.ndarray, alpha: float, seed: int) -> Finding:
        tests, effects = self._tests(reference, current)
        family = sum(any(name != "none" for name, _, _ in column) for column in tests)
        if family == 0:
            return Finding(1.0, 0.0, skipped="nothing varies in any column")
        features = tuple(
            _feature(reference, j, current[:, j], tests[j], effects[j], family, alpha)
            for j in range(len(reference.columns))
        )
        worst = min(features, key=lambda feature: feature.corrected_p)
        return Finding(worst.corrected_p, worst.effect, features)

    def _tests(self, reference: Baseline, current: np.ndarray) -> tuple[list[list[Test]], list[float]]:
        """Tests and effect of every column."""
        tests: list[list[Test]] = [[] for _ in reference.columns]
        effects = [0.0] * len(tests)
        numeric = [j for j, column in enumerate(reference.columns) if column.kind == "numeric"]
        if reference.rows is not None and numeric:
            before, now = reference.rows[:, numeric], current[:, numeric]
            found = kolmogorov_smirnov.compare(before, now)
            p_values = kolmogorov_smirnov.p_values(found, before, now)
            for i, j in enumerate(numeric):
                tests[j] = [self._numeric(found, i, before[:, i], now[:, i], float(p_values[i]))]
                tests[j] += _missing(len(before) - found.n[i], found.n[i], len(now) - found.m[i], found.m[i])
                gap = abs((1 - found.n[i] / len(before)) - (1 - found.m[i] / len(now)))
                effects[j] = max(float(found.wasserstein[i]), float(gap))
        for j, column in enumerate(reference.columns):
            if not tests[j]:
                cells = _cells(reference, j, current[:, j])
                if cells is not None:
                    tests[j] = _by_cells(column.kind == "numeric", *cells)
                    effects[j] = effect.jensen_shannon(*cells)
        return tests, effects

    def _numeric(self, found: Comparison, i: int, before: np.ndarray, now: np.ndarray, p_value: float) -> Test:
        if found.distinct[i] <= self.max_distinct:
            return homogeneity(*_codes(before[~np.isnan(before)], now[~np.isnan(now)]))
        if found.n[i] == 0 or found.m[i] == 0:
            return "none", 0.0, 1.0
        return "kolmogorov-smirnov", float(found.statistic[i]), p_value


def _missing(reference_gone: int, reference_here: int, current_gone: int, current_here: int) -> list[Test]:
    """The test of the share of missing values, when there are any."""
    if reference_gone + current_gone == 0:
        return []
    name, statistic, p_value = homogeneity(
        np.array([reference_here, reference_gone]), np.array([current_here, current_gone])
    )
    return [("none" if name == "none" else "missing-share", statistic, p_value)]


def _by_cells(numeric: bool, before: np.ndarray, now: np.ndarray) -> list[Test]:
    """Tests of a column of which cells are counted; the last cell holds missing values."""
    if not numeric:
        return [homogeneity(before, now)]
    missing = _missing(int(before[-1]), int(before[:-1].sum()), int(now[-1]), int(now[:-1].sum()))
    return [homogeneity(before[:-1], now[:-1]), *missing]


def _cells(reference: Baseline, j: int, now: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """Counts of the same cells before and now; None when the reference does not know the column."""
    known = reference.counts[j]
    if known is not None:
        return known, reference.cells(j, now)
    if reference.rows is None:
        return None
    before = reference.rows[:, j]
    cells = _codes(before[~np.isnan(before)], now[~np.isnan(now)])
    return np.append(cells[0], np.isnan(before).sum()), np.append(cells[1], np.isnan(now).sum())


def _codes(before: np.ndarray, now: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Counts of every value that occurs in either sample."""
    values, codes = np.unique(np.concatenate([before, now]), return_inverse=True)
    counts = np.bincount(codes[: len(before)], minlength=len(values))
    return counts, np.bincount(codes[len(before) :], minlength=len(values))


def _feature(
    reference: Baseline, j: int, now: np.ndarray, tests: list[Test], size: float, family: int, alpha: float
) -> FeatureDrift:
    """Fold the tests of one column into one entry; two tests of a column share its part of alpha."""
    ran = [test for test in tests if test[0] != "none"]
    name, statistic, p_value = min(ran, key=lambda test: test[2]) if ran else ("none", 0.0, 1.0)
    p_value = min(1.0, p_value * max(len(ran), 1))
    cells = _cells(reference, j, now)
    index = critical = missing_before = 0.0
    if cells is not None:
        used = int(((cells[0] + cells[1]) > 0).sum())
        n, m = int(cells[0].sum()), int(cells[1].sum())
        index, critical = effect.psi(*cells), effect.psi_critical(used, n, m, alpha / family)
        missing_before = float(cells[0][-1] / n) if n else 0.0
    return FeatureDrift(
        name=reference.columns[j].name,
        test=name,
        statistic=statistic,
        p_value=p_value,
        corrected_p=min(1.0, p_value * family),
        effect=size,
        psi=index,
        psi_critical=critical,
        missing_reference=missing_before,
        missing_current=float(np.isnan(now).mean()) if len(now) else 0.0,
    )
