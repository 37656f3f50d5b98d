"""The confusion matrix, and every metric that is a function of it alone.

Matrices of batches may be added up first: the metrics of the sum are exactly those of all rows at once.

Legend: C confusion matrix, TP = C[k, k], FP = sum of column k less TP, FN = sum of row k less TP.
"""

from __future__ import annotations

import numpy as np

from lamplighter.core.errors import DataError


def confusion_matrix(predicted: np.ndarray, y: np.ndarray, num_classes: int) -> np.ndarray:
    """Count how often class i was answered with class j.

    Args:
        predicted: (N,) class indices the model chose.
        y: (N,) true class indices.
        num_classes: K; every index lies in 0..K-1.

    Returns:
        (K, K) int64, rows are the truth and columns the prediction. For two classes [[TN, FP], [FN, TP]].

    Raises:
        DataError: different lengths, or an index outside 0..K-1.

    >>> confusion_matrix(np.array([1, 0, 1, 0, 0, 1, 1, 0]), np.array([1, 0, 1, 1, 0, 1, 0, 0]), 2).tolist()
    [[3, 1], [1, 3]]
    """
    predicted, y = np.asarray(predicted), np.asarray(y)
    if predicted.shape != y.shape or y.ndim != 1:
        raise DataError(f"predictions of shape {predicted.shape} do not fit targets of shape {y.shape}: give one each")
    check_classes(predicted, num_classes, "predicted class")
    check_classes(y, num_classes)
    cells = y.astype(np.int64) * num_classes + predicted.astype(np.int64)
    return np.bincount(cells, minlength=num_classes**2).reshape(num_classes, num_classes)


def check_classes(y: np.ndarray, num_classes: int, name: str = "target") -> None:
    """Refuse indices outside 0..num_classes-1.

    Raises:
        DataError: names the first offending row.
    """
    wrong = np.flatnonzero(~((y >= 0) & (y < num_classes)))  # NaN is outside too
    if wrong.size:
        row = wrong[0]
        raise DataError(f"row {row}: {name} {y[row]} is outside 0..{num_classes - 1}; leave blank rows out")


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
    return _ratio(np.diag(confusion), confusion.sum(axis=0))


def recall(confusion: np.ndarray) -> np.ndarray:
    """Of the rows of class k, the share that was found: TP / (TP + FN). 0 for a class without rows.

    >>> recall(np.array([[2, 2], [1, 3]]))
    array([0.5 , 0.75])
    """
    return _ratio(np.diag(confusion), confusion.sum(axis=1))


def f1(confusion: np.ndarray) -> np.ndarray:
    """Harmonic mean of precision and recall: 2 TP / (2 TP + FP + FN). 0 where all three are 0.

    >>> f1(np.array([[3, 1], [1, 3]]))
    array([0.75, 0.75])
    """
    return _ratio(2 * np.diag(confusion), confusion.sum(axis=0) + confusion.sum(axis=1))


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
    actual, predicted = counts.sum(axis=1), counts.sum(axis=0)
    n, right = counts.sum(), np.trace(counts)
    spread = (n**2 - predicted @ predicted) * (n**2 - actual @ actual)
    return float((right * n - actual @ predicted) / np.sqrt(spread)) if spread > 0 else 0.0


def mean_recall(hits: np.ndarray, actual: np.ndarray) -> np.ndarray:
    """Mean of hits / actual over the last axis, where actual > 0. Leading axes are resamples."""
    return _ratio(_ratio(hits, actual).sum(axis=-1), (actual > 0).sum(axis=-1), empty=np.nan)


def mean_f1(hits: np.ndarray, predicted: np.ndarray, actual: np.ndarray) -> np.ndarray:
    """Mean of 2 hits / (predicted + actual) over the last axis, where that sum > 0. Leading axes are resamples."""
    total = predicted + actual
    return _ratio(_ratio(2 * hits, total).sum(axis=-1), (total > 0).sum(axis=-1), empty=np.nan)


def _ratio(above: np.ndarray, below: np.ndarray, empty: float = 0.0) -> np.ndarray:
    """above / below, and ``empty`` where below is 0."""
    above, below = np.asarray(above, dtype=np.float64), np.asarray(below, dtype=np.float64)
    return np.divide(above, below, out=np.full(below.shape, empty), where=below > 0)
