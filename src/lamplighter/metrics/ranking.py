"""How well scores put positive rows before negative ones: ROC-AUC and average precision, ties counted exactly."""

from __future__ import annotations

import numpy as np

from lamplighter.core.errors import DataError


def roc_auc(scores: np.ndarray, positive: np.ndarray) -> float:
    """Chance that a random positive row has a higher score than a random negative one; ties count half.

    With midranks R (equal scores share their mean rank): (sum of R over positives - P (P + 1) / 2) / (P N), the
    Mann-Whitney statistic (Hanley and McNeil 1982). NaN unless both kinds of rows are there.

    Args:
        scores: (N,) higher means more likely positive; any monotone scale.
        positive: (N,) truth, bool or 0/1.

    >>> y = np.array([1, 0, 1, 1, 0, 1, 0, 0])
    >>> roc_auc(np.array([0.9, 0.1, 0.8, 0.6, 0.3, 0.7, 0.55, 0.2]), y)
    1.0
    >>> roc_auc(np.array([0.5, 0.5, 0.9, 0.1]), np.array([1, 0, 1, 0]))
    0.875
    """
    scores, positive = _checked(scores, positive)
    n_positive = int(positive.sum())
    n_negative = len(positive) - n_positive
    if not n_positive or not n_negative or np.isnan(scores).any():
        return float("nan")
    rank_sum = _midranks(scores)[positive].sum()
    return float((rank_sum - n_positive * (n_positive + 1) / 2) / (n_positive * n_negative))


def roc_auc_ovr(probabilities: np.ndarray, y: np.ndarray) -> float:
    """Mean `roc_auc` of each class against the rest, over the classes that have rows.

    For two classes this is the binary ROC-AUC of class 1. NaN when fewer than two classes have rows.

    Args:
        probabilities: (N, K).
        y: (N,) class indices.

    >>> roc_auc_ovr(np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]]), np.array([0, 1, 1]))
    1.0
    """
    present = _classes_to_rank(probabilities, y)
    if not present.size:
        return float("nan")
    return float(np.mean([roc_auc(probabilities[:, k], y == k) for k in present]))


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


def average_precision(scores: np.ndarray, positive: np.ndarray) -> float:
    """Area under the precision-recall curve as a sum: AP = sum_i (R_i - R_{i-1}) P_i over distinct thresholds.

    Not the trapezoid, which interpolates precision and is too kind when scores tie. The one to look at when positives
    are rare: there a ROC-AUC near 1 still allows mostly false alarms. 0 without positive rows.

    Args:
        scores: (N,) higher means more likely positive.
        positive: (N,) truth, bool or 0/1.

    >>> round(average_precision(np.array([0.9, 0.8, 0.7, 0.6]), np.array([1, 0, 1, 0])), 4)
    0.8333
    """
    scores, positive = _checked(scores, positive)
    if not positive.any():
        return 0.0
    if np.isnan(scores).any():
        return float("nan")
    order = np.argsort(-scores, kind="stable")
    descending = scores[order]
    last_of_tie = np.append(descending[1:] != descending[:-1], True)
    hits = np.cumsum(positive[order])[last_of_tie]
    answered = np.flatnonzero(last_of_tie) + 1
    gained = np.diff(hits, prepend=0) / positive.sum()
    return float(np.sum(gained * hits / answered))


def _classes_to_rank(probabilities: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Classes whose AUC exists; for two classes only class 1, for the other one's AUC is the same."""
    present = np.unique(y)
    if present.size < 2:
        return np.empty(0, dtype=np.int64)
    return np.array([1]) if probabilities.shape[1] == 2 else present


def _midranks(values: np.ndarray) -> np.ndarray:
    """Ranks from 1; equal values share the mean of their ranks.

    >>> _midranks(np.array([10.0, 20.0, 20.0, 30.0]))
    array([1. , 2.5, 2.5, 4. ])
    """
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return ((last - counts + 1 + last) / 2)[inverse]


def _checked(scores: np.ndarray, positive: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    scores, positive = np.asarray(scores, dtype=np.float64), np.asarray(positive).astype(bool)
    if scores.shape != positive.shape or scores.ndim != 1:
        raise DataError(f"scores of shape {scores.shape} do not fit targets of shape {positive.shape}: give one each")
    return scores, positive
