"""What the scores of several folds say: mean, spread, and an interval that knows that folds share training rows."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from lamplighter.core import registry
from lamplighter.core.errors import DataError
from lamplighter.metrics.score import Score


@dataclass(frozen=True)
class FoldedScore:
    """One metric over all folds.

    Attributes:
        name: of the metric.
        values: one for each fold, in order.
        mean: of the values.
        sd: their standard deviation (n - 1).
        low: lower end of the 95% interval.
        high: upper end.
        n: held-out rows of all folds together.
    """

    name: str
    values: tuple[float, ...]
    mean: float
    sd: float
    low: float
    high: float
    n: int

    def score(self) -> Score:
        """Mean and interval in the form that every other score has."""
        return Score(value=self.mean, n=self.n, low=self.low, high=self.high)

    def __str__(self) -> str:
        return f"{self.mean:.4f} (95% interval {self.low:.4f} to {self.high:.4f}, sd {self.sd:.4f})"


def corrected_interval(
    values: Sequence[float], trained: Sequence[int], held_out: Sequence[int], level: float = 0.95
) -> tuple[float, float]:
    """Corrected resampled t interval (Nadeau and Bengio 2003) of the expected score.

    With J folds, mean m, variance s^2 (J - 1) and rho the mean of held-out over training rows::

        m +- t(J - 1) * sqrt((1 / J + rho) * s^2)

    The plain t interval leaves rho out; since folds share training rows it is much too narrow.

    Args:
        values: scores of the folds, at least two.
        trained: rows that each fold's training had (to fit and to choose).
        held_out: rows that each fold was judged on.
        level: coverage.

    Raises:
        DataError: fewer than two folds.

    >>> low, high = corrected_interval([0.8, 0.9, 0.85, 0.95, 0.9], [80] * 5, [20] * 5)
    >>> round(low, 4), round(high, 4)
    (0.7738, 0.9862)
    """
    from scipy import stats

    folds = len(values)
    if folds < 2:
        raise DataError(f"an interval needs the scores of at least two folds, not {folds}")
    mean = math.fsum(values) / folds
    variance = math.fsum((value - mean) ** 2 for value in values) / (folds - 1)
    rho = math.fsum(judged / seen for judged, seen in zip(held_out, trained)) / folds
    half = float(stats.t.ppf((1 + level) / 2, folds - 1)) * math.sqrt((1 / folds + rho) * variance)
    return mean - half, mean + half


def summarise(
    scores: Sequence[dict[str, Score]], trained: Sequence[int], held_out: Sequence[int]
) -> dict[str, FoldedScore]:
    """`FoldedScore` of every metric that all folds define.

    Intervals end where the metric does: an accuracy is not above 1.

    Args:
        scores: of each fold on its held-out rows.
        trained: rows that each fold's training had.
        held_out: rows that each fold was judged on.
    """
    found = {}
    for name in scores[0]:
        if not all(name in each for each in scores):
            continue
        values = tuple(each[name].value for each in scores)
        low, high = corrected_interval(values, trained, held_out)
        mean = math.fsum(values) / len(values)
        sd = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1))
        least, greatest = _bounds(name)
        low, high = max(least, low), min(greatest, high)
        found[name] = FoldedScore(name, values, mean, sd, low, high, sum(held_out))
    return found


def _bounds(name: str) -> tuple[float, float]:
    """The least and the largest number a metric can be, as far as its name tells."""
    plain = re.sub(r"_(macro|micro|weighted)$", "", name)
    known = [each for each in (name, plain, f"cohen_{name}") if each in registry.names("metric")]
    free = (-math.inf, math.inf)
    found: tuple[float, float] = getattr(registry.get("metric", known[0]), "bounds", free) if known else free
    return found
