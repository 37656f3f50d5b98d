"""How well scores put positive rows before negative ones: ROC-AUC and average precision, ties counted exactly.

Legend: N rows, K classes, P positive rows.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from lamplighter.metrics.confusion import checked_weight
from lamplighter.metrics.curves import checked, counts_by_threshold

_NAN = float("nan")


def roc_auc(scores: np.ndarray, positive: np.ndarray, weight: np.ndarray | None = None) -> float:
    """Chance that a random positive row has a higher score than a random negative one; ties count half.

    sum over distinct scores s of P_s (N_below s + N_s / 2), divided by P N: the Mann-Whitney statistic (Hanley and
    McNeil 1982). NaN unless both kinds of rows are there.

    Args:
        scores: (N,) higher means more likely positive; any monotone scale.
        positive: (N,) truth, bool or 0/1.
        weight: (N,) how much each row counts; None for one each.

    >>> y = np.array([1, 0, 1, 1, 0, 1, 0, 0])
    >>> roc_auc(np.array([0.9, 0.1, 0.8, 0.6, 0.3, 0.7, 0.55, 0.2]), y)
    1.0
    >>> roc_auc(np.array([0.5, 0.5, 0.9, 0.1]), np.array([1, 0, 1, 0]))
    0.875
    """
    scores, positive = checked(scores, positive)
    weight = checked_weight(weight, len(scores))
    if np.isnan(scores).any():
        return _NAN
    _, place = np.unique(scores, return_inverse=True)
    each = np.bincount(place, weight)
    yes = np.bincount(place, positive if weight is None else np.where(positive, weight, 0.0), minlength=len(each))
    no = each - yes if weight is None else np.bincount(place, np.where(positive, 0.0, weight), minlength=len(each))
    pairs = yes.sum() * no.sum()
    if not pairs > 0:
        return _NAN
    below = np.cumsum(no) - no
    return float((yes * (below + no / 2)).sum() / pairs)


def roc_auc_ovr(
    probabilities: np.ndarray,
    y: np.ndarray,
    average: Literal["macro", "weighted", "micro"] = "macro",
    weight: np.ndarray | None = None,
) -> float:
    """`roc_auc` of each class against the rest, averaged over the classes that have rows.

    For two classes this is the binary ROC-AUC of class 1. NaN when fewer than two classes have rows.

    Args:
        probabilities: (N, K).
        y: (N,) class indices.
        average: plain mean, mean weighted by the rows of each class, or all decisions "is it k?" in one ranking.
        weight: (N,) how much each row counts.

    >>> roc_auc_ovr(np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]]), np.array([0, 1, 1]))
    1.0
    """
    y = np.asarray(y)
    present = _classes_to_rank(probabilities, y)
    if not present.size:
        return _NAN
    if average == "micro" and probabilities.shape[1] > 2:
        return roc_auc(*_all_decisions(probabilities, y, weight))
    each = [roc_auc(probabilities[:, k], y == k, weight) for k in present]
    return _mean(each, _rows_of(present, y, weight) if average == "weighted" else None)


def roc_auc_ovo(probabilities: np.ndarray, y: np.ndarray, average: Literal["macro", "weighted"] = "macro") -> float:
    """Mean over all pairs of classes of how well each tells its own rows from the other's (Hand and Till 2001).

    Does not depend on how common the classes are when averaged plainly. NaN when fewer than two classes have rows;
    two classes give the binary ROC-AUC of class 1.

    Args:
        probabilities: (N, K).
        y: (N,) class indices.
        average: plain mean, or weighted by the rows of each pair.

    >>> p = np.array([[0.8, 0.1, 0.1], [0.2, 0.5, 0.3], [0.1, 0.6, 0.3], [0.3, 0.4, 0.3]])
    >>> roc_auc_ovo(p, np.array([0, 1, 2, 2])).__round__(4)
    0.8333
    """
    y = np.asarray(y)
    present = np.unique(y)
    if present.size < 2:
        return _NAN
    if probabilities.shape[1] == 2:
        return roc_auc(probabilities[:, 1], y == 1)
    each, rows = [], []
    for i, a in enumerate(present):
        for b in present[i + 1 :]:
            pair = (y == a) | (y == b)
            own, other = roc_auc(probabilities[pair, a], y[pair] == a), roc_auc(probabilities[pair, b], y[pair] == b)
            each.append((own + other) / 2)
            rows.append(pair.sum())
    return _mean(each, np.array(rows, dtype=np.float64) if average == "weighted" else None)


def roc_auc_influence(probabilities: np.ndarray, y: np.ndarray) -> np.ndarray:
    """What each row adds to `roc_auc_ovr`, to first order: the mean of the influences is 0.

    A positive row's influence on one class's AUC is (share of negatives below it - AUC) N / P, a negative row's
    (share of positives above it - AUC) N / (rows - P): the structural components of DeLong et al. 1988.

    Returns:
        (N,) float64; NaN where the AUC is.
    """
    n = len(y)
    total = np.zeros(n)
    present = _classes_to_rank(probabilities, y)
    if not present.size:
        return np.full(n, np.nan)
    for k in present:
        positive = np.asarray(y) == k
        scores = np.asarray(probabilities[:, k], dtype=np.float64)
        n_positive, n_negative = int(positive.sum()), int((~positive).sum())
        rank = _midranks(scores)
        below = (rank[positive] - _midranks(scores[positive])) / n_negative
        above = 1 - (rank[~positive] - _midranks(scores[~positive])) / n_positive
        auc = below.mean()
        total[positive] += (below - auc) * n / n_positive
        total[~positive] += (above - auc) * n / n_negative
    return total / present.size


def average_precision(scores: np.ndarray, positive: np.ndarray, weight: np.ndarray | None = None) -> float:
    """Area under the precision-recall curve as a sum: AP = sum_i (R_i - R_{i-1}) P_i over distinct thresholds.

    Not the trapezoid, which interpolates precision and is too kind when scores tie. The one to look at when positives
    are rare: there a ROC-AUC near 1 still allows mostly false alarms. 0 without positive rows.

    Args:
        scores: (N,) higher means more likely positive.
        positive: (N,) truth, bool or 0/1.
        weight: (N,) how much each row counts; None for one each.

    >>> round(average_precision(np.array([0.9, 0.8, 0.7, 0.6]), np.array([1, 0, 1, 0])), 4)
    0.8333
    """
    counts = counts_by_threshold(scores, positive, weight)
    if not counts.positives:
        return 0.0
    if np.isnan(counts.thresholds).any():
        return _NAN
    gained = np.diff(counts.hits, prepend=0) / counts.positives
    return float(np.sum(gained * counts.hits / (counts.hits + counts.alarms)))


def average_precision_ovr(
    probabilities: np.ndarray,
    y: np.ndarray,
    average: Literal["macro", "weighted", "micro"] = "macro",
    weight: np.ndarray | None = None,
) -> float:
    """`average_precision` of each class against the rest, averaged over the classes that have rows. NaN without rows.

    For two classes this is the average precision of class 1, which is 0 when no row is of it. Arguments as in
    `roc_auc_ovr`.

    >>> p = np.array([[0.8, 0.1, 0.1], [0.2, 0.5, 0.3], [0.1, 0.6, 0.3], [0.3, 0.4, 0.3]])
    >>> round(average_precision_ovr(p, np.array([0, 1, 2, 2])), 4)
    0.7222
    """
    y = np.asarray(y)
    if not len(y):
        return _NAN
    if probabilities.shape[1] == 2:
        return average_precision(probabilities[:, 1], y == 1, weight)
    if average == "micro":
        return average_precision(*_all_decisions(probabilities, y, weight))
    present = np.unique(y)
    each = [average_precision(probabilities[:, k], y == k, weight) for k in present]
    return _mean(each, _rows_of(present, y, weight) if average == "weighted" else None)


def average_precision_influence(scores: np.ndarray, positive: np.ndarray) -> np.ndarray:
    """What each row adds to `average_precision`, to first order: the mean of the influences is 0.

    N times the derivative of the weighted average precision with respect to the row's weight. With A_s answered and
    H_s hit from score s upwards, a row of score t adds sum over positives at or below t of [it is positive] / A_s -
    H_s / A_s^2, divided by P, and a positive one (its own precision - AP) / P besides.

    Args:
        scores: (N,).
        positive: (N,) truth.

    Returns:
        (N,) float64; NaN where there is no positive row or a score is NaN.
    """
    scores, positive = checked(scores, positive)
    if not positive.any() or np.isnan(scores).any():
        return np.full(len(scores), np.nan)
    counts = counts_by_threshold(scores, positive)
    answered = counts.hits + counts.alarms
    gained = np.diff(counts.hits, prepend=0)
    precision = counts.hits / answered
    average = (gained * precision).sum() / counts.positives
    # A row's weight enters A_s (and H_s) of every threshold s at or below its own score.
    place = len(answered) - 1 - np.searchsorted(counts.thresholds[::-1], scores)
    share = np.cumsum((gained / answered)[::-1])[::-1]
    loss = np.cumsum((gained * precision / answered)[::-1])[::-1]
    own = np.where(positive, share[place] + precision[place] - average, 0.0) - loss[place]
    return own * len(scores) / counts.positives


def _classes_to_rank(probabilities: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Classes whose AUC exists; for two classes only class 1, for the other one's AUC is the same."""
    present = np.unique(y)
    if present.size < 2:
        return np.empty(0, dtype=np.int64)
    return np.array([1]) if probabilities.shape[1] == 2 else present


def _all_decisions(
    probabilities: np.ndarray, y: np.ndarray, weight: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Every question "is row n of class k?" as one row: scores, truth, weights."""
    classes = probabilities.shape[1]
    repeated = None if weight is None else np.repeat(weight, classes)
    return probabilities.ravel(), (y[:, None] == np.arange(classes)).ravel(), repeated


def _rows_of(classes: np.ndarray, y: np.ndarray, weight: np.ndarray | None) -> np.ndarray:
    counted = np.ones(len(y)) if weight is None else np.asarray(weight, dtype=np.float64)
    return np.array([counted[y == k].sum() for k in classes])


def _mean(each: list[float], weight: np.ndarray | None) -> float:
    if weight is not None and not weight.sum() > 0:
        return _NAN
    return float(np.average(each, weights=weight))


def _midranks(values: np.ndarray) -> np.ndarray:
    """Ranks from 1; equal values share the mean of their ranks.

    >>> _midranks(np.array([10.0, 20.0, 20.0, 30.0]))
    array([1. , 2.5, 2.5, 4. ])
    """
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return ((last - counts + 1 + last) / 2)[inverse]
