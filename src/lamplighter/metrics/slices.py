"""A metric for each slice of the rows (a region, an age group), and which slices are worse than chance explains.

Looking at forty slices, a few look bad by luck. Whether a slice is worse than the rest is therefore tested for all of
them together: the rows are dealt out to the slices at random many times, and a slice is flagged when it lies farther
below its rest than the *worst* of all slices does in nearly every deal. If no slice is really worse, the chance of any
flag at all is ``alpha`` (maximum statistic of Westfall and Young 1993).

Legend: N rows, S slices, B random deals.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lamplighter.core import seeding
from lamplighter.metrics import bootstrap, intervals
from lamplighter.metrics.base import Metric
from lamplighter.metrics.bootstrap import take
from lamplighter.metrics.score import Score

MIN_ROWS = 10
"""Slices of fewer rows say nothing and are left out."""
MAX_VALUES = 8
"""Values of a column that get a slice of their own; the rarer ones share one."""
BINS = 4
_DEALS = 1000
_RECOMPUTED = 200
_BLOCK = 2**21


@dataclass(frozen=True)
class Group:
    """Some of the rows.

    Attributes:
        column: what they are told apart by.
        value: what they have in common.
        rows: (N,) bool.
    """

    column: str
    value: str
    rows: np.ndarray


@dataclass(frozen=True)
class Slice:
    """How good predictions are on a group of rows.

    Attributes:
        column: what the rows are told apart by.
        value: what they have in common.
        score: of the slice, with n and interval.
        rest: the metric of all other rows.
        p_value: chance that any of the slices looked at together lies that far below its rest if none is worse.
        worse: whether that chance is at most alpha.
    """

    column: str
    value: str
    score: Score
    rest: float
    p_value: float
    worse: bool


def group(column: str, values: Sequence[Any]) -> list[Group]:
    """Cut the rows by one column.

    Numbers are cut at their quartiles, other values (and numbers of at most six kinds) by value; ``None``, NaN and
    empty text are a group of their own.

    Args:
        column: its name.
        values: (N,) one each row.

    >>> [(each.value, int(each.rows.sum())) for each in group("age", [*range(20, 60), None, None])]
    [('below 30', 10), ('30 to 40', 10), ('40 to 50', 10), ('50 and above', 10), ('missing', 2)]
    >>> [(each.value, int(each.rows.sum())) for each in group("job", ["cook", "clerk", "cook"])]
    [('cook', 2), ('clerk', 1)]
    """
    blank = np.array([_blank(value) for value in values], dtype=bool)
    given = [value for value, missing in zip(values, blank) if not missing]
    numeric = all(isinstance(value, int | float | np.number) and not isinstance(value, bool) for value in given)
    if numeric and len(set(given)) > BINS + 2:
        groups = _by_quartile(column, np.array([math.nan if b else float(v) for v, b in zip(values, blank)]))
    else:
        groups = _by_value(column, [None if b else _text(v) for v, b in zip(values, blank)])
    return [*groups, *([Group(column, "missing", blank)] if blank.any() else [])]


def score_groups(
    metric: Metric,
    predicted: Any,
    y: Any,
    groups: Sequence[Group],
    seed: int = 0,
    level: float = 0.95,
    alpha: float = 0.05,
    resamples: int = intervals.RESAMPLES,
) -> list[Slice]:
    """The metric of each group, the surest to be worse first.

    The statistic of a slice is its distance below the rest in standard deviations of the deals. Where the metric is a
    mean over rows, 1,000 deals are made; any other is computed anew for 200.

    Args:
        metric: any.
        predicted: as the metric takes it.
        y: the truth.
        groups: rows may be in several, for instance of several columns. Those of fewer than `MIN_ROWS` rows, or on
            which the metric is not defined, are left out.
        seed: of the run.
        level: coverage of the intervals.
        alpha: chance of any flag if no group is worse.
        resamples: of the intervals.

    >>> from lamplighter.metrics.of_labels import Accuracy
    >>> y = np.zeros(400, dtype=int)
    >>> answers = np.where(np.arange(400) % 4 == 0, np.arange(400) % 8 == 0, 0)  # half of every fourth row is wrong
    >>> groups = group("day", [("mo", "tu", "we", "th")[i % 4] for i in range(400)])
    >>> worst = score_groups(Accuracy(), answers.astype(int), y, groups)[0]
    >>> worst.value, worst.score.value, worst.rest, worst.worse
    ('mo', 0.5, 1.0, True)
    """
    scored: list[tuple[Group, Score, float]] = []
    for each in groups:
        n = int(each.rows.sum())
        if n < MIN_ROWS:
            continue
        score = bootstrap.score(metric, take(predicted, each.rows), take(y, each.rows), seed, level, resamples)
        if score is not None:
            rest = metric(take(predicted, ~each.rows), take(y, ~each.rows)) if n < len(y) else math.nan
            scored.append((each, score, rest))
    p_values = _p_values(metric, predicted, y, [each for each, _, _ in scored], seed)
    slices = [
        Slice(each.column, each.value, score, rest, p, bool(p <= alpha))
        for (each, score, rest), p in zip(scored, p_values)
    ]
    sign = 1 if metric.mode == "max" else -1
    return sorted(slices, key=lambda found: (found.p_value, sign * (found.score.value - found.rest)))


def _by_quartile(column: str, numbers: np.ndarray) -> list[Group]:
    """Four groups cut at numbers that occur; fewer where many rows have the same number."""
    given = np.sort(numbers[~np.isnan(numbers)])
    edges = np.unique(given[len(given) * np.arange(1, BINS) // BINS])
    edges = edges[edges > given[0]] if edges[-1] > given[0] else np.unique(given)[1:2]
    bin_of = np.where(np.isnan(numbers), -1, np.searchsorted(edges, numbers, side="right"))
    shown = [f"{edge:.4g}" if abs(edge) < 1e4 else f"{edge:,.0f}" for edge in edges]
    between = [f"{low} to {high}" for low, high in itertools.pairwise(shown)]
    names = [f"below {shown[0]}", *between, f"{shown[-1]} and above"]
    return [Group(column, name, bin_of == place) for place, name in enumerate(names)]


def _by_value(column: str, texts: list[str | None]) -> list[Group]:
    ordered = [text for text, _ in Counter(text for text in texts if text is not None).most_common()]
    own = ordered if len(ordered) <= MAX_VALUES + 1 else ordered[:MAX_VALUES]
    array = np.array(texts, dtype=object)
    groups = [Group(column, text, array == text) for text in own]
    others = ordered[len(own) :]
    if others:
        rare = np.isin(array.astype(str), others) & (array != None)  # noqa: E711
        groups.append(Group(column, f"{len(others)} others", rare))
    return groups


def _p_values(metric: Metric, predicted: Any, y: Any, groups: list[Group], seed: int) -> np.ndarray:
    """Adjusted p-value of each group; 1 for a group of all rows."""
    if not groups:
        return np.empty(0)
    inside = np.stack([each.rows for each in groups], axis=1)
    sign = 1.0 if metric.mode == "max" else -1.0
    rows = metric.rows(predicted, y)
    if rows is not None and np.isfinite(rows).all():
        observed, dealt = _below_rest_of_means(sign * rows, inside, seed)
    else:
        observed, dealt = _below_rest(metric, sign, predicted, y, inside, seed)
    known = np.isfinite(dealt)
    count = np.maximum(known.sum(axis=0), 1)
    centre = np.where(known, dealt, 0).sum(axis=0) / count
    spread = np.sqrt(np.where(known, (dealt - centre) ** 2, 0).sum(axis=0) / count)
    usable = np.isfinite(observed) & (spread > 1e-12 * np.maximum(1, np.abs(centre)))
    unit = np.where(usable, spread, 1)
    statistic = np.where(usable, (observed - centre) / unit, -np.inf)
    largest = np.where(usable & known, (dealt - centre) / unit, -np.inf).max(axis=1)
    beaten = (largest[:, None] >= statistic - 1e-12).sum(axis=0)
    return np.asarray((1 + beaten) / (1 + len(dealt)))


def _below_rest_of_means(rows: np.ndarray, inside: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """How far each group's mean lies below that of its rest: (S,) as it is, and (B, S) in random deals."""
    n = len(rows)
    size = inside.sum(axis=0)
    rng = seeding.generator(seed, "slices")
    member = inside.astype(np.float64)

    def below(values: np.ndarray) -> np.ndarray:
        total = values @ member
        return (rows.sum() - total) / np.maximum(n - size, 1) - total / np.maximum(size, 1)

    deals, dealt = intervals.bounded(_DEALS, n), []
    for start in range(0, deals, max(1, _BLOCK // n)):
        count = min(deals - start, max(1, _BLOCK // n))
        dealt.append(below(rng.permuted(np.tile(rows, (count, 1)), axis=1)))
    return below(rows), np.concatenate(dealt)


def _below_rest(
    metric: Metric, sign: float, predicted: Any, y: Any, inside: np.ndarray, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """The same for a metric that is no mean over rows, computed anew in each deal."""

    def below(order: np.ndarray) -> list[float]:
        found = []
        for column in inside.T:
            group, rest = order[column], order[~column]
            pair = [metric.compute(take(predicted, part), take(y, part)) for part in (rest, group) if len(part)]
            found.append(sign * (pair[0] - pair[1]) if len(pair) == 2 else 0.0)
        return found

    rng = seeding.generator(seed, "slices")
    dealt = np.array([below(rng.permutation(len(y))) for _ in range(_RECOMPUTED)])
    return np.array(below(np.arange(len(y)))), dealt


def _blank(value: Any) -> bool:
    return value is None or value == "" or (isinstance(value, float | np.floating) and math.isnan(value))


def _text(value: Any) -> str:
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)
