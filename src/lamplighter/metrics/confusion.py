"""The confusion matrix, and every metric that is a function of it alone.

Matrices of batches may be added up first: the metrics of the sum are exactly those of all rows at once.

Legend: C confusion matrix, TP = C[k, k], FP = sum of column k less TP, FN = sum of row k less TP.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from lamplighter.core.errors import DataError


def confusion_matrix(
    predicted: np.ndarray, y: np.ndarray, num_classes: int, weight: np.ndarray | None = None
) -> np.ndarray:
    """Count how often class i was answered with class j.

    Args:
        predicted: (N,) class indices the model chose.
        y: (N,) true class indices.
        num_classes: K; every index lies in 0..K-1.
        weight: (N,) how much each row counts; None for one each. Every metric of the matrix is then weighted too.

    Returns:
        (K, K), rows are the truth and columns the prediction; int64, or float64 with weights. For two classes
        [[TN, FP], [FN, TP]].

    Raises:
        DataError: different lengths, an index outside 0..K-1, or a weight that is negative or not finite.

    >>> confusion_matrix(np.array([1, 0, 1, 0, 0, 1, 1, 0]), np.array([1, 0, 1, 1, 0, 1, 0, 0]), 2).tolist()
    [[3, 1], [1, 3]]
    """
    predicted, y = np.asarray(predicted), np.asarray(y)
    if predicted.shape != y.shape or y.ndim != 1:
        raise DataError(f"predictions of shape {predicted.shape} do not fit targets of shape {y.shape}: give one each")
    check_classes(predicted, num_classes, "predicted class")
    check_classes(y, num_classes)
    cells = y.astype(np.int64) * num_classes + predicted.astype(np.int64)
    counted = np.bincount(cells, checked_weight(weight, len(y)), minlength=num_classes**2)
    return counted.reshape(num_classes, num_classes)


def check_classes(y: np.ndarray, num_classes: int, name: str = "target") -> None:
    """Refuse indices outside 0..num_classes-1.

    Raises:
        DataError: names the first offending row.
    """
    wrong = np.flatnonzero(~((y >= 0) & (y < num_classes)))  # NaN is outside too
    if wrong.size:
        row = wrong[0]
        raise DataError(f"row {row}: {name} {y[row]} is outside 0..{num_classes - 1}; leave blank rows out")


def checked_weight(weight: np.ndarray | None, n: int) -> np.ndarray | None:
    """Weights as (n,) float64, or None where there are none.

    Raises:
        DataError: another shape, or a weight that is negative or not finite; names the row.
    """
    if weight is None:
        return None
    weight = np.asarray(weight, dtype=np.float64)
    if weight.shape != (n,):
        raise DataError(f"weights of shape {weight.shape} do not fit {n} rows: give one each")
    wrong = np.flatnonzero(~(np.isfinite(weight) & (weight >= 0)))
    if wrong.size:
        raise DataError(f"row {wrong[0]}: the weight {weight[wrong[0]]} is not a number from 0 upwards")
    return weight


def normalised(confusion: np.ndarray, over: Literal["true", "predicted", "all"] = "true") -> np.ndarray:
    """Shares instead of counts: of each true class, of each answered class, or of all rows. 0 where there are no rows.

    >>> normalised(np.array([[2, 2], [1, 3]])).tolist()
    [[0.5, 0.5], [0.25, 0.75]]
    """
    axis = {"true": 1, "predicted": 0, "all": None}[over]
    return ratio(confusion, np.broadcast_to(confusion.sum(axis=axis, keepdims=True), confusion.shape))


def accuracy(confusion: np.ndarray) -> float:
    """Share of rows that are right: sum_k C[k, k] / N. NaN without rows.

    Misleads when classes are unequal: always answering the class that 99% of the rows have scores 0.99.

    >>> accuracy(np.array([[3, 1], [1, 3]]))
    0.75
    """
    n = confusion.sum()
    return float(np.trace(confusion) / n) if n else float("nan")


def precision(confusion: np.ndarray) -> np.ndarray:
    """Of the rows answered with class k, the share that is k: TP / (TP + FP). 0 for a class never answered.

    >>> precision(np.array([[3, 1], [1, 3]]))
    array([0.75, 0.75])
    """
    return ratio(np.diag(confusion), confusion.sum(axis=0))


def recall(confusion: np.ndarray) -> np.ndarray:
    """Of the rows of class k, the share that was found: TP / (TP + FN). 0 for a class without rows.

    >>> recall(np.array([[2, 2], [1, 3]]))
    array([0.5 , 0.75])
    """
    return ratio(np.diag(confusion), confusion.sum(axis=1))


def f1(confusion: np.ndarray) -> np.ndarray:
    """Harmonic mean of precision and recall: 2 TP / (2 TP + FP + FN). 0 where all three are 0.

    >>> f1(np.array([[3, 1], [1, 3]]))
    array([0.75, 0.75])
    """
    return fbeta(confusion)


def fbeta(confusion: np.ndarray, beta: float = 1.0) -> np.ndarray:
    """Precision and recall in one, recall weighing beta times as much (van Rijsbergen 1979). 0 where all three are 0.

    (1 + beta^2) TP / ((1 + beta^2) TP + FP + beta^2 FN).

    >>> fbeta(np.array([[2, 2], [1, 3]]), beta=2).round(4).tolist()
    [0.5263, 0.7143]
    """
    b2 = beta * beta
    return ratio((1 + b2) * np.diag(confusion), confusion.sum(axis=0) + b2 * confusion.sum(axis=1))


def balanced_accuracy(confusion: np.ndarray) -> float:
    """Mean recall over the classes that have rows. NaN without rows.

    >>> balanced_accuracy(np.array([[99, 0], [1, 0]]))
    0.5
    """
    return float(mean_recall(np.diag(confusion), confusion.sum(axis=1)))


def f1_macro(confusion: np.ndarray) -> float:
    """Mean F1 over the classes that have rows or were answered. NaN without rows.

    >>> round(f1_macro(np.array([[99, 0], [1, 0]])), 4)
    0.4975
    """
    return float(mean_f1(np.diag(confusion), confusion.sum(axis=0), confusion.sum(axis=1)))


def mcc(confusion: np.ndarray) -> float:
    """Matthews correlation of truth and prediction, -1 to 1 (Gorodkin 2004 for several classes).

    With t_k rows of class k, p_k answers k and c right of n: (c n - t.p) / sqrt((n^2 - p.p)(n^2 - t.t)).
    0 when all rows are of one class, or all answers are, or there are no rows.

    >>> mcc(np.array([[3, 1], [1, 3]]))
    0.5
    """
    counts = confusion.astype(np.float64)
    return float(mcc_from_counts(np.diag(counts), counts.sum(axis=0), counts.sum(axis=1)))


def cohen_kappa(confusion: np.ndarray, weights: Literal["linear", "quadratic"] | None = None) -> float:
    """Agreement beyond what chance would give (Cohen 1960; weighted 1968), up to 1; 0 is chance.

    1 - sum w C / sum w E, with E the matrix expected when truth and answer are independent. w is 1 for every mistake;
    for ordered classes |i - j| (linear) or (i - j)^2 (quadratic) of the class indices. NaN when E has no mistakes: no
    rows, or truth and answers are all of one and the same class.

    >>> cohen_kappa(np.array([[3, 1], [1, 3]]))
    0.5
    >>> round(cohen_kappa(np.array([[3, 1, 0], [0, 2, 1], [2, 0, 3]]), "quadratic"), 4)
    0.4495
    """
    counts = confusion.astype(np.float64)
    index = np.arange(len(counts), dtype=np.float64)
    apart = np.abs(index[:, None] - index)
    cost = {None: apart > 0, "linear": apart, "quadratic": apart**2}[weights]
    total = counts.sum()
    expected = np.outer(counts.sum(axis=1), counts.sum(axis=0)) / (total if total else 1)
    by_chance = (cost * expected).sum()
    return float(1 - (cost * counts).sum() / by_chance) if by_chance > 0 else float("nan")


def mean_precision(hits: np.ndarray, predicted: np.ndarray, actual: np.ndarray) -> np.ndarray:
    """Mean of hits / predicted over the last axis, where predicted + actual > 0. Leading axes are resamples."""
    return ratio(ratio(hits, predicted).sum(axis=-1), (predicted + actual > 0).sum(axis=-1), empty=np.nan)


def macro_recall(hits: np.ndarray, predicted: np.ndarray, actual: np.ndarray) -> np.ndarray:
    """Mean of hits / actual over the last axis, where predicted + actual > 0. Leading axes are resamples."""
    return ratio(ratio(hits, actual).sum(axis=-1), (predicted + actual > 0).sum(axis=-1), empty=np.nan)


def mean_recall(hits: np.ndarray, actual: np.ndarray) -> np.ndarray:
    """Mean of hits / actual over the last axis, where actual > 0. Leading axes are resamples."""
    return ratio(ratio(hits, actual).sum(axis=-1), (actual > 0).sum(axis=-1), empty=np.nan)


def mean_f1(hits: np.ndarray, predicted: np.ndarray, actual: np.ndarray) -> np.ndarray:
    """Mean of 2 hits / (predicted + actual) over the last axis, where that sum > 0. Leading axes are resamples."""
    total = predicted + actual
    return ratio(ratio(2 * hits, total).sum(axis=-1), (total > 0).sum(axis=-1), empty=np.nan)


def mcc_from_counts(hits: np.ndarray, predicted: np.ndarray, actual: np.ndarray) -> np.ndarray:
    """`mcc` from the counts of each class on the last axis. Leading axes are resamples."""
    hits, predicted, actual = (np.asarray(counts, dtype=np.float64) for counts in (hits, predicted, actual))
    n, by_chance = actual.sum(axis=-1), (actual * predicted).sum(axis=-1)
    spread = (n**2 - (predicted**2).sum(axis=-1)) * (n**2 - (actual**2).sum(axis=-1))
    return ratio(hits.sum(axis=-1) * n - by_chance, np.sqrt(np.maximum(spread, 0)))


def kappa_from_counts(hits: np.ndarray, predicted: np.ndarray, actual: np.ndarray) -> np.ndarray:
    """Unweighted `cohen_kappa` from the counts of each class on the last axis. Leading axes are resamples."""
    hits, predicted, actual = (np.asarray(counts, dtype=np.float64) for counts in (hits, predicted, actual))
    n, by_chance = actual.sum(axis=-1), (actual * predicted).sum(axis=-1)
    return ratio(hits.sum(axis=-1) * n - by_chance, n**2 - by_chance, empty=np.nan)


def ratio(above: np.ndarray, below: np.ndarray, empty: float = 0.0) -> np.ndarray:
    """above / below, and ``empty`` where below is 0."""
    above, below = np.asarray(above, dtype=np.float64), np.asarray(below, dtype=np.float64)
    return np.divide(above, below, out=np.full(below.shape, empty), where=below > 0)
