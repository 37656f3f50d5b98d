"""Small histograms of one column, then and now, for people to look at."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np

from lamplighter.monitor.drift.baseline import Baseline, histogram

BINS = 20
MAX_CATEGORIES = 12


def histograms(baseline: Baseline, j: int, current: np.ndarray) -> dict[str, Any] | None:
    """Shares of column ``j`` in a few bins.

    Args:
        baseline: the reference.
        j: which column.
        current: (N,) its values now.

    Returns:
        ``names`` of the bins, shares ``reference`` and ``current`` of the values that are present; None when the
        reference does not know the column.
    """
    column = baseline.columns[j]
    if column.kind == "category":
        return _categories(baseline, j, current)
    if baseline.rows is not None:
        edges = _even_edges(baseline.rows[:, j], current)
        before = histogram(baseline.rows[:, j], edges)
    else:
        known = baseline.counts[j]
        if known is None:
            return None
        edges, before = baseline.edges[j], known
    bounds = [plain(float(edge)) for edge in edges]
    between = [f"{low} to {high}" for low, high in itertools.pairwise(bounds)]
    names = [f"below {bounds[0]}", *between, f"from {bounds[-1]}"] if bounds else ["all"]
    return {
        "names": names,
        "reference": _shares(before[:-1]),
        "current": _shares(histogram(current, edges)[:-1]),
    }


def plain(value: float) -> str:
    """A number with at least four significant digits, thousands apart, and an exponent only where it is huge or tiny.

    >>> [plain(value) for value in (10529.6, 1234.5, 12.3456, -0.5, 0.0, 3e-7)]
    ['10,530', '1,234', '12.35', '-0.5', '0', '3e-07']
    """
    if value and not 1e-4 <= abs(value) < 1e15:
        return f"{value:.4g}"
    decimals = max(0, 3 - math.floor(math.log10(abs(value)))) if value else 0
    text = f"{value:,.{decimals}f}"
    return text.rstrip("0").rstrip(".") if decimals else text


def _categories(baseline: Baseline, j: int, current: np.ndarray) -> dict[str, Any] | None:
    known = baseline.counts[j]
    if known is None:
        return None
    before, now = _shares(known), _shares(baseline.cells(j, current))
    names = [*baseline.columns[j].categories, "(unseen)", "(missing)"]
    commonest = sorted(range(len(names)), key=lambda i: -max(before[i], now[i]))[:MAX_CATEGORIES]
    order = [i for i in sorted(commonest) if before[i] or now[i]]
    return {
        "names": [names[i] for i in order],
        "reference": [before[i] for i in order],
        "current": [now[i] for i in order],
    }


def _even_edges(before: np.ndarray, now: np.ndarray) -> np.ndarray:
    """Edges of equal bins over the middle 98% of both samples; what lies outside falls into the outer bins."""
    spans = [np.quantile(v, [0.01, 0.99]) for values in (before, now) if (v := values[np.isfinite(values)]).size]
    if not spans:
        return np.empty(0)
    low, high = min(s[0] for s in spans), max(s[1] for s in spans)
    if not low < high:
        return np.array([low])
    return np.linspace(low, high, BINS + 1)[1:-1]


def _shares(counts: np.ndarray) -> list[float]:
    total = max(int(counts.sum()), 1)
    return [round(int(count) / total, 5) for count in counts]
